"""Traces on the wire: continued, sampled by the own ratio, without secrets."""

from __future__ import annotations

import json
from pathlib import Path

from tests.collector import Collector
from tests.support import Service, eventually, run_command

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_span_tells_the_request_by_the_conventions(tmp_path: Path, collector: Collector) -> None:
    """contract: names and attributes of the server span; no query string, no header value (row D7)."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready()
        traceparent = f"00-{TRACE}-{PARENT}-01"
        answer = service.get("/status/503?token=S3NT1NEL", traceparent=traceparent, Authorization="S3NT1NEL")
        assert answer.headers["X-Trace-Id"] == TRACE
        [span] = eventually(lambda: [span for span in collector.spans if span.trace_id == TRACE], "the span", 10)
    assert (span.name, span.kind, span.parent_id) == ("GET /status/{code}", 2, PARENT)
    assert span.attributes["http.route"] == "/status/{code}"
    assert span.attributes["http.response.status_code"] == 503
    assert span.attributes["error.type"] == "503"
    assert span.attributes["url.path"] == "/status/503"
    assert span.attributes["server.address"] == "127.0.0.1"
    assert span.attributes["hola.config.revision"] == answer.headers["X-Config-Revision"]
    assert span.resource["k8s.pod.name"] == "hola-test"
    assert "S3NT1NEL" not in str(collector.spans)


def test_the_own_ratio_decides_not_the_callers_flag(tmp_path: Path, collector: Collector) -> None:
    """Row D11: a forged sampled flag forces nothing; the trace id goes on all the same."""
    document = json.dumps({"trace_sample_ratio": {"value": 0.0}})
    with Service(tmp_path, document, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready()
        for _ in range(20):
            assert service.get("/", traceparent=f"00-{TRACE}-{PARENT}-01").headers["X-Trace-Id"] == TRACE
        assert service.stop() == 0
    assert collector.spans == []


def test_a_proxy_for_clients_is_not_asked_for_the_collector(tmp_path: Path, collector: Collector) -> None:
    """Row D14."""
    endpoint, closed = collector.endpoint, "http://127.0.0.1:9"
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, HTTP_PROXY=closed) as service:
        trace_id = service.ready().get("/").headers["X-Trace-Id"]
        eventually(lambda: trace_id in collector.trace_ids, "the span", 10)


def test_a_command_continues_the_trace_it_was_started_in(collector: Collector) -> None:
    """contract: TRACEPARENT."""
    code, lines, _ = run_command(
        "help", TRACEPARENT=f"00-{TRACE}-{PARENT}-01", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint
    )
    assert code == 0
    assert lines[0]["trace_id"] == TRACE
    assert [span.parent_id for span in collector.spans] == [PARENT]

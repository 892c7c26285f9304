"""One request → one span, one observation, one line, across four workers."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path

from tests.collector import Collector
from tests.support import Service, eventually

REQUESTS, CONNECTIONS = 2000, 50


def test_lines_metrics_and_spans_agree(tmp_path: Path, collector: Collector) -> None:
    """README: one trace id through all three signals, counted right across all workers (rows A1, C1, D1, D8)."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready()
        answers = service.get_many(REQUESTS, CONNECTIONS)
        probes = [service.get(path) for path in ("/livez", "/readyz", "/healthz")]
        assert {answer.status for answer in answers + probes} == {200}
        for _ in range(8):  # whichever worker answers
            counted = service.total('http_requests_total{method="GET",route="/",')
            assert counted == REQUESTS
        scrapes = service.total('http_requests_total{method="GET",route="/metrics",')
        assert service.total("http_requests_total") == REQUESTS + len(probes) + scrapes + 1

        eventually(lambda: len(service.events("request_finished")) >= REQUESTS, "all lines", 10)
        lines = service.events("request_finished")
        sent = [answer.headers["X-Trace-Id"] for answer in answers]
        assert len(lines) == REQUESTS
        assert Counter(line["trace_id"] for line in lines) == Counter(sent)
        assert {line["slot"] for line in lines} == {0, 1, 2, 3}
        eventually(lambda: set(sent) <= set(collector.trace_ids), "a span for each request", 10)
        assert max(Counter(collector.trace_ids).values()) == 1
        spans = {span.trace_id: span for span in collector.spans}
        assert all(spans[line["trace_id"]].span_id == line["span_id"] for line in lines)
        assert len({span.resource["service.instance.id"] for span in collector.spans}) == 4
        assert service.stop() == 0
        assert service.errors == []
        assert all(len(line) <= 4096 for line in service.raw)


def test_a_line_tells_the_whole_request(service: Service) -> None:
    """contract: the fields of request_finished."""
    answer = service.get("/status/503?token=S3NT1NEL", User_Agent='tester "\\')
    line = service.wait_for("request_finished", trace_id=answer.headers["X-Trace-Id"])
    assert (line["level"], line["method"], line["route"], line["status"]) == ("warning", "GET", "/status/{code}", 503)
    assert line["path"] == "/status/503"
    assert line["user_agent"] == 'tester "\\'
    assert line["bytes_sent"] == len(answer.body)
    assert line["config_revision"] == answer.headers["X-Config-Revision"]
    assert 0 < line["cpu_seconds"] <= line["duration_seconds"] + 0.1
    assert line["queue_seconds"] >= 0
    assert b"S3NT1NEL" not in b"".join(service.raw)


def test_probes_are_quiet_at_the_usual_level(service: Service) -> None:
    service.get("/livez")
    last = service.get("/version").headers["X-Trace-Id"]
    service.wait_for("request_finished", trace_id=last)
    assert not [line for line in service.events("request_finished") if line["route"] == "/livez"]


def test_unknown_paths_and_methods_make_no_new_series(service: Service) -> None:
    """Row A16: labels come from closed sets."""
    for number in range(50):
        service.get(f"/random/{number}", f"VERB{number}")
    labels = {name for name in service.metrics() if name.startswith("http_requests_total") and "unmatched" in name}
    assert labels == {'http_requests_total{method="other",route="unmatched",status="404"}'}


def test_an_aborted_response_is_told(service: Service) -> None:
    """A client that leaves in the middle: its line comes all the same, with `aborted` (rows C9, D9)."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"GET /stream/1000?pause_seconds=0.05 HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(64)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    line = service.wait_for("request_finished", route="/stream/{lines}", aborted=True)
    assert line["status"] == 200

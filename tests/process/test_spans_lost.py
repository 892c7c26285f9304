"""A collector that is down, silent, slow or full costs spans, and those are counted; nothing else."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.collector import Collector, collecting
from tests.process.checkout import with_more_routes
from tests.process.hammer import Hammer
from tests.process.volume import told
from tests.support import Service, eventually, free_port

CARELESS = {"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}


@contextmanager
def behaving(how: str) -> Iterator[tuple[str, Collector | None]]:
    """The endpoint of a collector that behaves so, and the collector if there is one."""
    if how == "refusing":
        yield f"http://127.0.0.1:{free_port()}", None
    elif how == "silent":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", None
    else:
        with collecting() as collector:
            collector.delay_seconds = 1.5 if how == "slow" else 0.0
            collector.statuses = [500] * 10_000 if how == "failing" else []
            yield collector.endpoint, collector


@pytest.mark.parametrize("how", ["well", "refusing", "silent", "slow", "failing"])
def test_no_request_feels_the_collector_and_every_loss_is_counted(tmp_path: Path, how: str) -> None:
    """Rows D2, D3, D5, D12: 5 000 requests; latency as ever, exit in its bound, dropped equals missing, lines parse."""
    with behaving(how) as (endpoint, collector):
        with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **CARELESS) as service:
            service.ready()
            began = time.monotonic()
            number = len(service.get_many(5000, 16))
            seconds = time.monotonic() - began
            live = service.total("hola_spans_dropped_total")
            number += 1
            with Hammer(service, 4) as hammer:
                until = time.monotonic() + 1
                eventually(lambda: time.monotonic() > until, "a second of load", 5)
            number += len(hammer.answers)
            began = time.monotonic()
            assert service.stop() == 0
            took = time.monotonic() - began
            account = service.events("server_stopped")[0]
            assert {line["level"] for line in service.lines} <= {"info", "warning"}
            assert not service.errors
            outages = told(service, "span_export_failed")
        received = len(collector.spans) if collector else 0
    print(
        f"{how}: {number / (seconds + 1):.0f} requests/s, p99 {hammer.percentile(0.99) * 1000:.0f} ms, "
        f"exit {took:.1f} s, {account['spans_dropped']} dropped of {number} ({live:.0f} before the stop)"
    )
    assert took < 0.2 + 3.5
    assert hammer.percentile(0.99) < 0.2
    assert account["spans_exported"] + account["spans_dropped"] == number
    assert received >= account["spans_exported"]
    if how == "well":
        assert (account["spans_dropped"], received, outages) == (0, number, 0)
    elif how != "slow":
        assert account["spans_dropped"] == number
        assert 1 <= outages <= 4


def test_a_killed_worker_loses_a_second_of_spans_and_no_line(tmp_path: Path, collector: Collector) -> None:
    """Row D4: evidence survives in lines; what was queued for at most a second does not."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready().get_many(200, 8)
        eventually(lambda: len(collector.spans) >= 200, "the spans of the time before", 10)
        answers = service.get_many(50, 8)
        eventually(lambda: told(service, "request_finished") >= 250, "a line for each", 10)
        for worker in service.workers():
            os.kill(worker["pid"], signal.SIGKILL)
        eventually(lambda: told(service, "worker_exited") == 4, "their ends", 10)
        lines = {line["trace_id"] for line in service.events("request_finished")}
        assert {answer.headers["X-Trace-Id"] for answer in answers} <= lines


def test_each_worker_is_an_instance_of_its_own(tmp_path: Path, collector: Collector) -> None:
    """Rows D1, D13: four workers, four instance ids, no two of them alike."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready().get_many(400, 40)
        eventually(lambda: len({s.resource["service.instance.id"] for s in collector.spans}) == 4, "four ids", 10)


def test_a_path_nobody_knows_is_no_name_and_a_query_nowhere(tmp_path: Path, collector: Collector) -> None:
    """Row D7: 100 random 404s make one span name; no query string in any span."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready()
        for number in range(100):
            service.get(f"/random/{number}?token=S3NT1NEL")
        eventually(lambda: len(collector.spans) >= 100, "the spans", 10)
    assert {span.name for span in collector.spans} == {"GET"}
    assert "S3NT1NEL" not in str(collector.spans)


def test_streams_end_their_spans_after_the_last_byte(tmp_path: Path, collector: Collector) -> None:
    """Row D9: whole, failed and left streams; each span ends, none complains, each has a trace of its own."""
    running = Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    running.root = with_more_routes(tmp_path / "checkout")
    with running as service:
        service.ready()
        whole = service.get("/stream/20?pause_seconds=0.02").headers["X-Trace-Id"]
        with pytest.raises(Exception, match=r"IncompleteRead|chunk"):
            service.get("/test/fail-late")
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
            client.sendall(b"GET /stream/1000?pause_seconds=0.01 HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(64)
        eventually(lambda: len(collector.spans) == 3, "three spans", 15)
        [failed] = [span for span in collector.spans if span.name == "GET /test/fail-late"]
        assert len({span.trace_id for span in collector.spans}) == 3
        assert whole in collector.trace_ids
        assert failed.attributes["error.type"] == "RuntimeError"
        assert not [line for line in service.lines if "detach" in str(line.get("message"))]


def test_a_span_inside_a_request_is_its_child_and_outgoing_calls_carry_it(tmp_path: Path, collector: Collector) -> None:
    """Rows D10, D12: an application's own span by OpenTelemetry's API, in the same trace, masked."""
    running = Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    running.root = with_more_routes(tmp_path / "checkout")
    with running as service:
        answers = [service.ready().get("/test/inner") for _ in range(8)]
        eventually(lambda: len(collector.spans) == 16, "two spans each", 10)
    by_id = {span.span_id: span for span in collector.spans}
    inner = {span.trace_id: span for span in collector.spans if span.name == "query"}
    for answer in answers:
        span = inner[answer.headers["X-Trace-Id"]]
        assert answer.json()["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"
        assert by_id[span.parent_id].name == "GET /test/inner"
        assert span.attributes == {"api_key": "***"}


def test_a_change_of_configuration_is_a_span_with_its_line(tmp_path: Path, collector: Collector) -> None:
    """Applied and rejected once a pod, with the ids that stand on the event's line; the first document is none."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready()
        service.put('{"greeting": "new"}')
        eventually(lambda: told(service, "config_applied") == 2, "the change", 10)
        service.put('{"greeting": 5}')
        service.wait_for("config_rejected")
        eventually(lambda: len(collector.spans) == 2, "two spans", 10)
        changes = {span.name: span for span in collector.spans}
        lines = [service.events("config_applied")[1], service.events("config_rejected")[0]]
    assert [changes[line["event"]].span_id for line in lines] == [line["span_id"] for line in lines]
    assert changes["config_applied"].attributes["hola.config.generation"] == 2
    assert "trace_id" not in service.events("config_applied")[0]

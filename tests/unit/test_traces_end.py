"""The end of tracing: within a bound whatever the collector does, with every span exported or counted as dropped."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hola.scoreboard import Row, Scoreboard
from hola.telemetry import span_export
from hola.telemetry.span_export import BATCH_SPANS, QUEUE_SPANS, Destination, SpanExport
from hola.telemetry.traces import Tracing
from tests.collector import collecting
from tests.support import eventually
from tests.unit.conftest import Lines

SPANS = 100


def start_and_end(tracing: Tracing, number: int, **headers: str) -> None:
    for _ in range(number):
        tracing.start_server_span(headers, time.time_ns()).end()


def exporting(url: str, row: Row, **destination: Any) -> Tracing:
    return Tracing(SpanExport(Destination(url, **destination), {"service.name": "hola"}, row), lambda: 1.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a second here for a batch to fill."""
    monkeypatch.setattr(span_export, "DELAY_SECONDS", 0.1)
    monkeypatch.setattr(span_export, "RETRY_SECONDS", (0.05, 0.1))


@pytest.fixture
def row(board: Scoreboard) -> Row:
    return board.rows[0]


@pytest.fixture
def refused() -> str:
    """An endpoint where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/v1/traces"


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"


def test_what_is_queued_is_sent_at_the_end_and_counted(row: Row) -> None:
    with collecting() as collector:
        tracing = exporting(collector.endpoint + "/v1/traces", row)
        start_and_end(tracing, SPANS)
        assert tracing.close() < 1
        assert len(collector.spans) == SPANS
    assert (row.spans_exported, row.spans_dropped) == (SPANS, 0)


def test_a_collector_that_refuses_ends_it_within_a_second_and_loses_are_counted(row: Row, refused: str) -> None:
    tracing = exporting(refused, row)
    start_and_end(tracing, SPANS)
    assert tracing.close() < 1
    assert (row.spans_exported, row.spans_dropped) == (0, SPANS)


def test_a_silent_collector_ends_it_at_the_bound_and_losses_are_counted_and_told(
    row: Row, silent: str, lines: Lines
) -> None:
    tracing = exporting(silent, row)
    start_and_end(tracing, SPANS)
    assert tracing.close(within_seconds=0.3) < 0.3 + 0.5
    assert (row.spans_exported, row.spans_dropped) == (0, SPANS)
    assert lines.names == ["span_export_failed"]


def test_a_full_queue_costs_spans_that_are_counted_at_once_and_add_up_in_the_end(row: Row, silent: str) -> None:
    tracing, most = exporting(silent, row), QUEUE_SPANS + BATCH_SPANS
    began = time.monotonic()
    start_and_end(tracing, most + 500)
    assert time.monotonic() - began < 2, "ending a span never waits"
    assert row.spans_dropped >= 500
    tracing.close(within_seconds=0.3)
    assert (row.spans_exported, row.spans_dropped) == (0, most + 500)


@pytest.mark.parametrize("status", [400, 413, 500])
def test_a_collector_that_refuses_for_good_is_asked_once_a_batch(row: Row, lines: Lines, status: int) -> None:
    with collecting() as collector:
        collector.statuses = [status]
        tracing = exporting(collector.endpoint, row)
        start_and_end(tracing, SPANS)
        eventually(lambda: row.spans_dropped == SPANS, "the loss counted", 5)
        start_and_end(tracing, 1)
        eventually(lambda: row.spans_exported == 1, "the next batch", 5)
        tracing.close()
    assert collector.requests == 2
    assert lines.names == ["span_export_failed", "span_export_recovered"]
    assert lines.parsed[0]["reason"] == f"status {status}"


def test_a_collector_that_is_busy_is_asked_again(row: Row) -> None:
    with collecting() as collector:
        collector.statuses = [503, 429]
        tracing = exporting(collector.endpoint, row)
        start_and_end(tracing, SPANS)
        eventually(lambda: row.spans_exported == SPANS, "the third attempt", 10)
        tracing.close()
    assert (len(collector.spans), row.spans_dropped, collector.requests) == (SPANS, 0, 3)


def test_spans_that_a_collector_rejects_are_counted_as_dropped(row: Row) -> None:
    with collecting() as collector:
        collector.rejected = 30
        tracing = exporting(collector.endpoint, row)
        start_and_end(tracing, SPANS)
        tracing.close()
    assert (row.spans_exported, row.spans_dropped) == (SPANS - 30, 30)


def test_a_connection_that_the_collector_closed_while_idle_costs_nothing(row: Row, lines: Lines) -> None:
    with collecting() as collector:
        collector.closes_after_answer = True
        tracing = exporting(collector.endpoint, row)
        for number in range(1, 4):
            start_and_end(tracing, 1)
            eventually(lambda: row.spans_exported == number, "the span", 5)  # noqa: B023 - called at once
        tracing.close()
    assert (row.spans_dropped, lines.names) == (0, [])


def test_headers_and_compression_are_as_the_environment_wants_them(row: Row) -> None:
    with collecting() as collector:
        tracing = exporting(collector.endpoint, row, headers={"x-tenant": "shop"}, is_compressed=True)
        start_and_end(tracing, SPANS)
        tracing.close()
    assert len(collector.spans) == SPANS
    assert (collector.headers["x-tenant"], collector.headers["Content-Encoding"]) == ("shop", "gzip")


def test_without_an_endpoint_there_is_nothing_to_wait_for(row: Row) -> None:
    tracing = Tracing(None, lambda: 1.0)
    start_and_end(tracing, SPANS)
    assert tracing.close() < 0.5
    assert (row.spans_exported, row.spans_dropped) == (0, 0)

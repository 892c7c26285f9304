"""All slots' files read as one: by several threads at once, of several versions of the code."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from hola.scoreboard import Scoreboard
from hola.telemetry import metric_reader
from hola.telemetry.metric_files import SeriesFile
from hola.telemetry.metric_values import SlotValues
from hola.telemetry.metrics import Exposition, Metrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples(exposition: Exposition) -> list[tuple[str, float]]:
    """Every sample by its name and the values of its labels, as a strict parser reads them."""
    families = parse_openmetrics(exposition.render(OPENMETRICS)[0].decode())
    return [(" ".join([s.name, *s.labels.values()]), s.value) for family in families for s in family.samples]


def count(directory: Path, board: Scoreboard, help_text: str, times: int) -> None:
    """What a worker of slot 0 counts whose code has this help text."""
    values.ValueClass = SlotValues(directory, 0, board.rows[0])
    registry = CollectorRegistry()
    Counter("orders_total", help_text, registry=registry).inc(times)
    seconds = Histogram("order_seconds", help_text, registry=registry, buckets=(0.1,))
    for _ in range(times):
        seconds.observe(0.0625)


def test_scrapes_at_once_count_nothing_twice(
    tmp_path: Path, metrics: Metrics, board: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        metrics.observe("GET", f"/{number}", 200, 0.1, None)
    exposition, first_inside = Exposition(tmp_path, [], board, board.rows[0]), threading.Barrier(2)
    parse, met = metric_reader._parse, threading.local()

    def parse_together(name: bytes) -> object:
        if not hasattr(met, "other"):  # each thread waits for another one in the middle of a file, but not for long
            met.other = True
            with suppress(threading.BrokenBarrierError):
                first_inside.wait(0.5)
        return parse(name)

    monkeypatch.setattr(metric_reader, "_parse", parse_together)
    scrapes = [threading.Thread(target=exposition.render, args=("",)) for _ in range(2)]
    for scrape in scrapes:
        scrape.start()
    for scrape in scrapes:
        scrape.join()
    assert sum(value for name, value in samples(exposition) if name.startswith("http_requests_total")) == 20


def test_code_with_another_help_text_counts_on_in_the_same_series(tmp_path: Path, board: Scoreboard) -> None:
    exposition = Exposition(tmp_path, [], board, board.rows[0])
    count(tmp_path, board, "Orders.", 8)
    before = samples(exposition)
    count(tmp_path, board, "Orders that were taken.", 2)
    found = samples(exposition)
    assert [name for name, _value in found] == [name for name, _value in before]
    assert dict(found) == {
        "orders_total": 10,
        "order_seconds_bucket 0.1": 10,
        "order_seconds_bucket +Inf": 10,
        "order_seconds_count": 10,
        "order_seconds_sum": 0.625,
    }


@pytest.mark.parametrize("labels", [{}, {"le": "much"}], ids=["without a bound", "with no number for it"])
def test_a_bucket_without_a_bound_is_an_error_and_costs_nothing_else(
    tmp_path: Path, board: Scoreboard, labels: dict[str, str]
) -> None:
    exposition = Exposition(tmp_path, [], board, board.rows[0])
    count(tmp_path, board, "Orders.", 1)
    broken = json.dumps(["order_seconds", "order_seconds_bucket", labels, "Orders."]).encode()
    SeriesFile(tmp_path / "histogram_1.db").place(broken)
    assert dict(samples(exposition))["order_seconds_count"] == 1
    assert board.totals("metrics_errors", ("metrics_errors",)) == {"metrics_errors": 1}

"""All slots' files read as one: by several threads at once, of several versions of the code."""

from __future__ import annotations

import json
import math
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from hola.scoreboard import Scoreboard
from hola.telemetry import metric_reader
from hola.telemetry.metric_files import SeriesFile
from hola.telemetry.metric_values import SlotValues
from hola.telemetry.metrics import Exposition, Metrics
from tests.unit.conftest import Lines

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


@pytest.mark.parametrize(
    "name",
    [
        json.dumps(["order_seconds", "order_seconds_bucket", {}, "Orders."]),
        json.dumps(["order_seconds", "order_seconds_bucket", {"le": "much"}, "Orders."]),
        "broken",
    ],
    ids=["a bucket without a bound", "with no number for it", "no name"],
)
def test_a_broken_name_is_an_error_and_costs_nothing_else(
    tmp_path: Path, board: Scoreboard, lines: Lines, name: str
) -> None:
    """At each scrape, and told once; what stands before and behind it in the same file is shown."""
    count(tmp_path, board, "Orders.", 1)
    file = SeriesFile(tmp_path / "histogram_1.db")
    for each in (pages(0.5, "before"), name.encode(), pages(math.inf, "before"), pages(math.inf, "behind")):
        file.reals[file.place(each) // 8] = 2.0
    exposition = Exposition(tmp_path, [], board, board.rows[0])
    for scrapes in (1, 2, 3):
        found = dict(samples(exposition))
        assert (found["order_seconds_count"], found["pages_count before"], found["pages_count behind"]) == (1, 4, 2)
        assert board.totals("metrics_errors", ("metrics_errors",)) == {"metrics_errors": scrapes}
    [told] = lines.parsed
    assert (told["event"], told["file"]) == ("metrics_file_broken", str(tmp_path / "histogram_1.db"))


def pages(bound: float, of: str) -> bytes:
    labels = {"of": of, "le": "+Inf" if bound == math.inf else str(bound)}
    return json.dumps(["pages", "pages_bucket", labels, "Pages."]).encode()


def test_a_file_that_is_replaced_while_it_is_opened_exchanges_no_series(
    tmp_path: Path, board: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (SeriesFile(tmp_path / name) for name in ("counter_1.db", "new"))
    for file, names in ((old, "ab"), (new, "ba")):
        for name in names:
            place = file.place(json.dumps(["asked", "asked_total", {"of": name}, "Asked."]).encode())
            file.reals[place // 8] = ord(name)
    exposition = Exposition(tmp_path, [], board, board.rows[0])
    really_open = Path.open

    def open_and_replace(path: Path, *arguments: Any, **more: Any) -> Any:
        opened = really_open(path, *arguments, **more)
        if path.name == "counter_1.db" and (tmp_path / "new").exists():
            (tmp_path / "new").rename(path)
        return opened

    monkeypatch.setattr(Path, "open", open_and_replace)
    for _ in range(2):
        assert dict(samples(exposition)) == {"asked_total a": ord("a"), "asked_total b": ord("b")}


def test_a_gauges_file_that_is_torn_costs_no_other_gauge(tmp_path: Path, board: Scoreboard, lines: Lines) -> None:
    """And is told each time that it is torn."""
    values.ValueClass = SlotValues(tmp_path, 0, board.rows[0])
    Gauge("waiting", "Waiting.", registry=CollectorRegistry(), multiprocess_mode="sum").set(6)
    exposition, torn = Exposition(tmp_path, [], board, board.rows[0]), tmp_path / "gauge_sum_1.db"
    for _ in range(2):
        torn.write_bytes(b"torn")
        for _ in range(3):
            assert dict(samples(exposition)) == {"waiting": 6}
        torn.unlink()
        assert dict(samples(exposition)) == {"waiting": 6}
    assert [(line["event"], line["file"]) for line in lines.parsed] == [("metrics_file_broken", str(torn))] * 2
    assert board.totals("metrics_errors", ("metrics_errors",)) == {"metrics_errors": 6}

"""prometheus-client's metrics over the slot's files: exemplars, gauges, and what happens when there is no room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Summary

from hola.scoreboard import FREE, READY, Scoreboard
from hola.telemetry.metric_reader import SlotFiles
from hola.telemetry.metric_values import count_in
from hola.telemetry.metrics import Metrics
from tests.unit.conftest import Lines

TRACES = [f"{number:032x}" for number in range(1, 9)]


class Fullness:
    """A file system that has room, or has none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self._allocate = os.posix_fallocate
        monkeypatch.setattr(os, "posix_fallocate", self)

    def __call__(self, fd: int, offset: int, size: int) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._allocate(fd, offset, size)


@pytest.fixture
def fullness(monkeypatch: pytest.MonkeyPatch) -> Fullness:
    return Fullness(monkeypatch)


def read(directory: Path, board: Scoreboard) -> dict[str, float]:
    """Every sample by its name and the values of its labels."""
    collector = SlotFiles(directory, lambda: None, lambda slot: board.rows[slot].state != FREE)
    return {f"{s.name} {' '.join(s.labels.values())}".strip(): s.value for m in collector.collect() for s in m.samples}


def exemplars(directory: Path) -> dict[str, str]:
    """The trace id of each bucket of requests' durations, by its upper bound."""
    families = SlotFiles(directory, lambda: None, lambda slot: True).collect()
    return {s.labels["le"]: s.exemplar.labels["trace_id"] for m in families for s in m.samples if s.exemplar}


def test_each_bucket_keeps_the_latest_trace_id_whichever_worker_saw_it(tmp_path: Path, board: Scoreboard) -> None:
    workers = [Metrics(tmp_path, slot, board.rows[slot]) for slot in range(2)]
    for number, (worker, seconds) in enumerate([(0, 0.002), (1, 0.002), (1, 0.3), (0, 0.3), (0, 99.0)]):
        workers[worker].observe("GET", "/", 200, seconds, None, TRACES[number])
    workers[0].observe("GET", "/", 200, 0.002, None)
    assert exemplars(tmp_path) == {"0.0025": TRACES[1], "0.5": TRACES[3], "+Inf": TRACES[4]}


def test_a_slots_files_have_one_writer_however_often_it_is_asked_for(tmp_path: Path, board: Scoreboard) -> None:
    first = count_in(tmp_path, 3, board.rows[3])
    early = Counter("jobs_total", "Ours, made by a module.", registry=CollectorRegistry())
    Metrics(tmp_path, 3, board.rows[3]).observe("GET", "/", 200, 0.002, None)
    early.inc()
    assert count_in(tmp_path, 3, board.rows[3]) is first
    assert count_in(tmp_path, 4, board.rows[4]) is not first
    found = read(tmp_path, board)
    assert (found["jobs_total"], found["http_requests_total GET / 200"]) == (1, 1)


def test_a_summary_is_shown(tmp_path: Path, board: Scoreboard) -> None:
    for slot in (3, 4):
        count_in(tmp_path, slot, board.rows[slot])
        Summary("basket_items", "Ours.", registry=CollectorRegistry()).observe(2)
    found = read(tmp_path, board)
    assert (found["basket_items_count"], found["basket_items_sum"]) == (2, 4)


def test_an_exemplar_half_written_is_left_out_and_the_next_one_shown(tmp_path: Path, board: Scoreboard) -> None:
    metrics = Metrics(tmp_path, 0, board.rows[0])
    metrics.observe("GET", "/", 200, 0.002, None, TRACES[0])
    path = tmp_path / "exemplar_0.bin"
    data = bytearray(path.read_bytes())
    start = data.index(bytes.fromhex(TRACES[0])) - 8
    whole = bytes(data[start : start + 8])
    for begun in (b"\x07" * 8, whole):
        data[start : start + 8] = begun
        with path.open("r+b") as file:
            file.write(data)
        assert exemplars(tmp_path) == ({"0.0025": TRACES[0]} if begun == whole else {})


def test_no_room_from_the_start_costs_nothing_but_the_series(
    tmp_path: Path, board: Scoreboard, fullness: Fullness, lines: Lines
) -> None:
    fullness.is_full = True
    metrics = Metrics(tmp_path, 3, board.rows[3])
    for _ in range(5):
        metrics.observe("GET", "/", 200, 0.002, 0.001, TRACES[0])
    metrics.settle()
    assert board.rows[3].metrics_homeless > 0
    (line,) = lines.parsed
    assert (line["event"], line["level"], line["reason"]) == ("metrics_degraded", "error", "no space left on device")
    fullness.is_full = False
    metrics.settle()
    metrics.observe("GET", "/", 200, 0.002, 0.001, TRACES[1])
    assert read(tmp_path, board)["http_requests_total GET / 200"] == 6
    assert board.rows[3].metrics_homeless == 0
    assert lines.names == ["metrics_degraded", "metrics_recovered"]
    assert exemplars(tmp_path) == {"0.0025": TRACES[1]}


def test_a_full_file_keeps_counting_what_it_has_and_shows_the_rest_later(
    tmp_path: Path, board: Scoreboard, fullness: Fullness
) -> None:
    metrics = Metrics(tmp_path, 3, board.rows[3])
    metrics.observe("GET", "/", 200, 0.002, None)
    fullness.is_full = True
    for number in range(400):
        metrics.observe("GET", f"/{number}/a-rather-long-route-to-fill-the-file", 200, 0.002, None)
        metrics.observe("GET", "/", 200, 0.002, None)
    found = read(tmp_path, board)
    assert found["http_requests_total GET / 200"] == 401
    assert "http_requests_total GET /399/a-rather-long-route-to-fill-the-file 200" not in found
    fullness.is_full = False
    metrics.settle()
    found = read(tmp_path, board)
    assert {found[key] for key in found if key.startswith("http_requests_total GET /3")} == {1}
    assert found["http_request_duration_seconds_count GET /399/a-rather-long-route-to-fill-the-file"] == 1


def test_a_histogram_that_has_room_in_part_is_not_shown_until_it_has_all(
    tmp_path: Path, board: Scoreboard, fullness: Fullness
) -> None:
    metrics = Metrics(tmp_path, 3, board.rows[3])
    fullness.is_full = True
    number = 0
    while not board.rows[3].metrics_homeless:
        metrics.observe("GET", f"/{number}", 200, 0.002, None)
        number += 1
    last = f"http_request_duration_seconds_bucket GET /{number - 1}"
    assert not any(name.startswith(last) for name in read(tmp_path, board))
    fullness.is_full = False
    metrics.settle()
    assert read(tmp_path, board)[f"{last} +Inf"] == 1


def test_a_live_gauge_of_an_application_goes_with_its_worker(tmp_path: Path, board: Scoreboard) -> None:
    Metrics(tmp_path, 3, board.rows[3])
    registry, board.rows[3].state = CollectorRegistry(), READY
    Gauge("queue_length", "Ours.", registry=registry, multiprocess_mode="livesum").set(4)
    Counter("jobs_total", "Ours.", registry=registry).inc(2)
    assert read(tmp_path, board)["queue_length"] == 4
    board.rows[3].state = FREE
    found = read(tmp_path, board)
    assert ("queue_length" in found, found["jobs_total"]) == (False, 2)
    Metrics(tmp_path, 3, board.rows[3])
    board.rows[3].state = READY
    Gauge("queue_length", "Ours.", registry=CollectorRegistry(), multiprocess_mode="livesum")
    assert read(tmp_path, board)["queue_length"] == 0, "the slot's next worker begins anew"

"""What gunicorn's hooks do to the scoreboard: slots are given, named, given back, and their counters stay."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hola.scoreboard import BOOTING, FREE, LEVELS, READY, SLOTS
from hola.server import lifecycle
from hola.telemetry.logs import LOGS
from tests.unit.conftest import Lines


@pytest.fixture(autouse=True)
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> lifecycle._Service:
    """A service as `begin` makes it, without a master."""
    monkeypatch.setattr(lifecycle, "_configure_logs", lambda values: None)  # they go to the test's file
    monkeypatch.setattr(lifecycle, "_service", None)
    lifecycle.begin({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "HOLA_TYPO": "1"})
    return lifecycle._current()


def fork(server: Any, age: int = 1) -> Any:
    """A worker as the arbiter makes it, up to the fork."""
    worker = SimpleNamespace(age=age, cfg=SimpleNamespace(threads=8), pid=1000 + age)
    worker.join = lambda settings, board: setattr(worker, "board", board)
    lifecycle.pre_fork(server, worker)
    server.WORKERS[worker.pid] = worker
    return worker


@pytest.fixture
def server() -> Any:
    return SimpleNamespace(WORKERS={})


def test_each_worker_gets_the_lowest_slot_that_no_living_one_has(server: Any) -> None:
    workers = [fork(server, age) for age in range(4)]
    assert [worker.slot for worker in workers] == [0, 1, 2, 3]
    lifecycle.child_exit(server.WORKERS.pop(workers[1].pid))
    assert [fork(server, age).slot for age in (10, 11)] == [1, 4]


def test_a_second_master_takes_the_upper_slots_and_a_third_the_lower_again(
    service: lifecycle._Service, server: Any
) -> None:
    server.cfg = SimpleNamespace(env_orig={})
    for first_slot, next_slot in ((0, SLOTS // 2), (SLOTS // 2, 0)):
        service.first_slot = first_slot
        lifecycle.pre_exec(server)
        assert server.cfg.env_orig["_HOLA_FIRST_SLOT"] == str(next_slot)
        assert server.cfg.env_orig["PROMETHEUS_MULTIPROC_DIR"] == str(service.metrics_dir.path)
        assert server.cfg.env_orig["_HOLA_RECORDS"] == service.board.bequeath()
        server.WORKERS.clear()
        assert fork(server).slot == first_slot


def test_a_worker_is_booting_then_ready_then_gone(service: lifecycle._Service, server: Any, lines: Lines) -> None:
    worker = fork(server)
    row = service.board.rows[worker.slot]
    assert row.state == BOOTING
    lifecycle.post_fork(worker)
    assert (row.pid, row.threads) == (os.getpid(), 8)
    lifecycle.post_worker_init(worker)
    assert row.state == READY
    lifecycle.child_exit(worker)
    assert (row.state, row.pid, row.threads) == (FREE, 0, 0)
    assert [(line["event"], line["slot"]) for line in lines.parsed] == [("worker_started", 0), ("worker_ready", 0)]


def test_a_slots_counters_stay_when_its_worker_is_gone(service: lifecycle._Service, server: Any) -> None:
    worker = fork(server)
    worker.row.add("lines", 0, 5)
    worker.row.cpu_seconds, worker.row.spans_exported, worker.row.in_progress = 1.5, 7, 3
    lifecycle.child_exit(server.WORKERS.pop(worker.pid))
    assert worker.row.counts("lines", LEVELS)["debug"] == 5
    assert (worker.row.cpu_seconds, worker.row.in_progress) == (1.5, 0)
    assert fork(server, 2).row.spans_exported == 7


def test_a_reload_keeps_the_service_that_is_there(service: lifecycle._Service) -> None:
    assert lifecycle.begin({"PORT": "not read"}) is service.settings
    assert lifecycle._current() is service


def test_wrong_settings_end_the_process_with_one_line(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    monkeypatch.setattr(lifecycle, "_service", None)
    monkeypatch.setattr(LOGS, "configure", lambda *arguments: None)
    with pytest.raises(SystemExit) as caught:
        lifecycle.begin({"PORT": "x", "HOLA_THREADS": "0"})
    assert caught.value.code == 78
    (line,) = lines.parsed
    assert (line["event"], line["level"]) == ("settings_invalid", "critical")
    assert [fault["path"] for fault in line["faults"]] == ["PORT", "HOLA_THREADS"]


@pytest.mark.parametrize("is_draining", [True, False])
def test_while_draining_every_answer_closes_its_connection(service: lifecycle._Service, is_draining: bool) -> None:
    closed: list[bool] = []
    service.board.pod.draining = int(is_draining)
    lifecycle.pre_request(SimpleNamespace(force_close=lambda: closed.append(True)))
    assert closed == [True] * is_draining

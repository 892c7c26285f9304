"""Handlers that hang: seen, told with their stacks, and gone with their worker, one worker at a time."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support import Service, eventually

LIMIT = 2.0


def test_a_service_that_hangs_everywhere_comes_back(tmp_path: Path) -> None:
    """Rows B7, B12, E2: every thread of every worker hangs; liveness answers, stacks are told, it serves again."""
    with (
        Service(tmp_path, HOLA_REQUEST_SECONDS=str(LIMIT)) as service,
        ThreadPoolExecutor(32) as pool,
    ):
        service.ready()
        hung = [pool.submit(_hang, service) for _ in range(32)]
        eventually(lambda: _busy(service) == 32, "32 handlers at once", 5)
        started = time.monotonic()
        assert service.get("/livez").status == 200
        assert time.monotonic() - started < 1
        assert service.get("/metrics").status == 200
        assert service.get("/version").status == 200
        back = time.monotonic() - started
        print(f"serves again after {back:.1f} s")
        assert back < LIMIT + 5
        eventually(lambda: len(service.events("worker_exited")) == 4, "all four replaced", 15)
        stuck = service.events("worker_stuck")
        assert any("delay" in frame for frame in stuck[0]["stack"])
        assert {line["reason"] for line in service.events("worker_exited")} == {"timeout"}
        _check_one_at_a_time(service)
        assert all(answer.result() is None for answer in hung)
        assert service.metrics()['hola_worker_exits_total{reason="timeout"}'] == 4


def test_after_a_reload_a_turn_is_given_back_as_well(tmp_path: Path) -> None:
    """Rows A9, B12: workers in other slots than those they replace follow each other as soon as they are ready."""
    with (
        Service(tmp_path, HOLA_REQUEST_SECONDS=str(LIMIT), WEB_CONCURRENCY="2", HOLA_THREADS="2") as service,
        ThreadPoolExecutor(4) as pool,
    ):
        service.ready().process.send_signal(signal.SIGHUP)
        eventually(lambda: len(service.events("worker_exited")) == 2, "the old workers' ends", 20)
        hung = [pool.submit(_hang, service) for _ in range(4)]
        eventually(lambda: _busy(service) == 4, "4 handlers at once", 5)
        eventually(lambda: len(service.events("worker_exited")) == 4, "both replaced", 25)
        assert {line["worker_slot"] for line in service.events("worker_exited")[2:]} == {2, 3}
        assert all(hang.result() is None for hang in hung)


def test_the_others_of_a_stuck_worker_lose_nothing(tmp_path: Path) -> None:
    """Row B12: one handler hangs, its neighbours finish, and the next answer comes soon."""
    with Service(tmp_path, HOLA_REQUEST_SECONDS=str(LIMIT), WEB_CONCURRENCY="1") as service:
        service.ready()
        statuses: list[int] = []
        hanging = threading.Thread(target=_hang, args=(service,))
        hanging.start()
        eventually(lambda: _busy(service) == 1, "the one that hangs", 3)
        neighbour = threading.Thread(target=lambda: statuses.append(service.get("/delay/1.9").status))
        eventually(lambda: _age_of_the_first(service) > LIMIT / 2, "some time", 5)
        neighbour.start()
        service.wait_for("worker_exited", 10, reason="timeout")
        neighbour.join(10)
        assert statuses == [200]
        assert service.get("/").status == 200
        hanging.join(10)


def _hang(service: Service) -> None:
    try:
        service.get("/delay/50")
    except OSError:
        return


def _busy(service: Service) -> int:
    return sum(worker["threads_busy"] for worker in service.workers())


def _age_of_the_first(service: Service) -> float:
    started = service.events("worker_ready")[0]["timestamp"]
    return time.time() - time.mktime(time.strptime(started[:19], "%Y-%m-%dT%H:%M:%S"))


def _check_one_at_a_time(service: Service) -> None:
    """Between two ends there is a new worker that is ready."""
    story = [line["event"] for line in service.lines if line["event"] in ("worker_exited", "worker_ready")][4:]
    assert all(pair != ("worker_exited", "worker_exited") for pair in itertools.pairwise(story)), story

"""Nothing lost: restarts behind a real balancer, reloads, upgrades, deaths, all under load."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.balancer import Load, balancing
from tests.lab.conftest import require_part
from tests.support import Service, eventually, free_port

RESTARTS = int(os.environ.get("LAB_RESTARTS", "6"))
RELOADS = int(os.environ.get("LAB_RELOADS", "4"))
UPGRADES = int(os.environ.get("LAB_UPGRADES", "3"))
KILLS = int(os.environ.get("LAB_KILLS", "5"))


@pytest.fixture(autouse=True)
def _haproxy() -> None:
    require_part("haproxy", shutil.which("haproxy") is not None)


def _restart_in_turn(directory: Path, drain: str, rounds: int) -> Load:
    """Two services behind the balancer, restarted one after the other, `rounds` times in all."""
    ports = [free_port(), free_port()]
    places = [directory / "a", directory / "b"]
    for place in places:
        place.mkdir()
    with ExitStack() as stack:
        running = [_start(stack, place, port, drain) for place, port in zip(places, ports, strict=True)]
        front = stack.enter_context(balancing(directory, ports))
        with Load(front) as load:
            for number in range(rounds):
                which = number % 2
                assert running[which].stop() == 0
                shutil.rmtree(places[which])
                places[which].mkdir()
                running[which] = _start(stack, places[which], ports[which], drain)
                _settle(load)
    return load


def test_rolling_restarts_lose_nothing(tmp_path: Path) -> None:
    """Rows B3, B4, E1: readiness goes first, everything is served on, then it stops."""
    load = _restart_in_turn(tmp_path, "1", RESTARTS)
    print(f"{RESTARTS} restarts, {load.answered} answered, slowest {load.slowest:.2f} s")
    assert not load.failures, load.failures[:5]


def test_without_a_drain_restarts_lose_requests(tmp_path: Path) -> None:
    """The same without a drain: so the test above can fail."""
    assert _restart_in_turn(tmp_path, "0", 4).failures


def test_reloads_lose_nothing(tmp_path: Path) -> None:
    """Row B9: HUP under load."""
    with Service(tmp_path) as service, Load(service.ready().port) as load:
        for number in range(1, RELOADS + 1):
            service.process.send_signal(signal.SIGHUP)
            _ended(service, "reloaded", 4 * number)
    print(f"{RELOADS} reloads, {load.answered} answered, slowest {load.slowest:.2f} s")
    assert not load.failures, load.failures[:5]


def test_upgrades_lose_nothing(tmp_path: Path) -> None:
    """Row B20: USR2, the second master ready, TERM to the first; counters go on."""
    with Service(tmp_path) as service, Load(service.ready().port) as load:
        master = service.process.pid
        for number in range(1, UPGRADES + 1):
            os.kill(master, signal.SIGUSR2)
            eventually(lambda: len(service.events("server_ready")) == number + 1, "the next master", 30)  # noqa: B023
            os.kill(master, signal.SIGTERM)
            eventually(lambda: len(service.events("server_stopped")) == number, "the end of the one before", 30)  # noqa: B023
            before, master = master, service.events("server_ready")[-1]["pid"]
            eventually(lambda: _parent(master) != before, "the new master on its own", 5)  # noqa: B023
        answered, lost = load.answered, list(load.failures)
        assert service.total('http_requests_total{method="GET",route="/",') >= answered, "counters go on"
        os.kill(master, signal.SIGQUIT)  # the harness knows the first master only
        eventually(lambda: len(service.events("server_stopped")) == UPGRADES + 1, "the end of the last", 30)
    print(f"{UPGRADES} upgrades, {answered} answered")
    assert not lost, lost[:5]


def test_more_and_fewer_workers_lose_nothing(tmp_path: Path) -> None:
    """Row B19: TTIN and TTOU."""
    with Service(tmp_path) as service, Load(service.ready().port) as load:
        for number in range(1, 6):
            service.process.send_signal(signal.SIGTTIN)
            eventually(lambda: len(service.events("worker_ready")) == 4 + number, "one more", 20)  # noqa: B023
            service.process.send_signal(signal.SIGTTOU)
            _ended(service, "stopped", number)
    assert not load.failures, load.failures[:5]


def test_a_killed_worker_loses_only_its_own_requests(tmp_path: Path) -> None:
    """Row E10: at most as many as it has threads."""
    with Service(tmp_path) as service, Load(service.ready().port) as load:
        for number in range(1, KILLS + 1):
            before = len(load.failures)
            os.kill(service.workers()[number % 4]["pid"], signal.SIGKILL)
            _ended(service, "killed", number)
            eventually(lambda: len(service.events("worker_ready")) == 4 + number, "its replacement", 20)  # noqa: B023
            assert len(load.failures) - before <= 8
    print(f"{KILLS} kills, {load.answered} answered, {len(load.failures)} lost")


def _start(stack: ExitStack, place: Path, port: int, drain: str) -> Service:
    service = Service(place, PORT=str(port), HOLA_DRAIN_SECONDS=drain, WEB_CONCURRENCY="2")
    return stack.enter_context(service).ready()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _settle(load: Load) -> None:
    """Let the balancer find the service again: some answers more."""
    target = load.answered + 200
    eventually(lambda: load.answered >= target, "the load to go on", 20)


def _ended(service: Service, reason: str, number: int) -> None:
    eventually(
        lambda: sum(line["reason"] == reason for line in service.events("worker_exited")) >= number,
        f"{number} workers {reason}",
        30,
    )

"""Four processes, one service: stable slots, counters that never fall, deaths with reasons."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support import Service, eventually


def test_a_killed_worker_is_replaced_and_nothing_is_forgotten(tmp_path: Path) -> None:
    """Rows A1, A4, E10: replaced within 2 s in its slot; no counter falls; no metric file more or less."""
    files = tmp_path / "metrics"
    with Service(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(files)) as service:
        service.ready()
        service.get_many(400, 40)
        before, named = service.metrics(), sorted(path.name for path in files.glob("*.db"))
        victim = service.workers()[1]
        os.kill(victim["pid"], signal.SIGKILL)
        service.wait_for("worker_exited", 2, worker_pid=victim["pid"], reason="killed", signal="SIGKILL")
        eventually(lambda: _has_replacement(service, victim), "a ready worker in the slot", 2)
        after = service.metrics()
        assert sorted(path.name for path in files.glob("*.db")) == named
        fallen = {name for name, value in before.items() if _counts(name) and after.get(name, 0) < value}
        assert not fallen
        assert after['hola_worker_exits_total{reason="killed"}'] == 1
        assert after['hola_workers{state="ready"}'] == 4


def test_a_reload_keeps_counters_and_slots(own_service: Service) -> None:
    """Row A9: HUP executes the configuration file anew, and the slots of the living stay theirs."""
    own_service.get_many(200, 20)
    old = {worker["pid"] for worker in own_service.workers()}
    own_service.process.send_signal(signal.SIGHUP)
    own_service.wait_for("server_reloading")
    eventually(lambda: len(own_service.events("worker_exited")) == 4, "the old workers' ends", 20)
    workers = own_service.workers()
    assert not old & {worker["pid"] for worker in workers}
    assert len({worker["slot"] for worker in workers}) == 4
    assert {event["reason"] for event in own_service.events("worker_exited")} == {"reloaded"}
    assert own_service.total('http_requests_total{method="GET",route="/",') == 200


def test_a_worker_more_and_a_worker_less(own_service: Service) -> None:
    """Signals TTIN and TTOU."""
    own_service.process.send_signal(signal.SIGTTIN)
    eventually(lambda: _ready(own_service) == 5, "a fifth worker", 10)
    own_service.process.send_signal(signal.SIGTTOU)
    eventually(lambda: _ready(own_service) == 4, "four workers again", 10)


def test_a_second_master_counts_on(tmp_path: Path) -> None:
    """Row A8: USR2 does not wipe what the first master's workers still write."""
    with Service(tmp_path) as service:
        service.ready()
        service.get_many(60, 10)
        service.process.send_signal(signal.SIGUSR2)
        eventually(lambda: len(service.events("server_ready")) == 2, "the second master", 20)
        service.get_many(20, 10)
        assert service.total('http_requests_total{method="GET",route="/",') == 80
        second = service.events("server_ready")[1]["pid"]
        os.kill(second, signal.SIGQUIT)
        eventually(lambda: len(service.events("server_stopped")) == 1, "its end", 10)


def test_two_services_cannot_share_a_metrics_directory(tmp_path: Path) -> None:
    """Row A11: one directory, one owner."""
    shared = str(tmp_path / "shared")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Service(tmp_path / "a", PROMETHEUS_MULTIPROC_DIR=shared) as first:
        first.ready()
        with Service(tmp_path / "b", PROMETHEUS_MULTIPROC_DIR=shared) as second:
            assert second.process.wait(10) == 78
            assert second.events("settings_invalid")[0]["faults"][0]["code"] == "in_use"
        assert first.get("/").status == 200


def test_files_left_behind_cannot_stop_a_start(tmp_path: Path) -> None:
    """Rows A2, A10, A12: leftovers of another life are wiped, and a torn file costs only itself."""
    files = tmp_path / "metrics"
    files.mkdir()
    (files / "counter_0.db").write_bytes(os.urandom(65536))
    with Service(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(files)) as service:
        service.ready()
        (files / "counter_999.db").write_bytes(b"")
        assert service.get("/metrics").status == 200
        assert service.total("hola_metrics_file_errors_total") >= 1


def _has_replacement(service: Service, victim: dict[str, object]) -> bool:
    return any(
        worker["slot"] == victim["slot"] and worker["pid"] != victim["pid"] and worker["state"] == "ready"
        for worker in service.workers()
    )


def _ready(service: Service) -> int:
    return sum(worker["state"] == "ready" for worker in service.workers())


def _counts(name: str) -> bool:
    return name.split("{", maxsplit=1)[0].endswith(("_total", "_bucket", "_count", "_sum"))

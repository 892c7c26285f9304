"""Starting, being replaced and being killed while the document is bad: four workers serve the last known good."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.process.volume import all_run, numbered, pids, told
from tests.support import Service, eventually

BAD = {"broken": "{", "empty": "", "missing": None}


@pytest.fixture
def state(tmp_path: Path) -> str:
    """The state directory that two lives of a service share; the other directories are each life's own."""
    for life in ("first", "second"):
        (tmp_path / life).mkdir()
    return str(tmp_path / "state")


@pytest.mark.parametrize("document", BAD.values(), ids=BAD)
def test_a_restart_with_a_bad_document_serves_the_last_good(tmp_path: Path, state: str, document: str | None) -> None:
    """Rows 5 and 19: another life begins with the bad one, is ready with the last known good, and takes a good one."""
    with Service(tmp_path / "first", numbered(1), HOLA_STATE_DIR=state) as first:
        first.ready().stop()
    with Service(tmp_path / "second", document, HOLA_STATE_DIR=state) as second:
        second.ready()
        assert all_run(second, 1)
        about = second.get("/").json()
        origin = f'hola_config_info{{origin="last_known_good",revision="{about["revision"]}"}}'
        assert second.metrics()[origin] == 1
        assert second.get("/readyz").status == 200
        assert second.metrics()["hola_config_last_reload_successful"] == (document is None)
        second.put(numbered(2))
        eventually(lambda: all_run(second, 2), "number 2 from the source", 10)
        assert second.get("/config/status").json()["origin"] == "source"


def test_bad_and_nothing_kept_is_not_ready_and_ends(tmp_path: Path) -> None:
    """Row 5: never half a service: not ready, the reason is told once, exit 69 after the bounded wait."""
    with Service(tmp_path, "{", HOLA_CONFIG_BOOT_TIMEOUT_SECONDS="3") as service:
        assert service.wait_for("config_rejected", 20)["running"] == "none"
        assert service.process.wait(20) == 69
        assert (told(service, "config_rejected"), told(service, "server_ready")) == (1, 0)


def test_a_reload_while_the_document_is_bad_changes_nothing(own_service: Service) -> None:
    """Row 5: HUP with a bad document: four new workers, the same revision, no request lost."""
    own_service.put(numbered(1))
    eventually(lambda: all_run(own_service, 1), "number 1", 10)
    old = pids(own_service)
    own_service.put('{"greeting": 5}')
    own_service.wait_for("config_rejected")
    own_service.process.send_signal(signal.SIGHUP)
    eventually(lambda: told(own_service, "worker_exited") == 4, "the old workers' ends", 30)
    eventually(lambda: all_run(own_service, 1), "number 1 on the new workers", 10)
    assert not old & pids(own_service)
    assert {answer.status for answer in own_service.get_many(80, 16)} == {200}
    assert told(own_service, "config_rejected") == 1


def test_all_four_killed_while_the_document_is_bad(own_service: Service) -> None:
    """Row 17: the replacements serve the last good; no sample and no row is left of the dead."""
    own_service.put(numbered(1))
    eventually(lambda: all_run(own_service, 1), "number 1", 10)
    own_service.put("{")
    own_service.wait_for("config_rejected")
    dead = pids(own_service)
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: told(own_service, "worker_exited") == 4, "four deaths seen", 10)
    eventually(lambda: told(own_service, "worker_ready") == 8, "four replacements", 20)
    eventually(lambda: all_run(own_service, 1), "number 1 on the new workers", 10)
    assert not dead & pids(own_service)
    figures = own_service.metrics()
    assert sum(name.startswith("hola_worker_threads{") for name in figures) == 4
    assert (figures['hola_config_workers{state="current"}'], figures['hola_config_workers{state="behind"}']) == (4, 0)
    assert not [name for name in figures if any(f'"{pid}"' in name for pid in dead)]


def test_the_last_known_good_is_the_last_one(own_service: Service, tmp_path: Path) -> None:
    """Row 29: many changes, put in force by different workers: what is kept for the next boot is the newest."""
    for number in range(1, 201):
        own_service.put(numbered(number))
        own_service.get("/livez")
        if number % 50 == 0:
            eventually(lambda: all_run(own_service, number), f"number {number}", 10)  # noqa: B023 - called at once
            kept = tmp_path / "state" / "last-known-good.json"
            eventually(lambda: kept.read_text() == numbered(number), f"number {number} kept", 10)  # noqa: B023 - called at once
    assert told(own_service, "config_not_saved") == 0


def test_a_nudge_at_any_moment_of_the_boot_kills_nobody(tmp_path: Path) -> None:
    """Row 33: USR1 again and again, as a sidecar's `reload_cmd` sends it, from the first worker's fork until ready."""
    with Service(tmp_path) as service:
        service.wait_for("worker_started", 20)
        eventually(lambda: _is_ready_or_dead(service), "ready", 30)
        assert service.process.poll() is None
        assert told(service, "server_ready") == 1
        assert "boot_failed" not in {event["reason"] for event in service.events("worker_exited")}
        os.kill(service.process.pid, signal.SIGUSR1)
        assert service.ready().get("/").status == 200


def _is_ready_or_dead(service: Service) -> bool:
    if service.process.poll() is None:
        service.process.send_signal(signal.SIGUSR1)
    return service.process.poll() is not None or told(service, "server_ready") > 0

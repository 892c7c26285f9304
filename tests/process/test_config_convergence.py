"""Four workers, one configuration: whoever was late, stopped, without file events or born in between."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.hammer import Hammer
from tests.process.volume import all_run, numbered, pids, rename_into, start_through, told
from tests.support import Service, eventually, run_command

NO_INOTIFY = ("unshare", "--user", "--map-root-user", "sh", "-c")
NO_INSTANCES = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$0" "$@"'


def test_each_worker_watches_for_itself(own_service: Service) -> None:
    """Row 10: a watch of its own in each of the four processes, made after the fork, and none in the master."""
    before = pids(own_service)
    assert [_watches(pid) for pid in before] == [1] * 4
    assert _watches(own_service.process.pid) == 0
    own_service.put(numbered(1))
    eventually(lambda: all_run(own_service, 1), "number 1", 10)
    assert pids(own_service) == before


def test_preload_is_refused_or_works(tmp_path: Path) -> None:
    """Row 10: `--preload` starts watchers before the fork; then nothing may start that would be blind."""
    with Service(tmp_path, numbered(0), GUNICORN_CMD_ARGS="--preload") as service:
        eventually(lambda: service.process.poll() is not None or told(service, "server_ready"), "an outcome", 20)
        if service.process.poll() is not None:
            assert service.process.wait() == 78
            assert told(service, "settings_invalid") == 1
            return
        service.ready().put(numbered(1))
        eventually(lambda: all_run(service, 1), "number 1 in all four", 10)
        assert [_watches(pid) for pid in pids(service)] == [1] * 4


def test_without_inotify_polling_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 9: no instance is left (its own user namespace, limit 0): one warning, then convergence by polling."""
    if subprocess.run([*NO_INOTIFY, NO_INSTANCES, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs user namespaces (kernel.unprivileged_userns_clone, or root)")
    start_through(monkeypatch, tmp_path, *NO_INOTIFY, NO_INSTANCES)
    with Service(tmp_path, numbered(0), HOLA_CONFIG_POLL_SECONDS="0.2") as service:
        service.ready()
        assert [_watches(pid) for pid in pids(service)] == [0] * 4
        for number in range(1, 4):
            service.put(numbered(number))
            eventually(lambda: all_run(service, number), f"number {number}", 10)  # noqa: B023 - called at once
        warnings = service.events("config_watch_degraded")
        assert {warning["mode"] for warning in warnings} == {"poll"}
        assert len(warnings) == 4, "one a worker, not one a poll"


def test_a_stopped_worker_is_seen_behind_and_catches_up(own_service: Service) -> None:
    """Row 11: SIGSTOP, a change, SIGCONT; no request is needed to wake it."""
    victim = own_service.workers()[2]["pid"]
    os.kill(victim, signal.SIGSTOP)
    try:
        eventually(lambda: _is_stopped(victim), "all its threads stopped", 10)
        own_service.put(numbered(1))
        applied = own_service.wait_for("config_applied", 10, generation=2)
        eventually(lambda: _behind(own_service) == 1, "only the stopped one behind", 10)
        url = f"http://127.0.0.1:{own_service.port}"
        code, _, _ = run_command("config", "status", "--url", url, "--wait", "0.3", "--revision", applied["revision"])
        assert code == 1
    finally:
        os.kill(victim, signal.SIGCONT)
    eventually(lambda: _behind(own_service) == 0, "none behind", 10)
    assert victim in pids(own_service)


def test_the_last_of_many_is_the_one_that_stays(own_service: Service) -> None:
    """Row 21: 50 changes as fast as they can be written: the last is in force, few were put in force on the way."""
    for number in range(1, 51):
        rename_into(own_service.config_dir, numbered(number).encode())
    eventually(lambda: all_run(own_service, 50), "number 50", 10)
    generation = own_service.metrics()["hola_config_generation"]
    print(f"50 changes at once: {generation - 1:.0f} applied")
    assert generation - 1 <= 50
    assert told(own_service, "config_applied") == generation


def test_a_nudge_reaches_all_four(tmp_path: Path) -> None:
    """Row 23: with a minute between polls nothing is seen; one USR1 to the master, then 40 requests: one revision."""
    with Service(tmp_path, numbered(0), HOLA_CONFIG_WATCH="poll", HOLA_CONFIG_POLL_SECONDS="60") as service:
        service.ready().put(numbered(1))
        assert {answer.json()["greeting"] for answer in service.get_many(40, 8)} == {"number 0"}
        service.process.send_signal(signal.SIGUSR1)
        applied = service.wait_for("config_applied", 10, generation=2)
        assert {answer.json()["greeting"] for answer in service.get_many(40, 8)} == {"number 1"}
        url = f"http://127.0.0.1:{service.port}"
        code, lines, _ = run_command("config", "status", "--url", url, "--wait", "5", "--revision", applied["revision"])
        found = next(line for line in lines if "workers" in line)
        assert code == 0
        assert [worker["revision"] for worker in found["workers"]] == [applied["revision"]] * 4


def test_a_request_keeps_the_document_it_began_with(own_service: Service) -> None:
    """Row 13: held up for 300 ms while the document changes, header and body are of the one it was bound to."""
    slow = {"id": "slow-home", "route": "/", "delay_ms": 300}
    own_service.put(numbered(0, faults=[slow]))
    own_service.wait_for("config_applied", 10, generation=2)
    changed_at = []
    with Hammer(own_service, 4) as hammer:
        for number in range(1, 6):
            eventually(lambda: own_service.metrics()["http_requests_in_progress"] >= 5, "four requests held up", 10)
            own_service.put(numbered(number, faults=[slow]))
            own_service.wait_for("config_applied", 10, generation=number + 2)
            changed_at.append(time.monotonic())
            eventually(lambda: len(hammer.answers) >= 4 * number, "their answers", 10)  # noqa: B023 - called at once
    spanning = [a for a in hammer.answers if any(a.started < moment < a.ended for moment in changed_at)]
    greetings = {(a.revision, a.about["greeting"]) for a in hammer.answers}
    print(f"{len(spanning)} of {len(hammer.answers)} requests were under way while the document changed")
    assert spanning
    assert all(a.about["revision"] == a.revision for a in hammer.answers)
    assert len(greetings) == len({revision for revision, _greeting in greetings})


def _watches(pid: int) -> int:
    """How many inotify instances a process has."""
    links = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(fd.readlink()))
    return links.count("anon_inode:inotify")


def _is_stopped(pid: int) -> bool:
    return all(") T " in (task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir())


def _behind(service: Service) -> float:
    return service.metrics()['hola_config_workers{state="behind"}']

"""The master holds on: nothing left that the kernel could give, code for a new master alone, signals at odd moments."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import Service, eventually

# An interpreter in which no process can be forked while a file is there.
WITHOUT_FORK = """
import errno, os
fork = os.fork
def refused():
    if os.path.exists({path!r}):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()
os.fork = refused
"""


@contextmanager
def _in_flight(service: Service, path: str) -> Iterator[list[int]]:
    """A request that is served meanwhile; its status is in the list afterwards."""
    statuses: list[int] = []
    client = threading.Thread(target=lambda: statuses.append(service.get(path).status))
    client.start()
    eventually(lambda: service.metrics()["http_requests_in_progress"] >= 2, "it is served", 5)
    yield statuses
    client.join()


def _idle(service: Service) -> int:
    """The process of a worker that serves nothing but, at most, this question."""
    return int(min(service.workers(), key=lambda worker: worker["threads_busy"])["pid"])


def _ready(service: Service) -> int:
    return sum(worker["state"] == "ready" for worker in service.workers())


def test_a_worker_that_cannot_be_forked_costs_nobody_else(tmp_path: Path) -> None:
    """A limit on processes: the others serve on, and there are four again when it is lifted."""
    gone = tmp_path / "no-fork"
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_FORK.format(path=str(gone)))
    with Service(tmp_path, PYTHONPATH=str(tmp_path)) as service:
        service.ready()
        with _in_flight(service, "/delay/2") as statuses:
            gone.touch()
            os.kill(_idle(service), signal.SIGKILL)
            service.wait_for("message_logged", 10, logger="gunicorn.error", level="error")
            service.process.send_signal(signal.SIGUSR2)
            eventually(lambda: len(service.events("message_logged")) >= 2, "the upgrade refused", 10)
        assert statuses == [200]
        assert service.get("/").status == 200
        gone.unlink()
        eventually(lambda: _ready(service) == 4, "four workers again", 15)


def test_a_master_without_descriptors_keeps_its_workers(tmp_path: Path) -> None:
    """No file for a heartbeat, none for the check of a reload."""
    with Service(tmp_path) as service:
        pid = service.ready().process.pid
        most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, most[1]))
        os.kill(_idle(service), signal.SIGKILL)
        service.wait_for("message_logged", 10, logger="gunicorn.error", level="error")
        service.process.send_signal(signal.SIGHUP)
        rejected = service.wait_for("server_reload_rejected", 10)
        assert "too many open files" in rejected["reason"]
        assert service.get("/").status == 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, most)
        eventually(lambda: _ready(service) == 4, "four workers again", 15)


def test_a_death_by_a_signal_without_a_name_is_told(own_service: Service) -> None:
    """Numbers 35 to 63 are real-time signals, of which Python names two."""
    victim = _idle(own_service)
    os.kill(victim, 35)
    assert own_service.wait_for("worker_exited", 10, worker_pid=victim)["signal"] == "signal 35"
    eventually(lambda: _ready(own_service) == 4, "four workers again", 15)


def test_what_only_a_new_master_can_load_changes_nothing(reloadable: Service, copy: Path) -> None:
    """Row B8: the new gunicorn.conf.py wants what the master's own modules do not have; USR2 would bring it."""
    with (copy / "hola/server/lifecycle.py").open("a") as code:
        code.write("\nKEEPALIVE_SECONDS = 75\n")
    with (copy / "gunicorn.conf.py").open("a") as settings:
        settings.write("\nworkers, keepalive = 1, lifecycle.KEEPALIVE_SECONDS\n")
    old = {worker["pid"] for worker in reloadable.workers()}
    reloadable.process.send_signal(signal.SIGHUP)
    assert "USR2" in reloadable.wait_for("server_reload_rejected", 15)["reason"]
    os.kill(_idle(reloadable), signal.SIGKILL)
    reloadable.wait_for("worker_exited", 10)
    eventually(lambda: _ready(reloadable) == 4, "four workers again, not one", 15)
    assert len(old & {worker["pid"] for worker in reloadable.workers()}) == 3


def test_a_rejected_reload_leaves_settings_as_they_were_and_the_next_is_not_forgotten(
    reloadable: Service, copy: Path
) -> None:
    """Row B8: settings, and code that dies in a worker only; then a reload while one is under way."""
    conf, wsgi = copy / "gunicorn.conf.py", copy / "hola/wsgi.py"
    whole = (conf.read_text(), wsgi.read_text())
    conf.write_text(whole[0] + "\nworkers = 1\n")
    wsgi.write_text("raise RuntimeError('only in a worker')\n")
    old = {worker["pid"] for worker in reloadable.workers()}
    reloadable.process.send_signal(signal.SIGHUP)
    reloadable.wait_for("server_reload_rejected", 20)
    conf.write_text(whole[0])
    wsgi.write_text(whole[1])
    assert {worker["pid"] for worker in reloadable.workers() if worker["state"] == "ready"} == old
    reloadable.process.send_signal(signal.SIGHUP)
    reloadable.wait_for("server_reloading")
    time.sleep(0.1)  # the master has heard it, so this is another one
    reloadable.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(reloadable.events("server_reloading")) == 3, "both reloads", 30)


def test_a_stop_during_the_check_of_a_reload_starts_no_worker(tmp_path: Path) -> None:
    """A deploy that is taken back at once: the stop lasts as long as the request in flight."""
    with Service(tmp_path, HOLA_DRAIN_SECONDS="0") as service:
        service.ready()
        with _in_flight(service, "/delay/2") as statuses:
            began = time.monotonic()
            service.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(20) == 0
            assert time.monotonic() - began < 10
        assert statuses == [200]
        assert len(service.events("worker_started")) == 4


@pytest.mark.parametrize("pause_seconds", [0.0, 0.001, 0.002, 0.003])
def test_a_worker_that_was_just_born_hears_the_stop(tmp_path: Path, pause_seconds: float) -> None:
    """TTIN, and INT before the new process has handlers of its own."""
    with Service(tmp_path) as service:
        service.ready()
        service.process.send_signal(signal.SIGTTIN)
        time.sleep(pause_seconds)
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(10) == 0
        assert {event["reason"] for event in service.events("worker_exited")} == {"stopped"}


@pytest.mark.parametrize("last_words", ["import sys; sys.exit(1)", "import os; os.kill(os.getpid(), 11)"])
def test_workers_that_die_while_they_boot_are_not_started_without_a_pause(
    reloadable: Service, copy: Path, last_words: str
) -> None:
    """A replacement that exits by itself, or crashes in a library, would be forked fifty times a second."""
    wsgi = copy / "hola/wsgi.py"
    whole = wsgi.read_text()
    wsgi.write_text(last_words + "\n")
    os.kill(_idle(reloadable), signal.SIGKILL)
    eventually(lambda: len(reloadable.events("worker_exited")) >= 3, "two attempts", 20)
    assert len(reloadable.events("worker_exited")) <= 4
    assert all(event["level"] == "error" for event in reloadable.events("worker_exited"))
    wsgi.write_text(whole)
    eventually(lambda: _ready(reloadable) == 4, "four workers again", 15)


def test_a_pod_that_was_frozen_keeps_its_workers(tmp_path: Path) -> None:
    """A paused container: every heartbeat is old when it goes on, and nobody is to blame."""
    with Service(tmp_path, GUNICORN_CMD_ARGS="--timeout 3", WEB_CONCURRENCY="2") as service:
        service.ready()
        pids = [service.process.pid, *(worker["pid"] for worker in service.workers())]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(7)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(2)
        assert service.get("/").status == 200
        assert [worker["pid"] for worker in service.workers()] == pids[1:]
        assert not service.events("worker_exited")


def test_a_worker_that_recycles_has_its_successor_at_once(tmp_path: Path) -> None:
    """One worker alone, with a long request in flight: nobody waits for its end."""
    with Service(tmp_path, WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS="--max-requests 6") as service:
        service.ready()
        with _in_flight(service, "/delay/6") as statuses:
            began = time.monotonic()
            old = service.get("/").json()["pid"]
            eventually(lambda: service.get("/").json()["pid"] != old, "another worker", 5)
            assert time.monotonic() - began < 5
        assert statuses == [200]

"""What must hold when everything else does not: wedged workers, hung requests, stalled readers, orphans."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import ROOT, Service, clean_environment, eventually, free_port

GRACEFUL = 1.0


def test_a_hung_request_cannot_hold_up_a_stop(tmp_path: Path) -> None:
    """Row B12: exit within drain + graceful + 3 s, whatever a handler does."""
    with Service(tmp_path, HOLA_DRAIN_SECONDS="0.5", HOLA_GRACEFUL_SECONDS=str(GRACEFUL)) as service:
        service.ready()
        client = threading.Thread(target=lambda: _swallow(service, "/delay/50"))
        client.start()
        eventually(lambda: service.metrics()["http_requests_in_progress"] == 2, "the request in flight", 5)
        started = time.monotonic()
        assert service.stop(10) == 0
        assert time.monotonic() - started < 0.5 + GRACEFUL + 3
        account = service.events("server_stopped")[0]
        client.join(5)
    assert (account["in_flight_at_start"], account["aborted"]) == (1, 1)


def test_a_stalled_reader_cannot_hold_up_requests_or_a_stop(tmp_path: Path) -> None:
    """Row C3: nobody reads stdout any more; requests are answered, TERM works within its bound."""
    reader, writer = os.pipe()
    (tmp_path / "config.json").write_text("{}")
    port = free_port()
    settings = {"PORT": str(port), "HOLA_CONFIG_DIR": str(tmp_path), "HOLA_STATE_DIR": str(tmp_path / "state")}
    command, environment = [ROOT / "entrypoint.sh"], clean_environment() | settings | {"HOLA_DRAIN_SECONDS": "0.5"}
    process = subprocess.Popen(command, env=environment, stdout=writer, start_new_session=True)
    client = Service.__new__(Service)
    client.port = port
    try:
        eventually(lambda: _status(client, "/readyz") == 200, "the service", 20)
        _fill(writer)
        assert [_status(client, "/") for _ in range(8)] == [200] * 8
        started = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - started < 4
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


def test_one_wedged_worker_is_not_felt_and_is_replaced(tmp_path: Path) -> None:
    """Rows B17, E3: a worker whose main loop stands still is ended by the master; the others serve meanwhile."""
    with Service(tmp_path, GUNICORN_CMD_ARGS="--timeout 2") as service:
        service.ready()
        wedged = service.workers()[3]["pid"]
        os.kill(wedged, signal.SIGSTOP)
        assert {service.get("/livez").status for _ in range(8)} == {200}
        service.wait_for("worker_exited", 10, worker_pid=wedged, reason="timeout")
        eventually(lambda: sum(w["state"] == "ready" for w in service.workers()) == 4, "four again", 10)


def test_liveness_goes_when_every_worker_is_wedged(own_service: Service) -> None:
    """Row E3: a probe that only looked at the port would still be green."""
    pids = [worker["pid"] for worker in own_service.workers()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(OSError):  # noqa: PT011 - a timeout of whichever kind
            own_service.get_within(1.0, "/livez")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert own_service.get("/livez").status == 200


def test_as_pid_1_it_reaps_orphans_and_hears_term(tmp_path: Path) -> None:
    """Row B18: in a process namespace of its own, with a stranger's orphan that exits as a failed boot would."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    (tmp_path / "config.json").write_text("{}")
    port = free_port()
    settings = {"PORT": str(port), "HOLA_CONFIG_DIR": str(tmp_path), "HOLA_STATE_DIR": str(tmp_path / "state")}
    orphaned = f"(sh -c 'sleep 2; exit 3' &) ; exec {ROOT / 'entrypoint.sh'}"
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", orphaned]
    environment = clean_environment() | settings | {"HOLA_DRAIN_SECONDS": "0"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    client = Service.__new__(Service)
    client.port = port
    try:
        eventually(lambda: _status(client, "/readyz") == 200, "the service", 20)
        inner = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        eventually(lambda: not _zombies(inner) and not _sleepers(inner), "the orphan gone", 10)
        assert _status(client, "/") == 200
        os.kill(inner, signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _swallow(service: Service, path: str) -> None:
    with suppress(OSError):
        service.get(path)


def _status(client: Service, path: str) -> int:
    try:
        return client.get(path).status
    except OSError:
        return 0


def _fill(pipe: int) -> None:
    """Leave no room in the pipe, by a description of our own."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(own, b"x" * 4095 + b"\n")
    os.close(own)


def _children(pid: int) -> list[str]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/stat").read_text() for child in found if Path(f"/proc/{child}").exists()]


def _zombies(pid: int) -> list[str]:
    return [stat for stat in _children(pid) if stat.rsplit(") ", 1)[1].startswith("Z")]


def _sleepers(pid: int) -> list[str]:
    return [stat for stat in _children(pid) if "(sh)" in stat or "(sleep)" in stat]

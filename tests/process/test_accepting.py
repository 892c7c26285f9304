"""What a worker accepts: never more than it has descriptors for, and a probe whatever the others of the pod do."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support import Service, eventually


@contextmanager
def asking(service: Service, path: str, number: int = 1) -> Iterator[list[socket.socket]]:
    """So many connections that have asked for `path`, and nothing if that is empty."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=30))
            if path:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            opened.append(client)
        yield opened


def test_without_descriptors_a_worker_rests_and_goes_on(tmp_path: Path) -> None:
    """Out of descriptors at accept: what is in service is answered, what comes waits, and that is told once."""
    with Service(tmp_path, WEB_CONCURRENCY="1", HOLA_REQUEST_HEAD_SECONDS="60") as service:
        pid = service.ready().workers()[0]["pid"]
        with asking(service, "/delay/1") as [client]:
            eventually(lambda: _busy(service) == 1, "the request in service", 5)
            _leave_descriptors(pid, 8)
            with asking(service, "", 40):
                service.wait_for("message_logged", 10, logger="gunicorn.error")
                assert client.recv(12) == b"HTTP/1.1 200"
        assert service.get("/livez").status == 200
        assert len(service.events("message_logged")) == 1, "told once"
        assert not service.events("worker_exited")


def test_connections_are_fewer_than_descriptors(tmp_path: Path) -> None:
    """A limit on descriptors below the one on connections: the lower one holds, and nothing fails."""
    with Service(tmp_path, WEB_CONCURRENCY="1", HOLA_REQUEST_HEAD_SECONDS="1") as service:
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (100, 100))  # before the first fork
        service.ready()
        with asking(service, "/delay/1") as [client], asking(service, "", 100):
            assert client.recv(12) == b"HTTP/1.1 200"
            assert service.get("/livez").status == 200
        assert not service.events("message_logged")
        assert not service.events("worker_exited")


def test_a_burst_of_connections_finds_a_thread_each(tmp_path: Path) -> None:
    """Row B2: as many at once as the pod has threads, whose requests come a moment after them; nobody is second."""
    with Service(tmp_path, HOLA_THREADS="4") as service:
        service.ready()
        taken = []
        for _ in range(3):  # a slow moment of the machine may hold a client's first bytes back for long
            with asking(service, "", 16) as clients:
                began = time.monotonic()
                for client in clients:
                    client.sendall(b"GET /delay/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                for client in clients:
                    assert client.recv(12) == b"HTTP/1.1 200"
                taken.append(time.monotonic() - began)
        print(taken)
        assert min(taken) < 1.9


def test_a_probe_is_answered_beside_a_worker_that_leaves(tmp_path: Path) -> None:
    """Row E2: after a reload the old worker finishes a long request, and the new one has no thread free."""
    with Service(tmp_path, WEB_CONCURRENCY="1", HOLA_THREADS="1", HOLA_GRACEFUL_SECONDS="60") as service:
        service.ready()
        with asking(service, "/delay/40"), ExitStack() as after:
            eventually(lambda: _busy(service) == 1, "the request in service", 5)
            service.process.send_signal(signal.SIGHUP)
            eventually(lambda: _states(service) == ["draining", "ready"], "a new worker beside the old one", 20)
            after.enter_context(asking(service, "/delay/40"))
            assert [service.get_within(10, "/livez").status for _ in range(4)] == [200] * 4
            assert _busy(service) == 2, "all the time both were full"


def test_a_probe_is_answered_beside_a_worker_that_stands_still(tmp_path: Path) -> None:
    """Row E2: before the master's timeout ends the one, the other one has no thread free."""
    with Service(tmp_path, WEB_CONCURRENCY="2", HOLA_THREADS="1") as service:
        pid = service.ready().workers()[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        with asking(service, "/delay/40"):
            assert [service.get_within(10, "/livez").status for _ in range(4)] == [200] * 4
            os.kill(pid, signal.SIGCONT)


def test_idle_kept_connections_leave_room_for_others(tmp_path: Path) -> None:
    """Rows B5, E2: near its most connections a worker keeps none alive that it need not."""
    with Service(
        tmp_path, WEB_CONCURRENCY="1", HOLA_THREADS="2", GUNICORN_CMD_ARGS="--worker-connections 12"
    ) as service:
        service.ready()
        with asking(service, "/version", 12) as kept:
            answers = [client.recv(4096).lower() for client in kept]
            assert [service.get_within(10, "/livez").status for _ in range(4)] == [200] * 4
            closed = sum(b"connection: close" in answer for answer in answers)
            assert closed >= 2, "at most so many are kept as leave a connection for each thread"
        with asking(service, "/version") as [client]:
            assert b"connection: keep-alive" in client.recv(4096).lower(), "and then again"


def _busy(service: Service) -> int:
    return sum(worker["threads_busy"] for worker in service.workers())


def _states(service: Service) -> list[str]:
    return sorted(worker["state"] for worker in service.workers())


def _leave_descriptors(pid: int, number: int) -> None:
    """Let a process open so many more."""
    highest = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + number, hard))

"""Clients that are slow, or mean: none holds a thread, a worker or another client up."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import Answer, Service, eventually

HEAD_SECONDS = "2"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:"
HALF_BODY = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
HALF_CHUNKS = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
CLOSING = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, HOLA_REQUEST_HEAD_SECONDS=HEAD_SECONDS) as running:
        yield running.ready()


@contextmanager
def clients(service: Service, number: int, data: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that have sent `data` and stay open."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))
            if data:
                client.sendall(data)
            opened.append(client)
        yield opened


def timed(service: Service, path: str = "/") -> tuple[float, Answer]:
    started = time.monotonic()
    answer = service.get(path)
    return time.monotonic() - started, answer


def test_all_kinds_of_slow_clients_at_once(patient: Service) -> None:
    """Rows B1, B5, B6: the others are served as ever, the slow ones are closed in time and counted by kind."""
    with (
        clients(patient, 20, CLOSING),
        clients(patient, 40, b""),
        clients(patient, 40, HALF_HEAD) as heads,
        clients(patient, 20, HALF_BODY) as bodies,
        clients(patient, 20, HALF_CHUNKS) as chunked,
    ):
        for _round in range(3):  # noise only adds
            taken = sorted(timed(patient) for _ in range(100))
            if taken[98][0] < 0.1:
                break
        live, _ = timed(patient, "/livez")
        assert {answer.status for _, answer in taken} == {200}
        print(f"p50 {taken[50][0] * 1e3:.1f} ms, p99 {taken[98][0] * 1e3:.1f} ms, /livez {live * 1e3:.1f} ms")
        assert taken[98][0] < 0.1
        assert live < 1
        for slow in (heads[0], bodies[0], chunked[0]):
            assert slow.recv(4096).startswith(b"HTTP/1.1 408 "), "a client in the middle is told"
        eventually(lambda: _slow(patient) == (40, 40, 40), "each counted by its kind", 10)
        assert patient.total('http_requests_rejected_total{reason="head_timeout"}') == 40
        assert patient.total('http_requests_rejected_total{reason="body_timeout"}') == 40
    assert not patient.events("worker_exited")
    assert "WORKER TIMEOUT" not in str(patient.lines)


def test_a_client_that_keeps_its_socket_after_close_holds_nobody_up(patient: Service) -> None:
    """Row B1: gunicorn's own close blocks the whole worker for 2 s, for each such client."""
    with clients(patient, 20, CLOSING) as kept:
        assert {client.recv(12) for client in kept} == {b"HTTP/1.1 200"}
        slowest = max(timed(patient)[0] for _ in range(40))
        assert slowest < 0.5
        for client in kept:
            assert _read_to_the_end(client), "the server's end comes by itself"


def test_idle_connects_hold_no_thread(tmp_path: Path) -> None:
    """Row B5: as many idle connections as there are threads, and more."""
    with Service(tmp_path, HOLA_THREADS="2", WEB_CONCURRENCY="1") as service:
        service.ready()
        with clients(service, 10, b""):
            assert timed(service)[0] < 0.5


def test_a_slow_request_does_not_hold_up_fast_ones(tmp_path: Path) -> None:
    """Row B2: a worker takes no more than it can serve while another is idle."""
    with Service(tmp_path, HOLA_THREADS="1", WEB_CONCURRENCY="2") as service:
        service.ready()
        with clients(service, 1, b"GET /delay/3 HTTP/1.1\r\nHost: x\r\n\r\n"):
            eventually(lambda: service.metrics()["http_requests_in_progress"] == 2, "the slow one in service", 3)
            taken = sorted(timed(service)[0] for _ in range(40))
            print(f"slowest of 40: {taken[-1] * 1e3:.1f} ms")
            assert taken[-1] < 0.5


@pytest.mark.parametrize("first", ["", "before it", "in one packet with it"])
def test_a_body_that_never_ends_is_given_up(tmp_path: Path, first: str) -> None:
    """Row B6: each byte comes in time, the whole does not; alone, and after another request of its connection."""
    whole = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    with Service(tmp_path, HOLA_REQUEST_HEAD_SECONDS="60", HOLA_REQUEST_SECONDS="2") as service:
        service.ready()
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
            if first == "before it":
                client.sendall(whole)
                assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
            client.sendall(whole + HALF_BODY if first == "in one packet with it" else HALF_BODY)
            if first == "in one packet with it":
                assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
            started = time.monotonic()
            assert eventually(lambda: _dripped(client), "given up", 10).startswith(b"HTTP/1.1 408 ")
            assert time.monotonic() - started > 1, "not before its time"


def test_slow_bytes_of_a_whole_request_are_served(patient: Service) -> None:
    """Being slow is no fault while it goes on: byte by byte, within the time of a head."""
    with socket.create_connection(("127.0.0.1", patient.port), timeout=10) as client:
        for byte in b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n":
            client.send(bytes([byte]))
        assert client.recv(12) == b"HTTP/1.1 200"


def test_pipelined_requests_are_all_answered(patient: Service) -> None:
    """What was read ahead of one request is the next one."""
    one = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", patient.port), timeout=10) as client:
        client.sendall(one * 3 + CLOSING)
        assert _read_to_the_end(client).count(b"HTTP/1.1 200 OK") == 4


def test_expect_continue_is_answered_before_the_body(patient: Service) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", patient.port), timeout=10) as client:
        client.sendall(head)
        assert client.recv(25).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"hello")
        assert b'"body":"hello"' in _read_to_the_end(client)


RAW = {
    "both lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "unknown coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "endless length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"1" * 4301 + b"\r\n\r\n", 400),
    "signed length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "folded header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "NUL": (b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
    "long line": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n", 431),
    "large header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000 + b"\r\n\r\n", 431),
    "bad chunk": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_clean_http_is_refused_at_once(service: Service, name: str) -> None:
    """Rows B21, C9: its status, one line, within the time of an ordinary answer."""
    data, status = RAW[name]
    before = len(_told(service))
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        started = time.monotonic()
        client.sendall(data)
        answer = client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:80]
    assert time.monotonic() - started < 1
    eventually(lambda: len(_told(service)) == before + 1, "its one line", 3)


def test_a_forwarding_header_is_no_client(service: Service) -> None:
    """Row B22: a claim of being somebody else appears nowhere as client, and moves nothing."""
    claims = b"".join(b"%s: 203.0.113.9\r\n" % name for name in (b"X-Forwarded-For", b"Forwarded", b"SCRIPT_NAME"))
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"GET /version HTTP/1.1\r\nHost: claims\r\nUser-Agent: claimer\r\n" + claims + b"\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
    line = service.wait_for("request_finished", user_agent="claimer")
    assert (line["client"], line["path"]) == ("127.0.0.1", "/version")


def _dripped(client: socket.socket) -> bytes:
    """Send a byte more; the answer, if there is one by now."""
    client.settimeout(0.1)
    try:
        client.send(b"x")
        return client.recv(4096)
    except TimeoutError:
        return b""


def _told(service: Service) -> list[dict[str, object]]:
    return service.events("request_rejected") + service.events("request_finished")


def _slow(service: Service) -> tuple[float, ...]:
    figures = service.metrics()
    return tuple(figures[f'hola_slow_clients_total{{kind="{kind}"}}'] for kind in ("idle", "head", "body"))


def _read_to_the_end(client: socket.socket) -> bytes:
    data = b""
    while more := client.recv(65536):
        data += more
    return data or b"end"

"""Clients that know the protocol well: none ends a worker, and none holds a thread that others wait for."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import Service, eventually

ENDLESS = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"1" * 4301 + b"\r\n\r\n"
GET = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Service]:
    """One worker of two threads."""
    with Service(tmp_path, WEB_CONCURRENCY="1", HOLA_THREADS="2") as running:
        yield running.ready()


def connect(service: Service, data: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    client.sendall(data)
    return client


def read_all(client: socket.socket) -> bytes:
    data = b""
    while more := client.recv(65536):
        data += more
    return data


@pytest.mark.parametrize("before", [b"", GET], ids=["alone", "behind another"])
def test_a_length_that_is_no_number_costs_nobody_else_a_request(narrow: Service, before: bytes) -> None:
    """More digits than Python makes a number of: refused, and its worker lives."""
    with connect(narrow, b"GET /delay/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as in_flight:
        with connect(narrow, before + ENDLESS) as client:
            assert b"HTTP/1.1 400 " in read_all(client)
        assert read_all(in_flight).startswith(b"HTTP/1.1 200 ")
    assert narrow.workers()[0]["threads_busy"] == 0
    assert not narrow.events("worker_exited")


POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
LARGE = b"Content-Length: 2000000\r\n\r\n"
UNSENT = {
    "a body that waits to be asked for": POST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
    "a body with another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n400\r\n",
    "a head that does not end": b"GET / HTTP/1.1\r\nHost: x\r\n"
    + b"".join(b"A%d: " % n + b"b" * 8000 for n in range(9)),
    "more chunks than data": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 180_000,
    "a body above the limit": POST + LARGE,
    "a body above the limit that nobody reads": b"GET / HTTP/1.1\r\nHost: x\r\n" + LARGE,
}


@pytest.mark.parametrize("name", UNSENT)
def test_no_thread_waits_for_what_a_client_does_not_send(narrow: Service, name: str) -> None:
    """Row B6: as many such clients as there are threads, and more; each goes on sending now and then."""
    slow = [connect(narrow, UNSENT[name]) for _ in range(4)]
    eventually(lambda: _settled(narrow), "all of them taken in", 10)
    for _round in range(3):
        for client in slow:
            with suppress(OSError):  # those that were refused
                client.send(b"1")
        assert narrow.get_within(4, "/version").status == 200
    eventually(lambda: narrow.workers()[0]["threads_busy"] == 0, "all threads free", 3)
    for client in slow:
        client.close()
    assert not [line for line in narrow.lines if line["level"] in ("error", "critical")]


def test_a_body_above_the_limit_is_refused_before_it_is_sent(narrow: Service) -> None:
    """Without an invitation to go on, and without a promise to keep the connection."""
    for expect in (b"", b"Expect: 100-continue\r\n"):
        with connect(narrow, POST + expect + LARGE) as client:
            answer = read_all(client)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"Connection: close" in answer


def test_a_large_body_in_chunks_is_refused(narrow: Service) -> None:
    """Row B23: found out while it comes, and never taken for its first part."""
    with connect(
        narrow, POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n%b\r\n" % (b"a" * 0x4000) * 66
    ) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_cut_off_is_no_body(narrow: Service) -> None:
    """RFC 9112 section 8: a message that is shorter than it says is incomplete."""
    for body in (b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"):
        with connect(narrow, POST + body) as client:
            client.shutdown(socket.SHUT_WR)
            assert read_all(client).startswith(b"HTTP/1.1 400 ")
    assert {line["status"] for line in narrow.events("request_rejected")} == {400}
    assert not narrow.events("request_finished")


def test_a_malformed_body_that_nobody_reads_is_answered_once(narrow: Service) -> None:
    """A second answer would be taken for that of the next request."""
    head = b"GET /version HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(narrow, head + b"zz\r\nabc\r\n0\r\n\r\n") as client:
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_leaves_is_no_error(narrow: Service) -> None:
    """Its request's line says that it was aborted; clients that come and go raise no alarm."""
    with connect(narrow, b"GET /stream/100?pause_seconds=0.05 HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        client.recv(300)
    narrow.wait_for("request_finished", route="/stream/{lines}", aborted=True)
    assert narrow.get("/version").status == 200
    assert not [line for line in narrow.lines if line["level"] in ("error", "critical")]


def _settled(service: Service) -> bool:
    """Nothing more is dispatched: every thread is free, or held by those who hold it for good."""
    (before,), (after,) = service.workers(), service.workers()
    return bool(before["threads_busy"] == after["threads_busy"])


def slow_reader(service: Service, data: bytes) -> socket.socket:
    """A client with next to no room for an answer, that takes none of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    client.settimeout(20)
    client.connect(("127.0.0.1", service.port))
    client.sendall(data)
    return client


def test_clients_that_do_not_take_their_answers_are_cut_off(tmp_path: Path) -> None:
    """However little they take now and then; they are counted, their handlers are not blamed."""
    body = b"a" * 1_000_000
    settings = {"HOLA_REQUEST_HEAD_SECONDS": "3.5", "HOLA_REQUEST_SECONDS": "2"}
    with Service(tmp_path, WEB_CONCURRENCY="1", HOLA_THREADS="2", **settings) as service:
        service.ready()
        slow = [slow_reader(service, POST + b"Content-Length: %d\r\n\r\n" % len(body) + body) for _ in range(2)]
        assert {client.recv(1) for client in slow} == {b"H"}, "both answers have begun"
        other = threading.Thread(target=service.get, args=("/version",))
        other.start()

        def is_served() -> bool:
            for client in slow:
                with suppress(OSError):
                    client.recv(100)
            return not other.is_alive()

        eventually(is_served, "the other one served", 12)
        eventually(lambda: len(service.events("request_finished")) >= 3, "the lines of all three", 12)
        assert service.metrics()['hola_slow_clients_total{kind="answer"}'] == 2
        assert sum(line.get("aborted", False) for line in service.events("request_finished")) == 2
        assert not service.events("worker_stuck")
        for client in slow:
            client.close()


def test_scrapes_that_nobody_takes_hold_no_probe_up(narrow: Service) -> None:
    """Probes and scrapes have one thread, and clients may ask without reading."""
    slow = [slow_reader(narrow, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 60) for _ in range(3)]
    for _ in range(100):
        started = time.monotonic()
        assert narrow.get("/livez").status == 200
        assert time.monotonic() - started < 4
    for client in slow:
        client.close()


def test_unfinished_bodies_do_not_use_up_the_memory(tmp_path: Path) -> None:
    """A worker holds so much of them, and refuses whoever sends more; the others go on."""
    size = 15 << 20
    head = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    with Service(tmp_path, WEB_CONCURRENCY="1", HOLA_MAX_BODY_BYTES=str(size)) as service:
        service.ready()
        first = connect(service, head + b"a" * (size - 1))
        others = [connect(service, head) for _ in range(5)]
        for client in others:
            with suppress(OSError):  # refused in the middle
                client.sendall(b"a" * (size - 1))
        eventually(lambda: service.total('http_requests_rejected_total{reason="memory"}') >= 1, "a refusal", 10)
        first.sendall(b"a")
        assert read_all(first).startswith(b"HTTP/1.1 200 ")
        assert service.get("/version").status == 200
        for client in (first, *others):
            client.close()


def test_who_uploads_too_much_hears_why(narrow: Service) -> None:
    """Many clients listen only when they have sent it all."""
    assert narrow.get("/echo", "POST", b"a" * 10_000_000).status == 413


def test_a_proxys_binary_header_may_come_before_its_request(tmp_path: Path) -> None:
    """gunicorn's own setting, which hola leaves alone: such a header looks like the end of a head."""
    signature = b"\r\n\r\n\x00\r\nQUIT\n"
    addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + b"\x12\x34\x00\x50"
    header = signature + b"\x21\x11\x00\x0c" + addresses
    with Service(tmp_path, WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS="--proxy-protocol=v2") as service:
        service.ready()
        with connect(service, header) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            eventually(lambda: _threads_busy(service, header) == 2, "a thread that reads on", 5)
            client.sendall(GET)
            assert client.recv(12) == b"HTTP/1.1 200"


def _threads_busy(service: Service, header: bytes) -> int:
    """As seen through a proxy, this request among them: its path is behind the header, so it is no probe's."""
    with connect(service, header + b"GET /config/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
        workers = json.loads(read_all(client).partition(b"\r\n\r\n")[2])["workers"]
    return int(workers[0]["threads_busy"])

"""Clients that know the protocol well: none ends a worker, and none holds a thread that others wait for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Service

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

"""How far a request has come, in whatever pieces its bytes arrive."""

from __future__ import annotations

import time

import pytest

from hola.server.framing import MOST_HEAD_BYTES, Framing, Stage, is_operational

MOST = 20_000
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GZIPPED = POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n\r\n"
MANY_SMALL = b"1\r\na\r\n" * MOST


@pytest.mark.parametrize(
    ("data", "stage"),
    [
        (b"", Stage.IDLE),
        (POST, Stage.HEAD),
        (POST + b"\r\n", Stage.COMPLETE),
        (b"GET / HTTP/1.1\nHost: x\n\n", Stage.COMPLETE),
        (POST + b"Content-Length: 5\r\n\r\nhell", Stage.BODY),
        (POST + b"Content-Length: 5\r\n\r\nhello", Stage.COMPLETE),
        (POST + b"Content-Length: 20001\r\n\r\n", Stage.UNREAD),
        (POST + b"Content-Length: " + b"9" * 4301 + b"\r\n\r\n", Stage.UNREAD),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Stage.COMPLETE),
        (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", Stage.COMPLETE),
        (POST + b"Content-Length: five\r\n\r\n", Stage.COMPLETE),
        (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", Stage.COMPLETE),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n", Stage.COMPLETE),
        (POST + b"Expect: a miracle\r\nContent-Length: 5\r\n\r\n", Stage.COMPLETE),
        (CHUNKED + b"5\r\nhel", Stage.BODY),
        (CHUNKED + b"5;a=b\r\nhello\r\n0\r\n", Stage.BODY),
        (CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n", Stage.COMPLETE),
        (CHUNKED + b"0\r\nA: b\r\n", Stage.BODY),
        (CHUNKED + b"0\r\nA: b\r\n\r\n", Stage.COMPLETE),
        (CHUNKED + b"zz\r\n", Stage.COMPLETE),
        (CHUNKED + b"5;" + b"a" * 9000, Stage.COMPLETE),
        (CHUNKED + b"ffffffffffffffff\r\n", Stage.LARGE_BODY),
        (CHUNKED + b"4e20\r\n" + b"a" * MOST + b"\r\n0\r\n\r\n", Stage.COMPLETE),
        (CHUNKED + b"4e20\r\n" + b"a" * MOST + b"\r\n1\r\n", Stage.LARGE_BODY),
        (GZIPPED + b"5\r\nhel", Stage.BODY),
        (b"GET /" + b"a" * MOST_HEAD_BYTES, Stage.LARGE_HEAD),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * MOST_HEAD_BYTES + b"\r\n\r\n", Stage.LARGE_HEAD),
        (CHUNKED + MANY_SMALL, Stage.LARGE_BODY),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * MOST, Stage.LARGE_BODY),
    ],
)
def test_a_request_has_come_so_far(data: bytes, stage: Stage) -> None:
    assert Framing(MOST).stage(data) is stage


@pytest.mark.parametrize("head", [CHUNKED, GZIPPED])
def test_a_body_that_comes_byte_by_byte_is_complete_at_its_last(head: bytes) -> None:
    framing, received = Framing(MOST), bytearray(head)
    assert framing.stage(received) is Stage.BODY
    body = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
    stages = []
    for byte in body:
        received.append(byte)
        stages.append(framing.stage(received))
    assert stages == [Stage.BODY] * (len(body) - 1) + [Stage.COMPLETE]


def test_the_next_request_is_another_one() -> None:
    framing = Framing(MOST)
    assert framing.stage(POST + b"Content-Length: 5\r\n\r\nhello") is Stage.COMPLETE
    framing.next()
    assert framing.stage(b"") is Stage.IDLE
    assert framing.stage(CHUNKED + b"0\r\n\r\n") is Stage.COMPLETE
    framing.next()
    assert framing.stage(POST) is Stage.HEAD


@pytest.mark.parametrize(
    ("version", "length", "awaited"), [(b"1", b"5", True), (b"0", b"5", False), (b"1", b"99999", False)]
)
def test_a_client_is_told_to_go_on_only_with_what_will_be_read(version: bytes, length: bytes, awaited: bool) -> None:
    """Not in HTTP/1.0, and not when the body is refused anyway."""
    framing = Framing(MOST)
    framing.stage(b"POST / HTTP/1." + version + b"\r\nExpect: 100-Continue\r\nContent-Length: " + length + b"\r\n\r\n")
    assert framing.awaits_continue is awaited


def test_a_byte_more_costs_no_look_at_all_chunks_before() -> None:
    """Else a client makes the main loop work as hard as it likes. A thousand looks, each of them once took 20 ms."""
    framing, received = Framing(1_000_000), bytearray(CHUNKED + b"1\r\na\r\n" * 100_000 + b"4000\r\n")
    assert framing.stage(received) is Stage.BODY
    started = time.thread_time()
    for _ in range(1000):
        received += b"b"
        assert framing.stage(received) is Stage.BODY
    assert time.thread_time() - started < 1


def test_what_operators_ask_for_is_known_by_its_path() -> None:
    paths = {b"/livez": True, b"/metrics?a=b": True, b"//livez": True, b"/livezz": False, b"/config//status": False}
    assert {path: is_operational(b"GET " + path + b" HTTP/1.1") for path in paths} == paths

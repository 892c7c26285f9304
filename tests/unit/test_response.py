"""The response's way to the socket: in as few pieces as possible, and never later than gunicorn's own."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidHeader, InvalidHeaderName

from hola.server.config import WorkerConfig
from hola.server.response import MOST_JOINED_BYTES, Response

HEADERS = [("Content-Type", "text/plain"), ("X-Trace-Id", "5eed"), ("Connection", "close"), ("X-Odd", " padded ")]


class Wire:
    """A socket that notes each call."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def sendfile(self, file: Any, offset: int, count: int | None) -> int:
        self.sent.append(file.read(count))
        return len(self.sent[-1])


def request(method: str = "GET") -> Any:
    return SimpleNamespace(method=method, version=(1, 1), should_close=lambda: False)


def answered(kind: type[wsgi.Response], chunks: list[bytes], headers: list[tuple[str, str]], method: str) -> Wire:
    wire = Wire()
    response = kind(request(method), wire, Config())
    response.start_response("200 OK", headers)
    for chunk in chunks:
        response.write(chunk)
    response.close()
    return wire


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("length", [[], [("Content-Length", "8")]])
@pytest.mark.parametrize("chunks", [[], [b"whole"], [b"", b"a", b"bc"], [b"x" * (MOST_JOINED_BYTES + 1), b"y"]])
def test_the_same_bytes_leave_as_gunicorn_would_send(
    monkeypatch: pytest.MonkeyPatch, chunks: list[bytes], length: list[tuple[str, str]], method: str
) -> None:
    monkeypatch.setattr("gunicorn.util.http_date", lambda: "now")
    ours, theirs = (answered(kind, chunks, HEADERS + length, method) for kind in (Response, wsgi.Response))
    assert b"".join(ours.sent) == b"".join(theirs.sent)


def test_head_and_body_leave_in_one_piece() -> None:
    wire = answered(Response, [b"whole"], [("Content-Length", "5")], "GET")
    assert len(wire.sent) == 1
    assert wire.sent[0].endswith(b"\r\n\r\nwhole")


def test_what_is_streamed_leaves_chunk_by_chunk_as_it_comes() -> None:
    wire = Wire()
    response = Response(request(), wire, Config())  # type: ignore[arg-type]  # all it needs of a socket
    response.start_response("200 OK", [])
    for number, chunk in enumerate([b"first", b"second"], start=1):
        response.write(chunk)
        assert (len(wire.sent), wire.sent[-1].endswith(chunk + b"\r\n")) == (number, True)


def test_a_head_does_not_wait_for_a_file_that_is_sent_by_the_kernel() -> None:
    wire = Wire()
    response = Response(request(), wire, Config())  # type: ignore[arg-type]
    response.start_response("200 OK", [("Content-Length", "4")])
    response.send_headers()
    response.sock.sendfile(io.BytesIO(b"file"), 0, 4)
    assert [wire.sent[0].endswith(b"\r\n\r\n"), wire.sent[1]] == [True, b"file"]


@pytest.mark.parametrize(
    ("header", "error"), [(("X-A", "a\r\nX-B: b"), InvalidHeader), (("X A", "a"), InvalidHeaderName)]
)
def test_a_bad_header_is_refused_each_time(header: tuple[str, str], error: type[Exception]) -> None:
    """What is remembered of headers must not let one through that was refused before."""
    for _ in range(2):
        with pytest.raises(error):
            Response(request(), Wire(), Config()).start_response("200 OK", [header])  # type: ignore[arg-type]


def test_a_worker_reads_the_same_configuration() -> None:
    plain, remembered = Config(), Config()
    remembered.__class__ = WorkerConfig
    for _ in range(2):
        assert {name: getattr(remembered, name) for name in plain.settings} == {
            name: getattr(plain, name) for name in plain.settings
        }
    with pytest.raises(AttributeError):
        remembered.no_such_setting  # noqa: B018 - asking is the test

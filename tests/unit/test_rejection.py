"""What gunicorn refuses: each kind by its status and word, one line and one problem body each."""

from __future__ import annotations

import json
import socket

import pytest
from gunicorn.http import errors

from hola.server import rejection
from tests.unit.conftest import Lines


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (errors.LimitRequestLine(9000, 4094), 414, "line_too_long"),
        (errors.LimitRequestHeaders("limit"), 431, "headers_too_large"),
        (errors.UnsupportedTransferCoding("xchunked"), 501, "transfer_coding"),
        (errors.InvalidRequestLine("GET"), 400, "request_line"),
        (errors.InvalidRequestMethod("get"), 400, "method"),
        (errors.InvalidHTTPVersion("HTTP/3"), 400, "http_version"),
        (errors.InvalidHeaderName("a b"), 400, "header"),
        (errors.InvalidChunkSize("x"), 400, "body"),
    ],
)
def test_the_clients_faults_have_a_status_and_a_word(error: Exception, status: int, reason: str) -> None:
    assert rejection.refusal(error) == (status, reason)


@pytest.mark.parametrize("error", [OSError(32, "Broken pipe"), ValueError(), SystemExit(1)])
def test_other_faults_are_not_the_clients(error: BaseException) -> None:
    assert rejection.refusal(error) is None


def test_a_kind_stands_before_those_it_is_derived_from() -> None:
    """Else a subclass would be told as its base."""
    kinds = [kind for kind, _status, _reason in rejection._REFUSALS]
    assert [(a, b) for n, a in enumerate(kinds) for b in kinds[n + 1 :] if issubclass(b, a)] == []


def test_a_refusal_is_told_to_the_client_and_on_one_line(lines: Lines) -> None:
    ours, theirs = socket.socketpair()
    rejection.answer(theirs, ("192.0.2.1", 4711), 431, "headers_too_large")
    head, _, body = ours.recv(4096).partition(b"\r\n\r\n")
    ours.close()
    theirs.close()
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["status"] == 431
    (line,) = lines.parsed
    assert (line["event"], line["reason"], line["client"]) == ("request_rejected", "headers_too_large", "192.0.2.1")


def test_a_client_that_is_gone_is_no_fault(lines: Lines) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    rejection.answer(theirs, None, 400, "header")
    theirs.close()
    assert lines.names == ["request_rejected"]

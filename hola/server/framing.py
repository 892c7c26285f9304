"""How far a request has come, told from the bytes received so far.

Only as much HTTP as is needed to wait for the rest outside a thread. Whatever is unclear counts as
complete: gunicorn's strict parser then judges the very same bytes.
"""

from __future__ import annotations

import re
from enum import Enum

MOST_DIGITS = 18  # of a length: still a number of bytes that exists, and far from what int() refuses to read
MOST_HEAD_BYTES = 64 * 1024  # the parser alone would take twelve times as much
MOST_LINE_BYTES = 8192  # of a chunk's size with its extensions: what the parser refuses, too

_HEAD_END = re.compile(rb"\r?\n\r?\n")  # bare line feeds too, so that the parser refuses them at once
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CODING = re.compile(rb"\ntransfer-encoding:[ \t]*([^\r\n]*)", re.IGNORECASE)
_EXPECT = re.compile(rb"\nexpect:[ \t]*([^\r\n]*)", re.IGNORECASE)
_MORE = re.compile(rb"\n(?:content-length|transfer-encoding|expect):", re.IGNORECASE)  # all that may come behind a head
# RFC 9110 section 10.1.1: not in HTTP/1.0
_CAN_CONTINUE = re.compile(rb"(?:PROXY [^\r\n]*)?(?:\r\n)?[^\r\n]* HTTP/1\.1\r\n")
_CHUNKED = re.compile(rb"(?:(?:gzip|deflate|compress|identity)[ \t]*,[ \t]*)*chunked")  # all that the parser accepts
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})[^\r\n]*\r\n")
_OPERATIONS = re.compile(rb"GET /+(livez|healthz|readyz|metrics|config/status)[ ?]")  # `//livez` is routed as `/livez`


class Stage(Enum):
    """What is still to come."""

    IDLE = "idle"  # everything
    HEAD = "head"
    BODY = "body"
    COMPLETE = "complete"
    UNREAD = "unread"  # a body that is longer than the limit by its head, which is not waited for
    LARGE_HEAD = "large_head"
    LARGE_BODY = "large_body"  # in chunks above the limit, or with far more around its chunks than in them
    CUT_OFF = "cut_off"  # the rest of a body, from a client that will send no more


class Framing:
    """One request after the other of a connection. Looks at no byte of a body twice."""

    def __init__(self, most_body_bytes: int) -> None:
        self._most = most_body_bytes
        self._forget()

    def next(self) -> None:
        """The request is done with: another one begins."""
        if self._start:
            self._forget()

    def _forget(self) -> None:
        self._start = 0  # of the body, once the head has ended
        self._length: int | None = None  # None: in chunks
        self._position = 0  # of the next chunk
        self._behind = 0  # bytes of a body up to there
        self.awaits_continue = False

    def stage(self, data: bytes | bytearray) -> Stage:
        """How far the request has come that begins where `data` does."""
        if not data:
            return Stage.IDLE
        if self._start:
            return self._stage_of_body(data)
        end = _HEAD_END.search(data)
        if (len(data) if end is None else end.end()) > MOST_HEAD_BYTES:
            return Stage.LARGE_HEAD
        if end is None:
            return Stage.HEAD
        if _MORE.search(data, 0, end.end()) is None:
            return Stage.COMPLETE
        return self._stage_with_body(data, bytes(data[: end.end()]))

    def _stage_with_body(self, data: bytes | bytearray, head: bytes) -> Stage:
        expected = {value.strip().lower() for value in _EXPECT.findall(head)}
        if expected - {b"100-continue"}:
            return Stage.COMPLETE
        lengths, codings = _LENGTH.findall(head), _CODING.findall(head)
        if len(lengths) == 1 and not codings and (digits := lengths[0].strip()).isdigit():
            if len(digits) > MOST_DIGITS or int(digits) > self._most:
                return Stage.UNREAD
            self._length = int(digits)
        elif lengths or not _CHUNKED.fullmatch(b",".join(codings).strip().lower()):
            return Stage.COMPLETE
        self._start = self._position = len(head)
        self.awaits_continue = bool(expected) and _CAN_CONTINUE.match(head) is not None
        return self._stage_of_body(data)

    def _stage_of_body(self, data: bytes | bytearray) -> Stage:
        if self._length is None:
            return self._stage_of_chunks(data)
        return Stage.COMPLETE if len(data) - self._start >= self._length else Stage.BODY

    def _stage_of_chunks(self, data: bytes | bytearray) -> Stage:
        """COMPLETE if the last chunk is here, or something that is no chunk."""
        while self._position < len(data):
            line = _CHUNK.match(data, self._position)
            if line is None:
                begun = data[self._position : self._position + MOST_LINE_BYTES]
                if b"\n" in begun or len(begun) == MOST_LINE_BYTES:
                    return Stage.COMPLETE  # not a size: let the parser say so
                break
            size = int(line.group(1), 16)
            if size == 0:  # a trailer section may follow, and ends as a head does
                if data.find(b"\r\n\r\n", line.end() - 2) >= 0:
                    return Stage.COMPLETE
                return Stage.LARGE_BODY if len(data) - line.end() > MOST_HEAD_BYTES else Stage.BODY
            self._behind += size
            if self._behind > self._most:
                return Stage.LARGE_BODY
            self._position = line.end() + size + 2
        is_mostly_framing = len(data) - self._start > 2 * self._most + MOST_HEAD_BYTES
        return Stage.LARGE_BODY if is_mostly_framing else Stage.BODY


def is_operational(data: bytes | bytearray) -> bool:
    """True for what must be answered when every thread is busy: probes, metrics, what the workers run."""
    return _OPERATIONS.match(data) is not None

"""How far a request has come, told from the bytes received so far. Pure functions.

Only as much HTTP as is needed to wait for the rest outside a thread. Whatever is unclear counts as
complete: gunicorn's strict parser then judges the very same bytes.
"""

from __future__ import annotations

import re
from enum import Enum

MOST_DIGITS = 18  # of a length: still a number of bytes that exists, and far from what int() refuses to read
MOST_HEAD_BYTES = 64 * 1024  # above all of the parser's own limits together that hola sets

_HEAD_END = re.compile(rb"\r?\n\r?\n")  # bare line feeds too, so that the parser refuses them at once
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CODING = re.compile(rb"\ntransfer-encoding:[ \t]*([^\r\n]*)", re.IGNORECASE)
_EXPECT = re.compile(rb"\nexpect:", re.IGNORECASE)
_MORE = re.compile(rb"\n(?:content-length|transfer-encoding|expect):", re.IGNORECASE)  # all that may come behind a head
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})[^\r\n]*\r\n")
_OPERATIONS = re.compile(rb"GET /(livez|healthz|readyz|metrics|config/status)[ ?]")


class Stage(Enum):
    """What is still to come."""

    IDLE = "idle"  # everything
    HEAD = "head"
    BODY = "body"
    COMPLETE = "complete"


def stage(data: bytes | bytearray, most_body_bytes: int) -> Stage:
    """How far the request in `data` has come. A body above the limit is not waited for: it is refused unread."""
    if not data:
        return Stage.IDLE
    end = _HEAD_END.search(data)
    if end is None:
        return Stage.HEAD if len(data) <= MOST_HEAD_BYTES else Stage.COMPLETE
    has_more = _MORE.search(data, 0, end.end()) is not None
    return _stage_of_body(data, end.end(), most_body_bytes) if has_more else Stage.COMPLETE


def _stage_of_body(data: bytes | bytearray, start: int, most_body_bytes: int) -> Stage:
    head = data[:start]
    if _EXPECT.search(head):  # the client waits for "100 Continue", which only the parser sends
        return Stage.COMPLETE
    lengths, codings = _LENGTH.findall(head), [coding.strip().lower() for coding in _CODING.findall(head)]
    if len(lengths) == 1 and not codings and lengths[0].strip().isdigit() and len(lengths[0]) <= MOST_DIGITS:
        wanted = int(lengths[0])
        is_here = wanted > most_body_bytes or len(data) - start >= wanted
        return Stage.COMPLETE if is_here else Stage.BODY
    if codings == [b"chunked"] and not lengths and len(data) - start <= most_body_bytes:
        return Stage.COMPLETE if _chunks_end(data, start) else Stage.BODY
    return Stage.COMPLETE


def is_operational(data: bytes | bytearray) -> bool:
    """True for what must be answered when every thread is busy: probes, metrics, what the workers run."""
    return _OPERATIONS.match(data) is not None


def _chunks_end(data: bytes | bytearray, position: int) -> bool:
    """True if the last chunk is here, or something that is no chunk."""
    while position < len(data):
        line = _CHUNK.match(data, position)
        if line is None:
            return b"\n" in data[position : position + 256]  # not a size: let the parser say so
        size = int(line.group(1), 16)
        if size == 0:  # a trailer section may follow, and ends as a head does
            return data[line.end() : line.end() + 2] == b"\r\n" or b"\r\n\r\n" in data[line.end() :]
        position = line.end() + size + 2
    return False

"""Spans as OTLP, which is protobuf: written straight to bytes when a span ends.

The message is small and never changes, and a span is encoded once for each request; protobuf's own
runtime and OpenTelemetry's objects around it cost several times the request's own telemetry (docs/performance.md).
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hola.telemetry import redaction

INTERNAL, SERVER, CLIENT = 1, 2, 3  # SpanKind
UNSET, OK, ERROR = 0, 1, 2  # Status.StatusCode
ATTRIBUTES = 9  # Span.attributes
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200  # SpanFlags
MOST_CACHED = 256  # characters of a value that may come again, such as a route or a user agent
_FIXED64 = struct.Struct("<Q")
_TIMES = struct.Struct("<BQBQ")


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes, text or another message."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def attribute(key: str, value: Any) -> bytes:
    """One `KeyValue`, as OpenTelemetry's attributes have them; what is telling is masked."""
    if isinstance(value, str):
        return _text(key, value) if len(value) <= MOST_CACHED else _pair(key, _any_text(key, value))
    return _pair(key, _any(key, value))


@lru_cache(maxsize=4096)
def _text(key: str, value: str) -> bytes:
    return _pair(key, _any_text(key, value))


def _pair(key: str, value: bytes) -> bytes:
    return _field(1, key.encode()) + _field(2, value)


def _any_text(key: str, value: str) -> bytes:
    shown = redaction.MASK if redaction.is_telling(key) else redaction.text(value)
    return _field(1, shown.encode("utf-8", "replace"))


def _any(key: str, value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x10" + _varint(value)
    if isinstance(value, int):
        return b"\x18" + _varint(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, float):
        return b"\x21" + struct.pack("<d", value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _field(5, b"".join(_field(1, _any(key, each)) for each in value))
    return _any_text(key, value if isinstance(value, str) else str(redaction.tree(value)))


def attributes(number: int, values: Mapping[str, Any]) -> bytes:
    """Attributes as the field `number` of a message."""
    tag = _varint(number << 3 | 2)
    return b"".join([tag + _varint(len(pair)) + pair for pair in [attribute(k, v) for k, v in values.items()]])


def event(name: str, at_ns: int, values: Mapping[str, Any]) -> bytes:
    """One `Span.events`."""
    return _field(11, b"\x09" + _FIXED64.pack(at_ns) + _field(2, name.encode()) + attributes(3, values))


def link(trace_id: int, span_id: int, values: Mapping[str, Any]) -> bytes:
    """One `Span.links`."""
    ids = _field(1, trace_id.to_bytes(16)) + _field(2, span_id.to_bytes(8))
    return _field(13, ids + attributes(4, values))


def span(  # noqa: PLR0917 - the message's fields, each once
    trace_id: bytes,
    span_id: bytes,
    parent: bytes,
    kind: int,
    name: str,
    times_ns: tuple[int, int],
    values: Mapping[str, Any],
    status: int = UNSET,
    *,
    is_remote: bool = False,
    trace_state: str = "",
    rest: bytes = b"",
) -> bytes:
    """One `ScopeSpans.spans`.

    Args:
        parent: the parent's span id, empty for a root.
        times_ns: begin and end, since the epoch.
        is_remote: True if the parent is of another process.
        rest: events, links and more attributes, encoded.
    """
    data = b"\x0a\x10" + trace_id + b"\x12\x08" + span_id
    if trace_state:
        data += _field(3, trace_state.encode())
    if parent:
        data += b"\x22\x08" + parent
    data += _name(name) + b"\x30" + bytes((kind,)) + _TIMES.pack(0x39, times_ns[0], 0x41, times_ns[1])
    data += attributes(ATTRIBUTES, values) + rest
    if status:
        data += b"\x7a\x02\x18" + bytes((status,))
    flags = 1 | (_HAS_IS_REMOTE | (_IS_REMOTE if is_remote else 0) if parent else 0)
    data += b"\x85\x01" + struct.pack("<I", flags)
    return _field(2, data)


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    return _field(5, name.encode("utf-8", "replace"))


def request(resource: Mapping[str, Any], spans: Iterable[tuple[str, bytes]]) -> bytes:
    """An `ExportTraceServiceRequest` of (scope, span) pairs."""
    scopes: dict[str, list[bytes]] = {}
    for scope, each in spans:
        scopes.setdefault(scope, []).append(each)
    data = _field(1, attributes(1, resource))
    for scope, found in scopes.items():
        data += _field(2, _field(1, _field(1, scope.encode())) + b"".join(found))
    return _field(1, data)


def rejected_spans(response: bytes) -> int:
    """How many spans an `ExportTraceServiceResponse` refuses; 0 for anything that is none."""
    try:
        partial = _fields(response).get(1, b"")
        number = _fields(partial).get(1, 0) if isinstance(partial, bytes) else 0
    except (IndexError, ValueError):
        return 0
    return number if isinstance(number, int) else 0


def _fields(data: bytes) -> dict[int, int | bytes]:
    """The last value of each field; numbers and runs of bytes are all that the response has."""
    found: dict[int, int | bytes] = {}
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        value, position = _read_varint(data, position)
        if tag & 7 == 0:
            found[tag >> 3] = value
        elif tag & 7 == 2:
            found[tag >> 3] = data[position : position + value]
            position += value
        else:
            raise ValueError("not a field of the response")
    return found


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7

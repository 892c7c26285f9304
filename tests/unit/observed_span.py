"""A collector in the test's own process: takes encoded spans and reads them with protobuf's own decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from hola.telemetry.span_export import SpanExport


class Spans(SpanExport):
    """In the place of an export: keeps what it is given."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.found: list[Span] = []

    def put(self, scope: str, span: bytes) -> None:
        self.scopes.append(scope)
        self.found += ScopeSpans.FromString(span).spans

    def close(self, within_seconds: float) -> float:
        return 0.0


def values(attributes: Sequence[Any]) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(each) for each in found.values] if kind == "array_value" else found

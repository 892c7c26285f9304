"""Spans inside a request, by OpenTelemetry's SDK: loaded only when an application makes one.

They follow their parent's sampling, and leave by the same export as the server spans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode

from hola.telemetry import otlp

_KINDS = {kind: kind.value + 1 for kind in SpanKind}
_STATUS = {StatusCode.UNSET: otlp.UNSET, StatusCode.OK: otlp.OK, StatusCode.ERROR: otlp.ERROR}


class Sink(Protocol):
    """Who decides on a trace and takes encoded spans."""

    def is_sampled(self, trace_id: int) -> bool: ...

    def put(self, scope: str, span: bytes) -> None: ...


def make_provider(sink: Sink) -> TracerProvider:
    """A provider whose spans go to `sink`."""
    own = _Own(sink.is_sampled)
    provider = TracerProvider(
        resource=Resource.get_empty(),  # the export knows it
        sampler=ParentBased(root=own, remote_parent_sampled=own, remote_parent_not_sampled=own),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(_Encoder(sink))
    return provider


class _Own(Sampler):
    """hola's own decision where there is no parent in this process."""

    def __init__(self, is_sampled: Callable[[int], bool]) -> None:
        self._is_sampled = is_sampled

    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *args: Any, **kwargs: Any
    ) -> SamplingResult:
        decision = Decision.RECORD_AND_SAMPLE if self._is_sampled(trace_id) else Decision.DROP
        state = trace.get_current_span(parent_context).get_span_context().trace_state
        return SamplingResult(decision, None, state)

    def get_description(self) -> str:
        return "hola"


class _Encoder(SpanProcessor):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def on_end(self, span: ReadableSpan) -> None:
        if span.context and span.context.trace_flags.sampled:
            scope = span.instrumentation_scope
            self._sink.put(scope.name if scope else "", _encoded(span, span.context))


def _encoded(span: ReadableSpan, context: trace.SpanContext) -> bytes:
    parent = span.parent
    rest = [otlp.event(event.name, event.timestamp, event.attributes or {}) for event in span.events]
    rest += [otlp.link(link.context.trace_id, link.context.span_id, link.attributes or {}) for link in span.links]
    return otlp.span(
        context.trace_id.to_bytes(16),
        context.span_id.to_bytes(8),
        parent.span_id.to_bytes(8) if parent else b"",
        _KINDS[span.kind],
        span.name,
        (span.start_time or 0, span.end_time or 0),
        span.attributes or {},
        _STATUS[span.status.status_code],
        is_remote=bool(parent and parent.is_remote),
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        rest=b"".join(rest),
    )

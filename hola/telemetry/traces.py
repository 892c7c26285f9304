"""OpenTelemetry traces: the server span, sampling, propagation, and spans of an application's own.

One `Tracing` a process, made after the fork, with a `service.instance.id` of its own. The server span is
our own class behind OpenTelemetry's API; the SDK, which is large, is loaded only when somebody asks
for a tracer. https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hola import __version__
from hola.scoreboard import Row
from hola.settings import Settings
from hola.telemetry import otlp, redaction
from hola.telemetry.span_export import Destination, SpanExport

FLUSH_SECONDS = 3.0  # all that is left, at the end of a process
MOST_EVENTS = 32  # of one span

_SCOPE = "hola"
_NOTHING = Context()
_ALL_TRACES = 1 << 64
_PROPAGATOR = TraceContextTextMapPropagator()  # no baggage: an outsider's would travel with every call
for _name in ("opentelemetry.trace.span", "opentelemetry.trace.propagation.tracecontext"):
    logging.getLogger(_name).setLevel(
        logging.ERROR
    )  # else any client's odd header writes a line a request, in its words


class ServerSpan(trace.Span):
    """The span of one request, or of one command. One thread at a time.

    `trace_id` and `span_id` are hexadecimal, as lines and headers have them. What an application sets on it by
    OpenTelemetry's API (`trace.get_current_span()`) is exported with it, masked like everything else.
    """

    def __init__(self, tracing: Tracing, parent: SpanContext | None, started_ns: int, kind: int) -> None:
        self._tracing = tracing
        self._parent = parent
        self._started_ns = started_ns
        self._kind = kind
        trace_id = parent.trace_id if parent else random.getrandbits(128) or 1
        self._is_recording = tracing.is_sampled(trace_id)
        self.trace_id = f"{trace_id:032x}"
        self.span_id = f"{random.getrandbits(64) or 1:016x}"
        self.name = ""
        self.attributes: dict[str, Any] = {}
        self.encoded = b""  # more of them, encoded
        self.status = otlp.UNSET
        self._rest: list[bytes] = []

    def get_span_context(self) -> SpanContext:
        flags = TraceFlags.SAMPLED if self._is_recording else TraceFlags.DEFAULT
        state = self._parent.trace_state if self._parent else None
        return SpanContext(int(self.trace_id, 16), int(self.span_id, 16), False, TraceFlags(flags), state)

    @property
    def is_recorded(self) -> bool:
        """True if it will be exported."""
        return self._is_recording

    def is_recording(self) -> bool:
        return self._is_recording

    def set_attribute(self, key: str, value: Any) -> None:
        if self._is_recording:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        if self._is_recording:
            self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        if self._is_recording and len(self._rest) < MOST_EVENTS:
            self._rest.append(otlp.event(name, timestamp or time.time_ns(), attributes or {}))

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        if self._is_recording and len(self._rest) < MOST_EVENTS:
            self._rest.append(otlp.link(context.trace_id, context.span_id, attributes or {}))

    def update_name(self, name: str) -> None:
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        self.status = {StatusCode.OK: otlp.OK, StatusCode.ERROR: otlp.ERROR}.get(code, otlp.UNSET)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        said = {"exception.type": type(exception).__qualname__, "exception.message": redaction.tree(exception)}
        self.add_event("exception", {**said, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """Hand it over for export. Once."""
        if not self._is_recording:
            return
        parent = self._parent
        self._tracing.put(
            _SCOPE,
            otlp.span(
                bytes.fromhex(self.trace_id),
                bytes.fromhex(self.span_id),
                parent.span_id.to_bytes(8) if parent else b"",
                self._kind,
                self.name,
                (self._started_ns, end_time or time.time_ns()),
                self.attributes,
                self.status,
                is_remote=True,
                trace_state=parent.trace_state.to_header() if parent and parent.trace_state else "",
                rest=self.encoded + b"".join(self._rest),
            ),
        )


class Tracing(trace.TracerProvider):
    """Makes spans, and ends them within a bound. Thread-safe; one instance a process.

    Args:
        export: where ended spans go, or None for nowhere.
        ratio: called at each request for the share (0 to 1) of traces to record. An outsider's
            sampled flag decides nothing; an inner span follows its parent.
    """

    def __init__(self, export: SpanExport | None, ratio: Callable[[], float]) -> None:
        self._export = export
        self._ratio = ratio
        self._provider: Any = None
        self._lock = threading.Lock()

    def start_server_span(self, headers: Mapping[str, str], started_ns: int, kind: int = otlp.SERVER) -> ServerSpan:
        """A span that continues the caller's trace. `headers`: `traceparent` and `tracestate`, if there were any.

        `started_ns` is wall-clock time.
        """
        parent = None
        if headers:
            found = trace.get_current_span(_PROPAGATOR.extract(headers, context=_NOTHING)).get_span_context()
            parent = found if found.is_valid else None
        return ServerSpan(self, parent, started_ns, kind)

    def is_sampled(self, trace_id: int) -> bool:
        """By the trace id's lower half, so that all pods with the same ratio agree (as TraceIdRatioBased)."""
        return trace_id & (_ALL_TRACES - 1) < round(self._ratio() * _ALL_TRACES)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> Tracer:
        """A tracer for spans inside a request. The first call loads the SDK (some 50 ms)."""
        with self._lock:
            if self._provider is None:
                from hola.telemetry.inner_spans import make_provider  # noqa: PLC0415 - the SDK, only for who asks

                self._provider = make_provider(self)
        found: Tracer = self._provider.get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        return found

    def record(self, name: str, attributes: Mapping[str, Any]) -> dict[str, str]:
        """A finished span of its own trace, for what happens outside requests; its ids for the line that tells it."""
        now = time.time_ns()
        span = ServerSpan(self, None, now, otlp.INTERNAL)
        span.update_name(name)
        span.set_attributes(attributes)
        span.end(now)
        return {"trace_id": span.trace_id, "span_id": span.span_id} if span.is_recorded else {}

    def put(self, scope: str, span: bytes) -> None:
        """Take an ended, encoded span."""
        if self._export:
            self._export.put(scope, span)

    def close(self, within_seconds: float = FLUSH_SECONDS) -> float:
        """Send what is queued, for at most `within_seconds`; return the seconds it took."""
        return self._export.close(within_seconds) if self._export else 0.0


def make(settings: Settings, ratio: Callable[[], float], row: Row | None) -> Tracing:
    """The tracing of this process, as the environment wants it, behind OpenTelemetry's API too (`trace.get_tracer`).

    Spans are counted in `row`.
    """
    tracing = Tracing(_export(settings, row), ratio)
    trace.set_tracer_provider(tracing)
    return tracing


def _export(settings: Settings, row: Row | None) -> SpanExport | None:
    if settings.traces_endpoint is None:
        return None
    destination = Destination(
        settings.traces_endpoint,
        pairs(settings.otlp_headers),
        settings.otlp_timeout_ms / 1000,
        settings.otlp_compression == "gzip",
        settings.otlp_certificate,
    )
    return SpanExport(destination, resource_attributes(settings), row)


def inject(headers: dict[str, str]) -> dict[str, str]:
    """Add the current trace's `traceparent` to the headers of an outgoing call."""
    _PROPAGATOR.inject(headers)
    return headers


def resource_attributes(settings: Settings) -> dict[str, str]:
    """The resource of every span of this process, by OpenTelemetry's names. What hola knows itself goes first.

    https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
    """
    return {
        **pairs(settings.otel_resource_attributes),
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "hola",
        "telemetry.sdk.version": __version__,
        "service.name": settings.otel_service_name,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "k8s.pod.name": settings.pod_name,
        "k8s.namespace.name": settings.pod_namespace,
        "deployment.environment.name": settings.environment,
    }


def pairs(text: str | None) -> dict[str, str]:
    """`key=value,key=value` with percent-encoded values, as OpenTelemetry's variables have them."""
    found = (part.partition("=") for part in (text or "").split(",") if "=" in part)
    return {key.strip(): unquote(value.strip()) for key, _, value in found}

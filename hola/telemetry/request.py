"""One request → one span, one observation, one line, all from one timing.

The outermost WSGI layer. It owns the request's trace id and the context of its log lines, and
nothing of what the request does. It finishes after the last byte, also when the client leaves.
The frameworks' own instrumentation costs twice as much and knows less (docs/decisions).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from functools import lru_cache
from typing import Any

import orjson
from opentelemetry import context as otel_context
from opentelemetry.context import Context as OtelContext
from opentelemetry.trace import INVALID_SPAN, set_span_in_context
from structlog.contextvars import STRUCTLOG_KEY_PREFIX as _BOUND_BY

from hola.scoreboard import Row
from hola.telemetry import otlp, redaction
from hola.telemetry.handover import queue_seconds, used_cpu_seconds
from hola.telemetry.logs import LOGS, NUMBERS, describe_error, get_logger, request_fields
from hola.telemetry.metrics import METHODS, Metrics
from hola.telemetry.storm import Storm
from hola.telemetry.traces import Tracing

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# What inner layers leave for this one in the WSGI environment.
ROUTE = "hola.route"  # the template that matched
ERROR = "hola.error"  # the exception behind a 500
FAULT_ID = "hola.fault_id"  # the fault that was injected
TRACE_ID = "hola.trace_id"  # set here, for problem bodies

UNMATCHED = "unmatched"
QUIET_ROUTES = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})

(_SPAN_KEY,) = set_span_in_context(INVALID_SPAN, OtelContext())
_BOUND = len(_BOUND_BY)
_OWN_VARIABLES = 2  # of a request's context: its fields and its span, as `enter` puts them there
_UNKNOWN = "HTTP"  # in a span's name, for a method of the client's making
_IN_PROGRESS = Row.in_progress.index

_log = get_logger("hola.request")


class RequestTelemetry:
    """WSGI middleware. Thread-safe; made in the worker, after the fork.

    Each request runs in a context of its own (PEP 567), so that nothing that one binds can reach the next of its
    thread: no user of structlog's context variables, no span of OpenTelemetry's.

    Args:
        app: the application inside.
        bind: called once a request with its environment; binds the live document to it and
            returns that document's revision.
        row: the worker's row, for requests in progress.
    """

    def __init__(
        self, app: Application, tracing: Tracing, metrics: Metrics, bind: Callable[[Environ], str], row: Row
    ) -> None:
        self._app = app
        self._tracing = tracing
        self._metrics = metrics
        self._bind = bind
        self._row = row
        self._words = row.words
        self._lock = threading.Lock()
        self._failures = Storm()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        observed = _Observed(environ, self._tracing, self._bind(environ), self._finish, start_response)
        self._count(1)
        return _Body(observed.context.run(self._answer, observed), observed)

    def _answer(self, observed: _Observed) -> Iterable[bytes]:
        observed.enter()
        try:
            return self._app(observed.environ, observed.start)
        except Exception as error:  # noqa: BLE001 - an OSError that escaped would pass for a client that left
            observed.environ[ERROR] = error
            return observed.answer_500()

    def _count(self, change: int) -> None:
        with self._lock:
            self._words[_IN_PROGRESS] += change

    def _finish(self, observed: _Observed) -> None:
        self._count(-1)
        span = observed.span
        self._metrics.observe(
            observed.method,
            observed.route,
            observed.status,
            observed.seconds,
            observed.queue_seconds,
            span.trace_id if span.is_recorded else None,
        )
        observed.end_span()
        if ERROR in observed.environ:
            self._tell_failure(observed)
        observed.log()

    def _tell_failure(self, observed: _Observed) -> None:
        error = observed.environ[ERROR]
        if (suppressed := self._failures.admit((observed.route, type(error)))) is None:
            with self._lock:
                self._row.add("lines_suppressed")
            return
        more = {"suppressed": suppressed} if suppressed else {}
        said = {"method": observed.method, "route": observed.route, **describe_error(error), **more}
        observed.context.run(_log.error, "request_failed", **said)


class _Observed:
    """One request on its way: what is known of it so far."""

    def __init__(
        self,
        environ: Environ,
        tracing: Tracing,
        revision: str,
        finish: Callable[[_Observed], None],
        start_response: StartResponse,
    ) -> None:
        self.started = time.perf_counter()
        self.started_ns = time.time_ns()
        self.environ = environ
        self.context = Context()
        self._finish = finish
        self._revision = revision
        self._start_response = start_response
        self.method: str = environ["REQUEST_METHOD"]
        self.queue_seconds = queue_seconds.get()
        self.status = self.bytes_sent = 0
        self.aborted = False
        headers = {key: environ[name] for key, name in _CONTEXT_HEADERS if name in environ}
        self.span = span = tracing.start_server_span(headers, self.started_ns)
        environ[TRACE_ID] = span.trace_id
        self._fields = {"trace_id": span.trace_id, "span_id": span.span_id, "config_revision": revision}

    def enter(self) -> None:
        """In the request's own context: what lines and spans inside it belong to."""
        request_fields.set(self._fields)
        otel_context.attach(OtelContext({_SPAN_KEY: self.span}))

    def start(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        """`start_response` that notes the status and adds the headers every response carries."""
        self.status = int(status[:3])
        more = [("X-Trace-Id", self.span.trace_id), ("X-Config-Revision", self._revision)]
        return self._start_response(status, headers + more, *exc_info)

    def answer_500(self) -> Iterable[bytes]:
        """The answer when not even the application's own error handling got to make one."""
        problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500}
        body = orjson.dumps({**problem, "trace_id": self.span.trace_id})
        headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
        self.start("500 Internal Server Error", headers, *([sys.exc_info()] if self.status else []))
        return [body]

    def finish(self, exhausted: bool) -> None:
        """Called once, after the last byte or when the client is gone."""
        self.seconds = time.perf_counter() - self.started
        self.route = str(self.environ.get(ROUTE, UNMATCHED))
        path = str(self.environ.get("PATH_INFO", ""))  # its bytes as if they were Latin-1 (PEP 3333)
        self.path = path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")
        self.cpu_seconds = used_cpu_seconds()
        self.aborted = not exhausted
        self._finish(self)

    def end_span(self) -> None:
        span = self.span
        if not span.is_recorded:
            return
        verb = self.method if self.method in METHODS else _UNKNOWN
        span.name = f"{verb} {self.route}" if self.route != UNMATCHED else verb
        span.encoded = self._attributes(verb)
        if self.status >= 500:
            span.status = otlp.ERROR
        span.end(self.started_ns + int(self.seconds * 1e9))

    def _attributes(self, verb: str) -> bytes:
        """https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server"""
        environ = self.environ
        host = _host(str(environ.get("HTTP_HOST") or environ["SERVER_NAME"]))
        encode = _encoded if len(host) <= otlp.MOST_CACHED else _encoded.__wrapped__
        same_again = encode(verb, environ["wsgi.url_scheme"], self.route, self.status, host, self._revision)
        own = {
            "url.path": self.path,
            "client.address": environ.get("REMOTE_ADDR", ""),
            "user_agent.original": environ.get("HTTP_USER_AGENT", ""),
        }
        if verb == _UNKNOWN:
            own["http.request.method_original"] = self.method
        if error := environ.get(ERROR):
            own["error.type"] = type(error).__qualname__
        elif self.status >= 500:
            own["error.type"] = str(self.status)
        if fault_id := environ.get(FAULT_ID):
            own["hola.fault.id"] = fault_id
        return same_again + otlp.attributes(otlp.ATTRIBUTES, own)

    def log(self) -> None:
        environ, route = self.environ, self.route
        level = "warning" if self.status >= 500 else "debug" if route in QUIET_ROUTES else "info"
        if NUMBERS[level] < LOGS.threshold:
            return
        fields: dict[str, Any] = {
            "logger": "hola.request",
            **self._fields,
            "method": redaction.text(self.method),
            "route": route,
            "path": redaction.text(self.path),
            "status": self.status,
            "duration_seconds": round(self.seconds, 6),
            "cpu_seconds": round(self.cpu_seconds, 6),
            "queue_seconds": round(self.queue_seconds or 0.0, 6),
            "bytes_sent": self.bytes_sent,
            "client": environ.get("REMOTE_ADDR", ""),
            "user_agent": redaction.text(environ.get("HTTP_USER_AGENT", "")),
        }
        if self.aborted:
            fields["aborted"] = True
        if fault_id := environ.get(FAULT_ID):
            fields["fault_id"] = fault_id
        LOGS.write_fit(level, "request_finished", fields, self._bound())

    def _bound(self) -> dict[str, Any]:
        """What the application bound to this request's lines by structlog.contextvars."""
        if len(self.context) == _OWN_VARIABLES:
            return {}
        bound = {var.name[_BOUND:]: value for var, value in self.context.items() if var.name[:_BOUND] == _BOUND_BY}
        return {key: redaction.tree(value, key) for key, value in bound.items()} if bound else bound


class _Body:
    """The response's iterable, counted, with the request's end behind its last byte (PEP 3333 `close`)."""

    def __init__(self, body: Iterable[bytes], observed: _Observed) -> None:
        self._body = body
        self._chunks: Iterator[bytes] = iter(body)
        self._observed = observed
        self._exhausted = self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = self._observed.context.run(next, self._chunks)
        except StopIteration:
            self._exhausted = True
            raise
        except Exception as error:
            self._observed.environ[ERROR] = error
            if not self._observed.bytes_sent:
                self._observed.status = 500  # what the server makes of it, since no byte has left yet
            self._exhausted = True
            raise
        self._observed.bytes_sent += len(chunk)
        return chunk

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if close := getattr(self._body, "close", None):
                self._observed.context.run(close)
        finally:
            self._observed.finish(self._exhausted)


@lru_cache(maxsize=1024)
def _encoded(verb: str, scheme: str, route: str, status: int, host: str, revision: str) -> bytes:  # noqa: PLR0917 - once
    """The attributes that many requests share, encoded once."""
    values = {
        "http.request.method": "_OTHER" if verb == _UNKNOWN else verb,
        "url.scheme": scheme,
        "http.response.status_code": status,
        "server.address": host,
        "hola.config.revision": revision,
    }
    return otlp.attributes(otlp.ATTRIBUTES, values | ({"http.route": route} if route != UNMATCHED else {}))


def _host(authority: str) -> str:
    """The host of `host:port`, of `[::1]:port` too."""
    return authority.split("]", 1)[0] + "]" if authority.startswith("[") else authority.rsplit(":", 1)[0]


_CONTEXT_HEADERS = (("traceparent", "HTTP_TRACEPARENT"), ("tracestate", "HTTP_TRACESTATE"))

"""The request middleware around a small application, with everything that it tells: line, span, observation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hola.scoreboard import Scoreboard
from hola.telemetry.metrics import Metrics
from hola.telemetry.request import (
    ROUTE,
    Application,
    Environ,
    RequestTelemetry,
    StartResponse,
)
from hola.telemetry.traces import Tracing
from tests.unit.conftest import Lines
from tests.unit.observed_span import Spans, values


class Observed:
    """The middleware around an application, with everything that it tells."""

    def __init__(self, metrics: Metrics, board: Scoreboard, lines: Lines) -> None:
        self.metrics, self.row, self.lines = metrics, board.rows[0], lines
        self.spans = Spans()
        self.ratio = 1.0
        self.tracing = Tracing(self.spans, lambda: self.ratio)

    def around(self, app: Application) -> RequestTelemetry:
        return RequestTelemetry(app, self.tracing, self.metrics, lambda environ: "5eed5eed5eed", self.row)

    @property
    def span(self) -> Span:
        (span,) = self.spans.found
        return span

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the one span."""
        return values(self.span.attributes)

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines.events("request_finished")
        return line

    @property
    def observations(self) -> dict[str, float]:
        families = self.metrics.registry.collect()
        return {
            f"{s.name} {' '.join(s.labels.values())}".strip(): s.value
            for family in families
            for s in family.samples
            if s.name
            in ("http_requests_total", "http_request_duration_seconds_count", "hola_request_queue_seconds_count")
        }


def hello(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    environ[ROUTE] = "/hello/{name}"
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello ", b"world"]

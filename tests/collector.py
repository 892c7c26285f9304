"""A small OTLP receiver on loopback: keeps the spans that a service exports. Imports nothing of hola."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came over the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """What was received so far, and where to send it."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.lock = threading.Lock()
        self._pause = threading.Event()
        self.endpoint = ""
        self.statuses: list[int] = []  # what the next requests are answered, 200 after that
        self.rejected = 0  # spans of each request that the answer says were rejected
        self.delay_seconds = 0.0
        self.closes_after_answer = False
        self.requests = 0
        self.headers: Mapping[str, str] = {}

    @property
    def trace_ids(self) -> list[str]:
        with self.lock:
            return [span.trace_id for span in self.spans]

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """(status, body) to answer a request with."""
        with self.lock:
            self.requests += 1
            self.headers = headers
            status = self.statuses.pop(0) if self.statuses else 200
        self._pause.wait(self.delay_seconds)
        if status == 200:
            self.receive(gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body)
        partial = ExportTracePartialSuccess(rejected_spans=self.rejected)
        return status, ExportTraceServiceResponse(partial_success=partial).SerializeToString() if self.rejected else b""

    def receive(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.lock:
            for resource_spans in request.resource_spans:
                resource = _values(resource_spans.resource.attributes)
                for scope in resource_spans.scope_spans:
                    self.spans += [_span(span, resource) for span in scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the time of a block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = collector.take(dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = collector.closes_after_answer

        def log_message(self, *args: object) -> None:
            """Nothing: pytest shows what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def _span(span: Any, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        attributes=_values(span.attributes),
        resource=resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}

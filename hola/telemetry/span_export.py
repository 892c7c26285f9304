"""The way of spans to a collector: a bounded queue, a thread, OTLP over HTTP, an account that adds up.

In place of the SDK's batch processor and exporter, whose ends are not bounded by what they are told
(`force_flush` ignores its timeout), which drop the oldest span silently, and whose libraries are half of
a worker's memory. A collector that is down costs spans, which are counted at once, and nothing else.
"""

from __future__ import annotations

import gzip
import http.client
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hola.scoreboard import Row
from hola.telemetry import otlp
from hola.telemetry.logs import get_logger

QUEUE_SPANS = 2048
BATCH_SPANS = 512
DELAY_SECONDS = 1.0  # what a SIGKILL may cost
RETRY_SECONDS = (0.5, 1.0)  # pauses between three attempts; the queue fills meanwhile
EXPORT_SECONDS = 2.0
_RETRYABLE = frozenset({429, 502, 503, 504})  # https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
_MOST_ANSWER_BYTES = 65536

_log = get_logger("hola.traces")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where spans go: a URL with its path, and how to talk there.

    `timeout_seconds` is for each step of one attempt: to connect, to send, to be answered.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = EXPORT_SECONDS
    is_compressed: bool = False
    certificate: Path | None = None


class SpanExport:
    """Thread-safe. Make it after the fork: it starts its thread.

    Args:
        resource: what made the spans, as attributes.
        row: where exported and dropped spans are counted, if anywhere.
    """

    def __init__(self, destination: Destination, resource: Mapping[str, Any], row: Row | None) -> None:
        self._collector = _Collector(destination)
        self._resource = resource
        self._row = row
        self._queue: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()
        self._filled, self._hurried, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._in_flight = 0
        self._is_settled = self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def put(self, scope: str, span: bytes) -> None:
        """Queue an encoded span, or drop and count it. Never waits."""
        if len(self._queue) >= QUEUE_SPANS or self._is_settled:
            self._count(0, 1)
            return
        self._queue.append((scope, span))
        if not self._filled.is_set():
            self._filled.set()
        if len(self._queue) >= BATCH_SPANS and not self._hurried.is_set():
            self._hurried.set()

    def close(self, within_seconds: float) -> float:
        """Send what is queued, for at most so long; count the rest as dropped; return the seconds it took."""
        started = time.monotonic()
        for event in (self._closed, self._hurried, self._filled):
            event.set()
        self._thread.join(within_seconds)
        with self._lock:
            rest = self._in_flight + len(self._queue)
            self._queue.clear()
            self._is_settled = True
        self._add(0, rest)
        if rest:
            self._tell("not taken before the end")
        self._collector.close()
        return time.monotonic() - started

    def _run(self) -> None:
        while True:
            self._filled.wait()
            self._hurried.wait(DELAY_SECONDS)
            self._hurried.clear()
            self._filled.clear()
            while self._queue:
                self._send(self._take())
            if self._closed.is_set():
                return

    def _take(self) -> list[tuple[str, bytes]]:
        with self._lock:
            spans = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_SPANS))]
            self._in_flight = len(spans)
        return spans

    def _send(self, spans: list[tuple[str, bytes]]) -> None:
        data = otlp.request(self._resource, spans)
        rejected, reason = len(spans), ""
        for pause in (*RETRY_SECONDS, None):
            try:
                rejected = min(self._collector.post(data), len(spans))
                break
            except _Refused as refusal:
                reason = str(refusal)
                if pause is None or not refusal.may_change or self._closed.wait(pause):
                    break
        else:
            reason = reason or "unknown"
        self._tell("" if rejected < len(spans) else reason or "rejected by the collector")
        with self._lock:
            if not self._is_settled:
                self._in_flight = 0
                self._add(len(spans) - rejected, rejected)

    def _tell(self, reason: str) -> None:
        """Once at the beginning of an outage and once at its end."""
        if bool(reason) == self._is_failing:
            return
        self._is_failing = bool(reason)
        if reason:
            _log.warning("span_export_failed", reason=reason)
        else:
            _log.info("span_export_recovered")

    def _count(self, exported: int, dropped: int) -> None:
        with self._lock:
            self._add(exported, dropped)

    def _add(self, exported: int, dropped: int) -> None:
        if self._row is not None:
            self._row.add("spans_exported", 0, exported)
            self._row.add("spans_dropped", 0, dropped)


class _Refused(Exception):
    """A batch that was not taken; `may_change` if another attempt makes sense."""

    def __init__(self, reason: str, may_change: bool) -> None:
        super().__init__(reason)
        self.may_change = may_change


class _Collector:
    """One kept connection. No proxy of the environment: the collector is beside the service."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        url = urlsplit(destination.url)
        self._path = url.path or "/"
        self._headers = {"Content-Type": "application/x-protobuf", **destination.headers}
        if destination.is_compressed:
            self._headers["Content-Encoding"] = "gzip"
        host, timeout = url.hostname or "", destination.timeout_seconds
        self._connection: http.client.HTTPConnection
        if url.scheme == "https":
            cafile = str(destination.certificate) if destination.certificate else None
            context = ssl.create_default_context(cafile=cafile)
            self._connection = http.client.HTTPSConnection(host, url.port, timeout=timeout, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, url.port, timeout=timeout)

    def post(self, data: bytes) -> int:
        """Send one request; return how many spans of it were rejected.

        Raises:
            _Refused: it was not taken at all.
        """
        body = gzip.compress(data, 1) if self._destination.is_compressed else data
        is_reused = self._connection.sock is not None
        try:
            status, answer = self._exchange(body)
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: of a header that cannot be sent
            self._connection.close()
            if is_reused and isinstance(error, ConnectionError | http.client.BadStatusLine):
                return self.post(data)  # the collector closed an idle connection: that says nothing of it
            raise _Refused(_reason(error), may_change=True) from None
        if not 200 <= status < 300:
            raise _Refused(f"status {status}", status in _RETRYABLE)
        return otlp.rejected_spans(answer)

    def close(self) -> None:
        """Also interrupts an exchange under way. Any thread."""
        with suppress(OSError):
            self._connection.close()

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", self._path, body, self._headers)
        response = self._connection.getresponse()
        answer = response.read(_MOST_ANSWER_BYTES)
        if not response.isclosed():
            self._connection.close()  # more than any collector has to say
        return response.status, answer


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (said or type(error).__name__).lower()[:200]

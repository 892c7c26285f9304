"""Clients that ask without a pause and note when they asked: what an answer may show depends on that."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.support import Service


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer with the moments (monotonic) before its request was sent and after it was read."""

    started: float
    ended: float
    status: int
    revision: str
    body: bytes

    @property
    def about(self) -> dict[str, Any]:
        about: dict[str, Any] = json.loads(self.body)
        return about


class Hammer:
    """Kept-alive connections that each ask again at once, until the block ends. A failure of one fails the block."""

    def __init__(self, service: Service, connections: int = 6, path: str = "/") -> None:
        self.answers: list[Timed] = []
        self._service = service
        self._path = path
        self._connections = connections
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._connections)
        self._clients: list[Future[None]] = [self._pool.submit(self._ask) for _ in range(self._connections)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._pool.shutdown()
        if error is None:
            for client in self._clients:
                client.result()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=30)
        while not self._stop.is_set():
            started = time.monotonic()
            connection.request("GET", self._path)
            response = connection.getresponse()
            body = response.read()
            revision = response.headers["X-Config-Revision"]
            self.answers.append(Timed(started, time.monotonic(), response.status, revision, body))
        connection.close()

    def percentile(self, share: float) -> float:
        """The seconds that this share (0 to 1) of the requests did not exceed."""
        return percentile([answer.ended - answer.started for answer in self.answers], share)


def percentile(values: list[float], share: float) -> float:
    """The value that this share (0 to 1) of `values` does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def older_after_newer(answers: list[Timed], numbers: dict[str, int]) -> list[str]:
    """Answers that show an older revision than one that was read to its end before their request was sent."""
    ended = sorted((answer.ended, numbers[answer.revision]) for answer in answers)
    found, newest, position = [], 0, 0
    for answer in sorted(answers, key=lambda answer: answer.started):
        while ended[position][0] < answer.started:
            newest = max(newest, ended[position][1])
            position += 1
        if numbers[answer.revision] < newest:
            found.append(f"{numbers[answer.revision]} after {newest}")
    return found

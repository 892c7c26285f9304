"""Visitors: some requests a second from the first step to the drain, and what became of each of them."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from demo.answers import Answer, ask

VISITORS = 4
PATHS = ("/", "/", "/", "/version")
LOST = (OSError, http.client.HTTPException)


class Traffic:
    """Use as a context manager. Counts by status; `lost` got no answer at all."""

    def __init__(self, url: str, per_second: float) -> None:
        self._url = url
        self._pause_seconds = VISITORS / per_second
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()
        self.lost = 0

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(VISITORS)
        self._visits = [self._pool.submit(self._visit) for _ in range(VISITORS)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """No new requests; those on their way get their answers. More than once does no harm."""
        self._ended.set()
        self._pool.shutdown()

    @property
    def answered(self) -> int:
        return self._statuses.total()

    @property
    def failed(self) -> int:
        """How many were answered with 5xx."""
        with self._lock:
            return sum(number for status, number in self._statuses.items() if status >= 500)

    def _visit(self) -> None:
        for path in itertools.cycle(PATHS):
            if self._ended.wait(self._pause_seconds):
                return
            self._note(self._ask(path))

    def _ask(self, path: str) -> Answer | None:
        try:
            return ask(self._url + path)
        except LOST:
            return None

    def _note(self, answer: Answer | None) -> None:
        with self._lock:
            if answer is None:
                self.lost += 1
            else:
                self._statuses[answer.status] += 1

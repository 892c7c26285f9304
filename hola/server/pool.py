"""Threads that serve connections in the order in which they come.

In place of ThreadPoolExecutor, whose future, condition and wake-ups for each piece of work cost a request more than
its metrics do. Nobody waits for a result here: who serves a connection also passes it on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from hola.server import failure

Work = TypeVar("Work")


class Pool(Generic[Work]):
    """Its threads start at once and never hold up the end of the process. Thread-safe."""

    def __init__(self, threads: int, name: str, serve: Callable[[Work], None]) -> None:
        self._serve = serve
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads = threads
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def put(self, work: Work) -> None:
        self._queue.put(work)

    def take_back(self) -> list[Work]:
        """What no thread has begun, for somebody else to serve."""
        found: list[Work] = []
        while True:
            try:
                work = self._queue.get_nowait()
            except Empty:
                return found
            if work is not None:
                found.append(work)

    def close(self) -> None:
        """Let each thread end after its work; what is queued before is still served."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                self._serve(work)
            except BaseException:  # noqa: BLE001 - told, and the thread goes on: its number is the pod's capacity
                failure.tell()

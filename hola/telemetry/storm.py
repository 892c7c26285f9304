"""A limit on lines that say the same again and again, so that an outage does not drown what explains it."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable

LINES = 10  # of one kind in one window
WINDOW_SECONDS = 10.0
MOST_KINDS = 256


class Storm:
    """Thread-safe. Kinds are few by nature (a route and an exception's type); above 256 the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[Hashable, _Window] = {}

    def admit(self, kind: Hashable) -> int | None:
        """None if this line is to be left out; else how many were since the last one that was not."""
        now = time.monotonic()
        with self._lock:
            window = self._windows.get(kind)
            if window is None:
                if len(self._windows) >= MOST_KINDS:
                    self._windows.pop(next(iter(self._windows)))
                window = self._windows[kind] = _Window(now)
            elif now - window.began >= WINDOW_SECONDS:
                window.began, window.lines = now, 0
            window.lines += 1
            if window.lines > LINES:
                window.suppressed += 1
                return None
            suppressed, window.suppressed = window.suppressed, 0
            return suppressed


class _Window:
    __slots__ = ("began", "lines", "suppressed")

    def __init__(self, began: float) -> None:
        self.began = began
        self.lines = self.suppressed = 0

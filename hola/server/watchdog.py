"""Finds handlers that hang, tells where, and has their worker replaced, one worker at a time.

A thread cannot be ended from outside. So the worker finishes what does not hang and goes; what hung
goes with it. One worker at a time has its `turn`, so that a dependency that hangs everywhere does
not take all workers away at once.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Any

from hola import turn
from hola.scoreboard import Scoreboard
from hola.telemetry.logs import get_logger

_log = get_logger("hola.server")


class Watchdog:
    """One a worker. `begin` and `end` in the threads, everything else in the main loop."""

    def __init__(self, limit_seconds: float, board: Scoreboard, slot: int) -> None:
        self._limit_seconds = limit_seconds
        self._board = board
        self._slot = slot
        self._running: dict[Any, list[Any]] = {}  # its thread, when it began
        self.stuck: set[Any] = set()

    def begin(self, work: Any) -> None:
        """This thread is at `work` from now on."""
        self._running[work] = [threading.get_ident(), time.monotonic()]

    def end(self, work: Any) -> None:
        self._running.pop(work, None)
        self.stuck.discard(work)

    def excuse(self, work: Any, seconds: float) -> None:
        """So much of its time was not its handler's."""
        if running := self._running.get(work):
            running[1] += seconds  # in place, since its thread may be ending it

    def look(self) -> None:
        """Find what hangs, and tell of it once."""
        now = time.monotonic()
        for work, begun in tuple(self._running.items()):
            thread, started = begun
            if now - started > self._limit_seconds and work not in self.stuck:
                self.stuck.add(work)
                if self._running.get(work) is not begun:  # it ended before it was added, and would stay
                    self.stuck.discard(work)
                    continue
                _log.error("worker_stuck", seconds=round(now - started, 3), stack=_stack(thread), stuck=len(self.stuck))

    def wants_replacement(self) -> bool:
        """True when something hangs and it is this worker's turn to go."""
        return bool(self.stuck) and turn.take(self._board, self._slot)


def _stack(thread: int) -> list[str]:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to another thread's stack
    found = traceback.extract_stack(frame)[-30:] if frame else []
    return [f"{each.filename}:{each.lineno} {each.name}" for each in found]

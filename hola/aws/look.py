"""A look at AWS with an end: one thread looks for all who ask, its answer is kept, and nobody waits for long.

The SDK's timeouts are for one read each; a name's look-up, a dripping answer and a chain of calls know none. So the
look runs in a thread that may be left behind. Who asks while it hangs shares it, and learns at once that it is late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from hola.aws.sdk import Access

ANSWER_SECONDS = 2.5  # of a request: from the start of the look, which may have to import the SDK first
COMMAND_SECONDS = 1.6  # of a command: with the SDK imported before and the process' own start, within 3 s, too
KEEP_SECONDS = 5.0
ABANDON_SECONDS = 30.0  # after this another look may start beside one that does not end

Found = TypeVar("Found")


@dataclass(slots=True)
class _Run(Generic[Found]):
    access: Access = field(default_factory=Access)
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    outcome: Future[Found] = field(default_factory=Future)

    def is_over(self) -> bool:
        """True if who asks now should start another."""
        now = time.monotonic()
        if self.ended is None:
            return now - self.started > ABANDON_SECONDS
        return now - self.ended > KEEP_SECONDS


class Look(Generic[Found]):
    """Looks by `look`, or tells by `late` how far it came. Thread-safe; make it after the fork."""

    def __init__(
        self, look: Callable[[Access], Found], late: Callable[[Access], Found], answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._look = look
        self._late = late
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._run: _Run[Found] | None = None

    def answer(self) -> Found:
        """The answer of the look under way, of one at most `KEEP_SECONDS` old, or of a new one."""
        run = self._current()
        try:
            return run.outcome.result(max(run.started + self._answer_seconds - time.monotonic(), 0.0))
        except TimeoutError:
            return self._late(run.access)

    def _current(self) -> _Run[Found]:
        with self._lock:
            if self._run is None or self._run.is_over():
                run = _Run[Found]()
                threading.Thread(target=self._do, args=[run], name="aws", daemon=True).start()
                self._run = run
            return self._run

    def _do(self, run: _Run[Found]) -> None:
        try:
            run.outcome.set_result(self._look(run.access))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            run.outcome.set_exception(error)
        run.ended = time.monotonic()


def now() -> str:
    """The time at which something was found, in RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

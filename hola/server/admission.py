"""Whether a worker should accept one more connection, for the good of the whole pod.

gthread accepts far more than it can serve: fast requests then wait behind a slow one while another
worker is idle. And the worker that wakes first takes a whole burst of connections, and keeps them.
"""

from __future__ import annotations

import resource
import time

from hola.scoreboard import READY, Row, Scoreboard

# All workers of the pod busy for so long: then accepting takes work from nobody. Much longer, and under load that
# keeps all threads just about busy some connections would not be accepted for seconds.
SATURATED_SECONDS = 0.05
HESITATE_SECONDS = 0.005  # what a worker with many more connections than another leaves that one to accept first
UNSEEN_SECONDS = 2.0  # a worker that was not seen for so long accepts nothing; an idle one is seen once a second
REST_SECONDS = 0.1  # when the kernel had no descriptor or no memory for a connection
RESERVED_DESCRIPTORS = 64  # a worker holds some 25 itself; the others are for what it opens for a moment


def most_connections(wanted: int, threads: int) -> int:
    """So many as wanted, or as the limit on descriptors allows when each thread may open one of its own."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    return max(min(wanted, limit - RESERVED_DESCRIPTORS - threads), 1)


class Admission:
    """One a worker, asked in its main loop at every event; tells the other workers when it can take no more."""

    def __init__(self, board: Scoreboard, row: Row, threads: int, most_connections: int) -> None:
        self._board = board
        self._row = row
        self._threads = threads
        self._most_connections = most_connections
        self._accept_at = 0.0
        self._rest_until = 0.0
        self._least, self._least_at = 0, 0.0

    @property
    def is_hesitating(self) -> bool:
        """True while it leaves others a moment, so it should be asked again soon."""
        return self._accept_at > 0

    @property
    def is_resting(self) -> bool:
        """True from `rest` until it was asked again after that."""
        return self._rest_until > 0

    def rest(self) -> None:
        """Admit nothing for a moment: the kernel could not give what was admitted."""
        self._rest_until = time.monotonic() + REST_SECONDS

    def admits(self, serving: int, connections: int) -> bool:
        """True if a worker that serves and holds so many should accept another connection."""
        if connections >= self._most_connections or (self._rest_until and not self._is_rested()):
            self._row.saturated_since = self._row.saturated_since or time.monotonic()
            return False
        if serving >= self._threads:
            return self._are_all_saturated()
        if self._row.saturated_since:
            self._row.saturated_since = 0.0
        return self._is_my_turn(connections)

    def _is_rested(self) -> bool:
        if time.monotonic() < self._rest_until:
            return False
        self._rest_until = 0.0
        return True

    def _are_all_saturated(self) -> bool:
        now = time.monotonic()
        self._row.saturated_since = self._row.saturated_since or now
        return all(
            row.saturated_since and now - row.saturated_since >= SATURATED_SECONDS for row in self._accepting(now)
        )

    def _is_my_turn(self, connections: int) -> bool:
        """Without a look at the others where none can have so many fewer that it matters."""
        now = time.monotonic()
        if connections < self._threads or connections - self._least_of_all(now) < self._threads:
            self._accept_at = 0.0
            return True
        if 0 < self._accept_at <= now:
            self._accept_at = 0.0
            return True
        self._accept_at = self._accept_at or now + HESITATE_SECONDS
        return False

    def _least_of_all(self, now: float) -> int:
        if now >= self._least_at:
            self._least_at = now + HESITATE_SECONDS
            self._least = min((row.connections for row in self._accepting(now)), default=0)
        return self._least

    def _accepting(self, now: float) -> list[Row]:
        """Those that accept, this one among them; a worker that leaves or stands still does not."""
        ready = [row for _slot, row in self._board.workers if row.state == READY]
        return [row for row in ready if now - row.seen_at < UNSEEN_SECONDS]

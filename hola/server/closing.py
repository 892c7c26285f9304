"""How a worker ends a connection, in its main loop: refused, given up on, or lingering until its client has heard.

Nothing here waits for a client.
"""

from __future__ import annotations

from hola.scoreboard import Row
from hola.server.answering import AnsweringWorker
from hola.server.connection import Connection
from hola.server.framing import Stage
from hola.server.poller import Poller
from hola.server.watchdog import Watchdog
from hola.settings import Settings

MOST_HELD_BYTES = 64 << 20  # of unfinished requests in one worker: four such fit into the memory limit of k8s/
MOST_LATE_SECONDS = 1.0  # between two looks: what is more was a freeze of this process, and no client's doing


class ClosingWorker(AnsweringWorker):
    """What a worker does with a connection that it wants no more of."""

    row: Row
    poller: Poller
    _waiting: dict[Connection, None]
    _lingering: dict[Connection, None]
    _coming: dict[Connection, float]
    _serving: set[Connection]
    _held_bytes: int
    _watchdog: Watchdog
    settings: Settings

    def _linger(self, conn: Connection) -> None:
        """Close without waiting: the client's own end is waited for in the poller."""
        if conn.half_close():
            self._close(conn)
            return
        self._lingering[conn] = None
        self.poller.arm(conn.descriptor, conn.on_readable)

    def _check_left(self, conn: Connection) -> None:
        if conn.has_left():
            self._close(conn)
        else:
            self.poller.arm(conn.descriptor, conn.on_readable)

    def _close(self, conn: Connection) -> None:
        self.poller.forget(conn.descriptor, conn.on_readable)
        self._waiting.pop(conn, None)
        self._lingering.pop(conn, None)
        self._coming.pop(conn, None)
        self._drop_received(conn)
        self._count_connection(-1)
        conn.close()

    def _drop_received(self, conn: Connection) -> None:
        self._held_bytes -= len(conn.received)
        conn.received.clear()

    def _count_held(self) -> None:
        self._held_bytes = sum(len(conn.received) for conn in (*tuple(self._waiting), *tuple(self._serving)))

    def _holds_too_much(self) -> bool:
        """Counts anew before it says so: what threads have taken since the last look is not subtracted."""
        most = max(MOST_HELD_BYTES, 2 * self.settings.max_body_bytes)
        if self._held_bytes > most:
            self._count_held()
        return self._held_bytes > most

    def _count_connection(self, change: int) -> None:
        self.nr_conns += change
        self.row.connections = self.nr_conns

    def _time_out(self, conn: Connection) -> None:
        """A client took too long. One that never sent anything is closed, one in the middle is told."""
        if conn.stage is Stage.IDLE:
            if conn.is_first:
                self.row.add("slow_clients", 0)
            self._close(conn)
            return
        self.row.add("slow_clients", 1 if conn.stage is Stage.HEAD else 2)
        self._turn_away(conn, 408, f"{conn.stage.value}_timeout")

    def _time_readers(self, seconds: float) -> None:
        """Cut off clients that do not take their answers, and blame no handler. So much after the look before."""
        for conn in tuple(self._serving):
            if (outflow := conn.outflow) is None or not outflow.is_sending:
                continue
            self._watchdog.excuse(conn, seconds)
            if outflow.wait(min(seconds, MOST_LATE_SECONDS)) >= self.settings.request_head_seconds:
                conn.outflow = None
                conn.cut_off()
                self.row.add("slow_clients", 3)

    def _turn_away(self, conn: Connection, status: int, reason: str) -> None:
        """Refuse what no thread will see."""
        self._waiting.pop(conn, None)
        self._drop_received(conn)
        self._refuse(conn.sock, conn.client, status, reason)
        self._linger(conn)

"""What a worker takes of the connections that come: what `Admission` allows, and the rest when it leaves."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from hola.server.admission import HESITATE_SECONDS, Admission, most_connections
from hola.server.closing import ClosingWorker
from hola.server.connection import Connection

TICK_SECONDS = 0.1
COMING_SECONDS = 0.05  # in this time a client that has connected has usually sent its request
TELL_SECONDS = 60.0  # a worker that cannot accept says so once in this time


class AcceptingWorker(ClosingWorker):
    """Everything here runs in the main loop. Where a connection goes from here is `_advance`'s to say."""

    def _prepare_to_accept(self) -> None:
        self.worker_connections = most_connections(self.cfg.worker_connections, self.cfg.threads)
        self.max_keepalived = self.worker_connections - self.cfg.threads
        self._admission = Admission(self.board, self.row, self.cfg.threads, self.worker_connections)
        self._tell_at = 0.0
        self._coming: dict[Connection, float] = {}  # connected just now; until when it is believed to want a thread

    def _patience(self) -> float:
        """How long the main loop may wait for the next event."""
        if self._admission.is_hesitating:
            return HESITATE_SECONDS
        if self._coming:
            return COMING_SECONDS
        is_soon = self._serving or self._lingering or self._waiting or self._admission.is_resting
        return TICK_SECONDS if is_soon else 1.0

    def _may_accept(self) -> bool:
        return self.alive and self._admission.admits(len(self._serving) + self._number_coming(), self.nr_conns)

    def _number_coming(self) -> int:
        """So many requests are about to need a thread: the connection is here already, its first bytes are not.

        Without them a worker takes, of a burst, more connections than it has threads, while another one idles.
        """
        while self._coming:
            conn, until = next(iter(self._coming.items()))
            if until > time.monotonic():
                break
            del self._coming[conn]
        return len(self._coming)

    def accept(self, listener: Any) -> None:
        """One at a time while that spreads few connections; many at a time when there are many, so that none waits."""
        for _ in range(1 if self.nr_conns < self.cfg.threads else self.cfg.threads):
            if not (self._accept_one(listener) and self._accepting):
                return

    def _stop_listening(self) -> None:
        """Leave new connections to whoever listens still; when nobody does, the kernel refuses them at once.

        What it has accepted for all workers already is taken first, if this one may be the last to look.
        """
        for listener in self.sockets:
            listener.setblocking(False)
            while self.board.pod.draining and self.nr_conns < self.worker_connections:
                if not self._accept_one(listener):
                    break
            listener.close()

    def _accept_one(self, listener: Any) -> bool:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:  # no descriptor or memory left, or what the network did to a connection: accept(2)
            self._rest(error)
            return False
        self._count_connection(1)
        conn = Connection(self.cfg, sock, address, listener.getsockname(), self.settings)
        conn.on_readable = partial(self._advance, conn)
        now = time.monotonic()
        conn.deadline = now + self.settings.request_head_seconds
        self._coming[conn] = now + COMING_SECONDS
        self._advance(conn)
        if self._accepting and not self._may_accept():
            self.set_accept_enabled(False)
        return True

    def _rest(self, error: OSError) -> None:
        """Accept nothing for a moment, since the listener stays readable meanwhile; serve what is here."""
        self._admission.rest()
        if (now := time.monotonic()) >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self.log.error("cannot accept connections: %s", error)

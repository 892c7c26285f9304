"""The worker: gunicorn's gthread with a main loop that no client can hold up.

gthread gives a connection to a thread as soon as it is accepted, so a client that sends slowly, or
nothing, holds a thread; and it closes connections in its main loop, so a client that does not close
in turn holds up the whole worker for two seconds. Here the main loop receives whole requests, and
only then a thread is involved, which gives the connection back by itself; it closes without waiting; and
it accepts only what it can serve while another worker still could. Probes and metrics have a thread of their own.

Overrides names that gunicorn does not promise (`TConn`, `accept`, `init_process`, `run`,
`wait_for_and_dispatch_events`), so its version is pinned and the process tests hold them.
"""

from __future__ import annotations

import selectors
import time
from contextlib import suppress

from gunicorn.workers.gthread import ThreadWorker

from hola.scoreboard import LEAVING_RECYCLED, LEAVING_STUCK, STOPPING, Row, Scoreboard
from hola.server import failure, rejection
from hola.server.accepting import TICK_SECONDS, AcceptingWorker
from hola.server.config import WorkerConfig
from hola.server.connection import LINGER_SECONDS, Connection
from hola.server.framing import Stage
from hola.server.poller import Poller
from hola.server.pool import Pool
from hola.server.usage import Usage
from hola.server.watchdog import Watchdog
from hola.settings import Settings
from hola.telemetry.handover import queue_seconds


class Worker(AcceptingWorker):
    """One worker process. `join` is called by the hooks before `init_process`.

    A connection is in one place at a time: `_waiting` or `_lingering`, the main loop's, or `_serving` or
    `_operating`, a thread's. A thread that passes one on does so with single operations on dictionaries and
    sets, and arms the poller last, since the main loop may have the connection from that moment on.
    """

    def join(self, settings: Settings, board: Scoreboard) -> None:
        """Learn of the pod that this worker is part of."""
        self.settings = settings
        self.board = board

    slot: int
    row: Row
    retired: str | None  # set by the master when it tells the worker to go
    alive: bool

    def init_process(self) -> None:
        """Without gthread's own, whose selector and pool are not used."""
        self.cfg.__class__ = WorkerConfig
        self._usage = Usage(self.row)
        self._waiting: dict[Connection, None] = {}  # for a request, or the rest of one
        self._lingering: dict[Connection, None] = {}  # for the client to close
        self._serving: set[Connection] = set()  # in the threads of the application
        self._operating: set[Connection] = set()  # in the thread of probes and metrics
        self._prepare_to_accept()
        self._watchdog = Watchdog(self.settings.request_seconds, self.board, self.slot)
        self._held_bytes = 0  # of requests that no thread has yet
        self._look_at = 0.0
        self.poller = Poller()
        self.method_queue.init()
        super(ThreadWorker, self).init_process()

    # the main loop

    def run(self) -> None:
        self._pool = Pool(self.cfg.threads, "requests", self._serve)
        self._operations = Pool(1, "operations", self._serve)
        self.poller.register(self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks)
        while self.alive:
            self._tick()
            if not self.is_parent_alive():
                break
        self._leave()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        self.poller.dispatch(timeout)

    def _tick(self) -> None:
        if self._look_around() and self._watchdog.wants_replacement():
            self.row.leaving = LEAVING_STUCK
            self.alive = False
        self.set_accept_enabled(self._may_accept())
        if not self._accepting and self._may_accept():  # a thread that ended just now may have seen it accepting yet
            self.set_accept_enabled(True)
        self.wait_for_and_dispatch_events(self._patience() if self.alive else 0)

    def _look_around(self) -> bool:
        """What is due once a tick, however many events a tick has; True if it was."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._time_readers(now - self._look_at + TICK_SECONDS)
        self._look_at = now + TICK_SECONDS
        self.row.seen_at = now
        self.notify()
        self.row.threads_busy = len(self._serving)
        self._watchdog.look()
        self._count_held()
        for conn in [conn for conn in tuple(self._waiting) if conn.deadline <= now]:
            self._time_out(conn)
        for conn in [conn for conn in self._lingering if conn.deadline <= now]:
            self._close(conn)
        return True

    def _leave(self) -> None:
        """Serve what has come, take no more, and go: at the latest when the graceful time is over."""
        self.row.state = STOPPING  # or the others would leave to this one what it does not accept
        if not self.row.leaving and self.nr >= self.max_requests:
            self.row.leaving = LEAVING_RECYCLED
        self.set_accept_enabled(False)
        if self._watchdog.stuck:
            self._rescue_queued()
        self._stop_listening()
        until = time.monotonic() + self.settings.graceful_seconds
        while (self._has_work() or self._waiting) and (now := time.monotonic()) < until:
            for conn in tuple(self._waiting):
                conn.deadline = min(conn.deadline, now + LINGER_SECONDS)
            self.wait_for_and_dispatch_events(TICK_SECONDS)
            self._look_around()
        self._pool.close()

    def _rescue_queued(self) -> None:
        """Give what waits behind hung threads to new ones."""
        queued = self._pool.take_back()
        self._pool.close()
        self._pool = Pool(self.cfg.threads, "rescue", self._serve)
        for conn in queued:
            self._pool.put(conn)

    def _has_work(self) -> bool:
        return bool(self._operating or self._serving - self._watchdog.stuck)

    # connections, in the main loop

    def _advance(self, conn: Connection) -> None:
        """Take what a connection has sent; serve its request when that is whole."""
        if conn in self._lingering:
            self._check_left(conn)
            return
        before, held = conn.stage, len(conn.received)
        try:
            is_there = conn.receive()
        except Exception:  # noqa: BLE001 - what a client sends costs nobody but this client
            failure.tell()
            is_there = False
        if not is_there:
            self._close(conn)
            return
        self._held_bytes += len(conn.received) - held
        self._give_time(conn, before)
        self._go_on(conn)

    def _give_time(self, conn: Connection, before: Stage) -> None:
        """For a head once, for a body again with each part that comes, but not without end."""
        now = time.monotonic()
        if conn.stage is Stage.BODY:
            if before is not Stage.BODY:
                conn.body_until = now + self.settings.request_seconds
            conn.deadline = min(now + self.settings.request_head_seconds, conn.body_until)
        elif conn.stage is Stage.HEAD and before is Stage.IDLE and not conn.is_first:
            conn.deadline = now + self.settings.request_head_seconds

    def _go_on(self, conn: Connection) -> None:
        """Do what the stage of its request asks for."""
        stage = conn.stage
        if stage is Stage.COMPLETE or stage is Stage.UNREAD:
            self._dispatch(conn)
        elif stage in rejection.STAGES:
            self._turn_away(conn, *rejection.STAGES[stage])
        elif stage is Stage.BODY and self._holds_too_much():
            self._turn_away(conn, 503, "memory")
        else:
            if conn.framing.awaits_continue:
                conn.send_continue()
            self._waiting[conn] = None
            self.poller.arm(conn.descriptor, conn.on_readable)

    def _dispatch(self, conn: Connection) -> None:
        """Hand a whole request to a thread."""
        self._waiting.pop(conn, None)
        self._coming.pop(conn, None)
        conn.queued_at = time.monotonic()
        conn.is_urgent = conn.is_operational
        if conn.is_urgent:
            self._operating.add(conn)
            self._operations.put(conn)
        else:
            self._serving.add(conn)
            self.row.threads_busy = len(self._serving)
            self._pool.put(conn)

    def _finish(self, conn: Connection, is_kept: bool) -> None:
        """A thread is done with a connection that it could not give back to the poller itself."""
        self._release(conn)
        patience = self.cfg.keepalive if conn.stage is Stage.IDLE else self.settings.request_head_seconds
        now = time.monotonic()
        conn.deadline = now + (patience if self.alive else LINGER_SECONDS)
        conn.body_until = now + self.settings.request_seconds  # of its next body, if that has begun to come
        if is_kept:
            self._go_on(conn)
        else:
            self._linger(conn)

    # a request, in a thread

    def _serve(self, conn: Connection) -> None:
        """Serve one request, and pass the connection on: to the poller, or to the main loop if more is to be done."""
        queue_seconds.set(time.monotonic() - conn.queued_at)
        self._watchdog.begin(conn)
        is_kept = False
        try:
            with suppress(OSError):  # of a handshake, or a client that is gone
                conn.hand_over()
                is_kept = self.handle(conn) and conn.await_next()
        finally:
            self._watchdog.end(conn)
            if is_kept and self.alive and conn.stage is Stage.IDLE:
                self._give_back(conn)
            else:
                self.method_queue.defer(self._finish, conn, is_kept)

    def _give_back(self, conn: Connection) -> None:
        conn.deadline = time.monotonic() + self.cfg.keepalive
        self._waiting[conn] = None
        self._release(conn)
        if not self._accepting:
            self.method_queue.defer(lambda: None)  # there is a free thread again
        self.poller.arm(conn.descriptor, conn.on_readable)

    def _release(self, conn: Connection) -> None:
        self._serving.discard(conn)
        self._operating.discard(conn)
        self.row.threads_busy = len(self._serving)

    # what others see

    def notify(self) -> None:
        super().notify()
        self._usage.publish()

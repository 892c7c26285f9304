"""The master: gunicorn's arbiter with a drain, with deaths that have reasons, with a boot that ends.

gunicorn makes its arbiter itself, so the hook `on_starting` turns it into this subclass. What it
overrides and why:
- `handle_term`: gunicorn stops at once, and what the balancer still sends is reset.
- `handle_hup`: gunicorn ends the old workers before the new ones are ready, and hears no signal meanwhile.
- `manage_workers`: a worker that goes does not count any more.
- `spawn_worker`: gunicorn ends the service when the kernel has no process to give, and a signal to a newborn is lost.
- `reap_workers`: gunicorn halts the service when one replacement cannot boot, and tells no hook why a worker died.
- `murder_workers`: after a freeze of the whole pod, all its workers would be late.
- `stop`: gunicorn's bound is on a clock that may be set.
- `wait_for_signals`: the only place in its loop where time passes.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from gunicorn import sock
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from hola.scoreboard import BOOTING, EXIT_REASONS, READY, Scoreboard
from hola.server import deaths
from hola.server.metrics_dir import MetricsDir
from hola.server.reload import Reload
from hola.server.signals import SENT
from hola.settings import MOST_WORKERS, Settings
from hola.telemetry.logs import get_logger

EX_UNAVAILABLE = 69  # sysexits.h: a service that is needed is not there
REAP_SECONDS = 0.5
BOOT_PAUSE_SECONDS = 0.05
RESPAWN_PAUSE_SECONDS = 2.0  # after a replacement that could not boot
STOP_STEP_SECONDS = 0.05  # between two looks at who has ended, and which signal has come
QUICK_SECONDS = 2.0  # gunicorn's own bound after INT or QUIT during a stop
FROZEN_SECONDS = 5.0  # no round of the loop takes so long by itself

UNTOLD = {"otlp_headers", "consul_http_token"}  # settings that are secrets

_log = get_logger("hola.server")


class Master(Arbiter):
    """One a pod, PID 1 in the container. Everything here runs in its main loop."""

    LISTENERS: list[Any]
    reexec_pid: int
    master_pid: int

    def begin(self, settings: Settings, board: Scoreboard, metrics_dir: MetricsDir) -> None:
        """Take over; called once, before the first fork."""
        self.settings = settings
        self.metrics_dir = metrics_dir
        self.board = board
        self.started = time.monotonic()
        self.term_at: float | None = None
        self.stop_at: float | None = None
        self.in_flight_at_start = 0
        self.aborted = 0
        self.newborn: Any = None  # a worker that `pre_fork` has prepared
        self._reload: Reload | None = None
        self._hup_again = False
        self._respawn_at = 0.0
        self._last_round = self.started
        self._spare_until = 0.0

    # signals

    def handle_term(self) -> None:
        """First TERM: go on serving, not ready any more. Second TERM, or no time to drain: stop."""
        is_first = self.term_at is None
        self._note_term()
        if not is_first or self.settings.drain_seconds == 0:
            raise StopIteration
        self.board.pod.draining = 1
        _log.info("server_draining", in_flight=self.in_flight_at_start, drain_seconds=self.settings.drain_seconds)

    def handle_hup(self) -> None:
        """Check in a child first; what does not load changes nothing. One that comes meanwhile is done after it."""
        self._hup_again = self._reload is not None
        if self._reload is None:
            self._reload = Reload.begun(self)

    def load_anew(self) -> None:
        """Take on the checked configuration.

        Raises: whatever this process cannot load, SystemExit among it, though a new one could.
        """
        self.app.reload()
        self.setup(self.app)
        self.cfg.on_reload(self)

    def go_back_to(self, cfg: Any, num_workers: int) -> None:
        """As if nothing had been loaded."""
        self.app.cfg = cfg
        self.setup(self.app)
        self.num_workers = num_workers

    def retire(self, worker: Any, reason: str) -> None:
        """Tell a worker to finish and go."""
        worker.retired = reason
        self.kill_worker(worker.pid, signal.SIGTERM)

    def handle_usr2(self) -> None:
        self.maybe_promote_master()  # or an upgrade right after another would be ignored for up to a second
        try:
            super().handle_usr2()
        except OSError as error:  # no process left for a second master
            self.log.error("no second master: %s", error)  # noqa: TRY400 - the kernel's reason is all of it

    def handle_ttin(self) -> None:
        if self.num_workers < MOST_WORKERS:
            super().handle_ttin()

    def stop(self, graceful: bool = True) -> None:
        """Close, tell the workers, wait within the bound, kill. An INT or QUIT meanwhile makes it quick."""
        self._note_term()
        self.stop_at = self.stop_at or time.monotonic()
        self.board.pod.draining = 1
        if self._reload is not None:
            self._reload.abandon()
            self._reload = None
        is_last = self.reexec_pid == self.master_pid == 0 and not self.systemd and not self.cfg.reuse_port
        sock.close_sockets(self.LISTENERS, is_last)
        self.LISTENERS = []
        for worker in self.WORKERS.values():
            worker.retired = worker.retired or "stopped"
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        until = time.monotonic() + self.cfg.graceful_timeout
        while self.WORKERS and time.monotonic() < until:
            if graceful and {signal.SIGINT, signal.SIGQUIT} & set(self._signals_waiting()):
                graceful = False
                self.kill_workers(signal.SIGQUIT)
                until = time.monotonic() + QUICK_SECONDS
            self.reap_workers()
            time.sleep(STOP_STEP_SECONDS)
        self.kill_workers(signal.SIGKILL)
        until = time.monotonic() + REAP_SECONDS
        while self.WORKERS and time.monotonic() < until:  # those that were killed just now belong to the account
            self.reap_workers()
            time.sleep(0.01)  # waitpid has no bound, and a killed worker may be held by the kernel

    def _signals_waiting(self) -> list[int]:
        return list(super().wait_for_signals(0.001))

    def _note_term(self) -> None:
        if self.term_at is None:
            self.term_at = time.monotonic()
            self.in_flight_at_start = sum(row.in_progress for _slot, row in self.board.workers)

    # the loop

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        signals: list[int] = super().wait_for_signals(min(timeout, self._seconds_to_next_step()))
        self.reap_workers()  # also those whose SIGCHLD came before anybody listened
        self._check_boot()
        if self._reload is not None and self._reload.step():
            self._reload = None
            if self._hup_again:
                self.handle_hup()
        if self.term_at is not None and self._drain_left() <= 0:
            raise StopIteration
        return signals

    def _seconds_to_next_step(self) -> float:
        if self.term_at is not None:
            return max(self._drain_left(), 0.01)
        return 1.0 if self.board.pod.booted and self._reload is None else BOOT_PAUSE_SECONDS

    def _drain_left(self) -> float:
        return (self.term_at or 0.0) + self.settings.drain_seconds - time.monotonic()

    def _check_boot(self) -> None:
        """Say once that the service is ready; give up when no configuration comes."""
        pod = self.board.pod
        if pod.booted:
            return
        if sum(row.state == READY for _slot, row in self.board.workers) >= self.num_workers and pod.generation:
            pod.booted = 1
            _log.info("server_ready", **self.describe())
        elif not pod.generation and time.monotonic() - self.started > self.settings.config_boot_timeout_seconds:
            where = str(self.settings.config_dir / "config.json")
            _log.critical("config_boot_failed", path=where, waited_seconds=self.settings.config_boot_timeout_seconds)
            raise HaltServer(f"no valid document in {where}", EX_UNAVAILABLE)

    def describe(self) -> dict[str, Any]:
        """The effective settings: hola's own, and gunicorn's where GUNICORN_CMD_ARGS may have changed them."""
        names = ("worker_class_str", "workers", "threads", "timeout", "graceful_timeout", "keepalive", "max_requests")
        ports = [listener.getsockname()[1] for listener in self.LISTENERS]
        return {
            "port": ports[0] if ports else None,
            "listen": [str(listener) for listener in self.LISTENERS],
            "settings": self.settings.model_dump(
                mode="json", exclude={"otlp_headers", "consul_http_token"}, exclude_none=True
            ),
            "gunicorn": {name: getattr(self.cfg, name) for name in names},
            "boot_seconds": round(time.monotonic() - self.started, 3),
        }

    def maybe_promote_master(self) -> None:
        was_second = self.master_pid != 0
        super().maybe_promote_master()
        if was_second and self.master_pid == 0:
            self.metrics_dir.hold()

    # deaths

    def reap_workers(self) -> None:
        """Collect the dead: workers with their reason, and, as PID 1, orphans that nobody waits for."""
        while (death := deaths.next_death()) is not None:
            pid, status = death
            if pid == self.reexec_pid:
                self.reexec_pid = 0
            if self._reload is not None and pid == self._reload.check_pid:
                self._reload.checked(status)
            if (worker := self.WORKERS.pop(pid, None)) is not None:
                worker.tmp.close()
                self._bury(worker, status)
                self.cfg.child_exit(self, worker)

    def manage_workers(self) -> None:
        """As many workers as wanted: those that were told to go do not count, nor the old ones during a reload.

        One that goes by itself does until it is gone, so that its slot is its successor's; but not if it is the last.
        """
        if time.monotonic() < self._respawn_at:
            return
        is_reloading = self._reload is not None and self._reload.is_starting
        counted = self._reload.new() if self._reload is not None and is_reloading else self.WORKERS.values()
        staying = [worker for worker in counted if not worker.retired]
        if all(worker.row.leaving for worker in staying):
            staying = []
        for _ in range(self.num_workers - len(staying)):
            if self.spawn_worker() is None:
                break
        for worker in sorted(staying, key=lambda worker: worker.age)[: max(len(staying) - self.num_workers, 0)]:
            self.retire(worker, "stopped")

    def spawn_worker(self) -> int | None:
        """gunicorn's, with two cares. None if there is no worker now; it is tried again after a pause.

        Without a process, a descriptor or a slot for one worker, the others serve on. What the master sends to a
        worker waits until the worker has handlers: gunicorn's own are still the master's in a new process.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, SENT)
        try:
            return int(super().spawn_worker())
        except OSError as error:
            if os.getpid() != self.pid:
                raise
            self._respawn_at = time.monotonic() + RESPAWN_PAUSE_SECONDS
            self.log.error("no worker for now: %s", error)  # noqa: TRY400
            if self.newborn is not None:
                self.newborn.tmp.close()
                self.cfg.child_exit(self, self.newborn)
            return None
        finally:
            self.newborn = None
            if os.getpid() == self.pid:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SENT)

    def murder_workers(self) -> None:
        """Not right after this process itself stood still: frozen with its workers, they need a moment to say so."""
        now = time.monotonic()
        if now - self._last_round > FROZEN_SECONDS:
            self._spare_until = now + FROZEN_SECONDS
        self._last_round = now
        if now >= self._spare_until:
            super().murder_workers()

    def _bury(self, worker: Any, status: int) -> None:
        reason = deaths.reason(worker, status)
        self.board.pod.add("exits", EXIT_REASONS.index(reason))
        self.aborted += worker.row.in_progress if self.stop_at else 0
        code = os.waitstatus_to_exitcode(status)
        log = _log.info if reason in deaths.EXPECTED else _log.error
        log(
            "worker_exited",
            worker_slot=worker.slot,
            worker_pid=worker.pid,
            reason=reason,
            signal=deaths.signal_name(-code) if code < 0 else None,
            exit_code=code if code >= 0 else None,
            lost_requests=worker.row.in_progress,
        )
        if reason == "boot_failed" or (worker.row.state == BOOTING and not worker.retired):
            self._respawn_at = time.monotonic() + RESPAWN_PAUSE_SECONDS  # however it ended, the next would end so, too
        if reason == "boot_failed":
            if self._reload is not None and self._reload.is_starting:
                self._reload.reject("a new worker could not boot")
            if not self.board.pod.booted and self.stop_at is None:
                raise HaltServer("a worker could not boot", self.WORKER_BOOT_ERROR)

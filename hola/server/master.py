"""The master: gunicorn's arbiter with a drain, with deaths that have reasons, with a boot that ends.

gunicorn makes its arbiter itself, so the hook `on_starting` turns it into this subclass. What it
overrides and why:
- `handle_term`: gunicorn stops at once, and what the balancer still sends is reset.
- `handle_hup`: gunicorn ends the old workers before the new ones are ready, and hears no signal meanwhile.
- `manage_workers`: a worker that was told to go does not count any more.
- `reap_workers`: gunicorn halts the service when one replacement cannot boot, and tells no hook why a worker died.
- `wait_for_signals`: the only place in its loop where time passes.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from hola.scoreboard import EXIT_REASONS, LEAVING_RECYCLED, LEAVING_STUCK, READY, Scoreboard
from hola.server.metrics_dir import MetricsDir
from hola.server.reload import Reload
from hola.settings import MOST_WORKERS, Settings
from hola.telemetry.logs import get_logger

EX_UNAVAILABLE = 69  # sysexits.h: a service that is needed is not there
REAP_SECONDS = 0.5
BOOT_PAUSE_SECONDS = 0.05
RESPAWN_PAUSE_SECONDS = 2.0  # after a replacement that could not boot

UNTOLD = {"otlp_headers", "consul_http_token"}  # settings that are secrets

_log = get_logger("hola.server")


class Master(Arbiter):
    """One a pod, PID 1 in the container. Everything here runs in its main loop."""

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
        self._reload: Reload | None = None
        self._respawn_at = 0.0

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
        """Check in a child first; what does not load changes nothing."""
        if self._reload is None:
            self._reload = Reload(self)

    def load_anew(self) -> None:
        """Take on the checked configuration; `manage_workers` then starts the new workers."""
        self.app.reload()
        self.setup(self.app)
        self.cfg.on_reload(self)
        self.manage_workers()

    def retire(self, worker: Any, reason: str) -> None:
        """Tell a worker to finish and go."""
        worker.retired = reason
        self.kill_worker(worker.pid, signal.SIGTERM)

    def handle_usr2(self) -> None:
        self.maybe_promote_master()  # or an upgrade right after another would be ignored for up to a second
        super().handle_usr2()

    def handle_ttin(self) -> None:
        if self.num_workers < MOST_WORKERS:
            super().handle_ttin()

    def stop(self, graceful: bool = True) -> None:
        self._note_term()
        self.stop_at = self.stop_at or time.monotonic()
        self.board.pod.draining = 1
        super().stop(graceful)
        until = time.monotonic() + REAP_SECONDS
        while self.WORKERS and time.monotonic() < until:  # those that were killed just now belong to the account
            self.reap_workers()
            time.sleep(0.01)

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
            self.metrics_dir.take_over()

    # deaths

    def reap_workers(self) -> None:
        """Collect the dead: workers with their reason, and, as PID 1, orphans that nobody waits for."""
        while (death := _next_death()) is not None:
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
        """As many workers as wanted: those that were told to go do not count, nor the old ones during a reload."""
        if time.monotonic() < self._respawn_at:
            return
        is_reloading = self._reload is not None and self._reload.is_starting
        counted = self._reload.new() if self._reload is not None and is_reloading else self.WORKERS.values()
        staying = [worker for worker in counted if not worker.retired]
        for _ in range(self.num_workers - len(staying)):
            self.spawn_worker()
        for worker in sorted(staying, key=lambda worker: worker.age)[: max(len(staying) - self.num_workers, 0)]:
            self.retire(worker, "stopped")

    def _bury(self, worker: Any, status: int) -> None:
        reason = self._reason(worker, status)
        self.board.pod.add("exits", EXIT_REASONS.index(reason))
        self.aborted += worker.row.in_progress if self.stop_at else 0
        code = os.waitstatus_to_exitcode(status)
        log = _log.info if reason in ("recycled", "reloaded", "stopped") else _log.error
        log(
            "worker_exited",
            worker_slot=worker.slot,
            worker_pid=worker.pid,
            reason=reason,
            signal=signal.Signals(-code).name if code < 0 else None,
            exit_code=code if code >= 0 else None,
            lost_requests=worker.row.in_progress,
        )
        if reason == "boot_failed":
            if self._reload is not None and self._reload.is_starting:
                self._reload.reject("a new worker could not boot")
            self._respawn_at = time.monotonic() + RESPAWN_PAUSE_SECONDS
            if not self.board.pod.booted and self.stop_at is None:
                raise HaltServer("a worker could not boot", self.WORKER_BOOT_ERROR)

    def _reason(self, worker: Any, status: int) -> str:
        if worker.aborted or worker.row.leaving == LEAVING_STUCK:
            return "timeout"
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) in (self.WORKER_BOOT_ERROR, self.APP_LOAD_ERROR):
            return "boot_failed"
        if os.WIFSIGNALED(status):
            return "killed"
        if worker.row.leaving == LEAVING_RECYCLED:
            return "recycled"
        return str(worker.retired or "stopped")


def _next_death() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None

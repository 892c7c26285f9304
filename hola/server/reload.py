"""HUP, step by step, without ever holding up the master: check, start new workers, wait for them, end the old.

gunicorn tells the old workers to go as soon as the new ones are forked, and looks at no other signal
until they are gone. Here the old ones serve until the new ones are ready, and stay if they never are.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import Any, Protocol, Self

from hola.scoreboard import READY
from hola.telemetry.logs import get_logger

PATIENCE_SECONDS = 60.0  # for the new workers to be ready
MOST_READ_BYTES = 1 << 16  # of what a check printed
MOST_TOLD = 1000  # characters of it

_log = get_logger("hola.server")


class Reloadable(Protocol):
    """What a reload needs of the master."""

    WORKERS: dict[int, Any]
    worker_age: int
    num_workers: int
    cfg: Any

    def load_anew(self) -> None: ...
    def manage_workers(self) -> None: ...
    def go_back_to(self, cfg: Any, num_workers: int) -> None: ...
    def retire(self, worker: Any, reason: str) -> None: ...


class Reload:
    """One reload under way. `step` is called in the master's loop until it says that all is done."""

    def __init__(self, master: Reloadable, output: int, check_pid: int) -> None:
        self._master = master
        self._output = output
        self.check_pid = check_pid  # 0 once it has ended
        self.newest_before: int | None = None  # set when the new workers are started
        self._before = (master.cfg, master.num_workers)
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self._is_over = False

    @classmethod
    def begun(cls, master: Reloadable) -> Self | None:
        """With its check under way; None if there is no process or descriptor for it, which is told."""
        output = None
        try:
            output = os.memfd_create("hola-reload-check")
            return cls(master, output, _start_check(master, output))
        except OSError as error:
            if output is not None:
                os.close(output)
            why = os.strerror(error.errno or 0).lower()
            _log.error("server_reload_rejected", reason=f"its check could not be started: {why}")
            return None

    def checked(self, status: int) -> None:
        """The check has ended. Called by whoever reaps the master's children."""
        self.check_pid = 0
        if os.waitstatus_to_exitcode(status) != 0:
            self.reject(why_not(self._said()) or f"its check said nothing and ended with wait status {status}")
            return
        self.newest_before = self._master.worker_age
        try:
            self._master.load_anew()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the master's modules are not the new ones
            self.reject(f"a new master could load it, this one cannot: USR2 ({type(error).__name__}: {error})")
            return
        self._master.manage_workers()

    def _said(self) -> str:
        """The end of what the check printed, from the beginning of a line."""
        size = os.fstat(self._output).st_size
        said = os.pread(self._output, MOST_READ_BYTES, max(size - MOST_READ_BYTES, 0)).decode("utf-8", "replace")
        return said.partition("\n")[2] if size > MOST_READ_BYTES else said

    def step(self) -> bool:
        """Go on if it is time to; True when there is nothing left to do."""
        if not self._is_over and time.monotonic() > self._deadline:
            self.reject(f"the new workers were not ready within {PATIENCE_SECONDS:g} s")
        if not self._is_over and self.newest_before is not None and self._are_new_ready():
            for worker in self._old():
                self._master.retire(worker, "reloaded")
            self._finish()
        return self._is_over

    def reject(self, why: str) -> None:
        """Leave everything as it was."""
        _log.error("server_reload_rejected", reason=why)
        if self.newest_before is not None:
            for worker in self.new():
                self._master.retire(worker, "reloaded")
            self._master.go_back_to(*self._before)
        self._finish()

    def abandon(self) -> None:
        """The service stops: no new worker any more."""
        if not self._is_over:
            self._finish()

    @property
    def is_starting(self) -> bool:
        """True while new workers run beside the old ones, and are not all ready yet."""
        return self.newest_before is not None and not self._is_over

    def new(self) -> list[Any]:
        """The workers started by this reload."""
        if self.newest_before is None:
            return []
        return [worker for worker in self._master.WORKERS.values() if worker.age > self.newest_before]

    def _old(self) -> list[Any]:
        before = self.newest_before or 0
        return [worker for worker in self._master.WORKERS.values() if worker.age <= before]

    def _are_new_ready(self) -> bool:
        ready = [worker for worker in self.new() if worker.row.state == READY]
        return len(ready) >= self._master.num_workers

    def _finish(self) -> None:
        self._is_over = True
        os.close(self._output)
        if self.check_pid:
            os.kill(self.check_pid, signal.SIGKILL)


def why_not(said: str) -> str:
    """Of a traceback the error and its place, which is what somebody acts on; of anything else the whole."""
    places = list(re.finditer(r'^ *File "(.+)", line (\d+).*$', said, re.MULTILINE))
    if not places:
        return " ".join(said.split())[-MOST_TOLD:]
    at = places[-1]
    message = re.sub(r"\A(?:[ \t]*\n| .*\n)*", "", said[at.end() :])  # behind the line of code and what marks it
    return f"{' '.join(message.split())[:MOST_TOLD]} ({at[1]}, line {at[2]})"


def _start_check(master: Reloadable, output: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    command = [sys.executable, "-m", "hola.server.check", str(master.cfg.config)]
    return os.posix_spawn(sys.executable, command, dict(master.cfg.env_orig), file_actions=actions)

"""Why a process of the service ended, as the master can know it."""

from __future__ import annotations

import os
import signal
from typing import Any

from gunicorn.arbiter import Arbiter

from hola.scoreboard import BOOTING, LEAVING_RECYCLED, LEAVING_STUCK

_BOOT_ERRORS = (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)
EXPECTED = ("recycled", "reloaded", "stopped")


def next_death() -> tuple[int, int] | None:
    """The process id and the wait status of a child that is dead, of any kind; None if there is none now."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def reason(worker: Any, status: int) -> str:
    """One of EXIT_REASONS. A worker whose main loop failed did not stop, it was killed: by its own fault."""
    code = os.waitstatus_to_exitcode(status)
    if worker.aborted or worker.row.leaving == LEAVING_STUCK:
        return "timeout"
    if code in _BOOT_ERRORS or (code >= 0 and worker.row.state == BOOTING and not worker.retired):
        return "boot_failed"
    if code != 0:
        return "killed"
    if worker.row.leaving == LEAVING_RECYCLED:
        return "recycled"
    return str(worker.retired or "stopped")


def signal_name(number: int) -> str:
    """`SIGKILL`; the numbers between the standard and the real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

"""What this process uses of its machine, told to the scoreboard about once a second."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress

from hola.scoreboard import Row
from hola.telemetry.logs import LOGS

PUBLISH_SECONDS = 1.0


class Usage:
    """One a worker. CPU time goes on from what the slot's earlier workers used, so that it never falls."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._cpu_before = row.cpu_seconds
        self._published_at = 0.0

    def publish(self) -> None:
        """Cheap when called often: it looks once a second."""
        now = time.monotonic()
        if now - self._published_at < PUBLISH_SECONDS:
            return
        self._published_at = now
        LOGS.writer.tell_losses()
        row, usage = self._row, resource.getrusage(resource.RUSAGE_SELF)
        row.cpu_seconds = self._cpu_before + usage.ru_utime + usage.ru_stime
        with suppress(OSError):  # no descriptor is left to look with: the figures of a second ago stay
            row.resident_bytes = int(_memory_pages().split()[1]) * resource.getpagesize()
            row.open_fds = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - half as costly


def _memory_pages() -> bytes:
    """https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html; without a file object, which costs twice as much."""
    descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 256)
    finally:
        os.close(descriptor)

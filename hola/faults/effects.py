"""What an injected fault does to its worker: memory, CPU time, lines, death. Each within a bound.

Which request meets it, and what a status or an exception makes of that, is `injection`'s.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NoReturn, Protocol

from hola.telemetry.logs import get_logger

MOST_HELD_MIB = 256  # a worker
LEFT_MIB = 512  # of the machine's memory, for everybody else

_MIB = 1 << 20
_log = get_logger("hola.faults")


class Allocation(Protocol):
    """What the live document says of a fault that takes memory."""

    @property
    def id(self) -> str: ...
    @property
    def allocate_mib(self) -> int: ...
    def is_over(self, now: datetime) -> bool: ...


class Ballast:
    """Memory that faults make this worker hold. Thread-safe; one a worker.

    Args:
        available_mib: asked before each allocation for what the machine has left.
    """

    def __init__(self, available_mib: Callable[[], int] | None = None) -> None:
        self._available_mib = available_mib or _available_mib
        self._held: dict[str, list[mmap.mmap]] = {}
        self._lock = threading.Lock()

    @property
    def held_mib(self) -> int:
        return sum(len(block) for blocks in self._held.values() for block in blocks) // _MIB

    def add(self, fault_id: str, mib: int) -> None:
        """Hold `mib` more, or as much of it as the bounds leave."""
        with self._lock:
            mib = min(mib, MOST_HELD_MIB - self.held_mib, self._available_mib() - LEFT_MIB)
            if mib <= 0:
                return
            block = mmap.mmap(-1, mib * _MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            block[:: mmap.PAGESIZE] = b"\1" * (len(block) // mmap.PAGESIZE)  # resident only once it was written
            self._held.setdefault(fault_id, []).append(block)

    def keep(self, rules: Iterable[Allocation]) -> None:
        """Give back what no rule in force asks for. Called about once a second, and soon after a change."""
        if not self._held:
            return
        now = datetime.now(UTC)
        wanted = {rule.id for rule in rules if rule.allocate_mib and not rule.is_over(now)}
        with self._lock:
            for fault_id in self._held.keys() - wanted:
                for block in self._held.pop(fault_id):
                    block.close()


class Crash:
    """The death of this worker, once. Thread-safe.

    Args:
        take_turn: asked whether this worker may be the one that the pod does without.
    """

    def __init__(self, take_turn: Callable[[], bool]) -> None:
        self._take_turn = take_turn
        self._once = threading.Lock()

    def is_due(self) -> bool:
        """True for the one request that this worker dies of."""
        if not self._once.acquire(blocking=False):
            return False
        if not (is_due := self._take_turn()):
            self._once.release()
        return is_due

    def happen(self, fault_id: str) -> NoReturn:
        """Die as of the kernel's OOM killer. The line before says that somebody wanted it."""
        _log.warning("worker_exit_injected", fault_id=fault_id)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody survives SIGKILL")


def burn(cpu_ms: int) -> None:
    """Use so much CPU time in this thread; it takes longer where threads or processes want the same core."""
    until = time.thread_time() + cpu_ms / 1000
    while time.thread_time() < until:
        sum(range(1000))


def write_lines(fault_id: str, number: int) -> None:
    """A storm of lines, each of them counted, none the same."""
    for line in range(1, number + 1):
        _log.warning("line_injected", fault_id=fault_id, number=line, of=number)


def _available_mib() -> int:
    """https://man7.org/linux/man-pages/man5/proc_meminfo.5.html"""
    with open("/proc/meminfo") as figures:
        found = dict(line.split(":") for line in figures)
    return int(found["MemAvailable"].split()[0]) // 1024

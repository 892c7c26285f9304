"""What a process and all its descendants cost, as the kernel counts it. https://man7.org/linux/man-pages/man5/proc.5.html"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_PPID, _TIMES = 1, slice(11, 15)  # behind the name: the parent; utime, stime, and both of the children waited for


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, that of its dead included."""
    ticks = sum(sum(map(int, fields[_TIMES])) for fields in _tree(root).values())
    return ticks / os.sysconf("SC_CLK_TCK")


def exact_cpu_seconds(root: int) -> float:
    """The same of the living alone, to the nanosecond: what the scheduler gave each of their threads.

    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """
    nanoseconds = 0
    for pid in _tree(root):
        for schedstat in (_PROC / str(pid) / "task").glob("*/schedstat"):
            with suppress(OSError):
                nanoseconds += int(schedstat.read_text().split()[0])
    return nanoseconds / 1e9


def pss_bytes(root: int) -> int:
    """Proportional set size: shared pages are divided among those who share them."""
    kibibytes = 0
    for pid in _tree(root):
        with suppress(OSError):
            lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
            kibibytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kibibytes * 1024


def _tree(root: int) -> dict[int, list[str]]:
    """The fields behind the name in `stat` of `root` and of all its descendants, by pid."""
    everybody = dict(_all_processes())
    family = {root}
    while more := {pid for pid, fields in everybody.items() if int(fields[_PPID]) in family} - family:
        family |= more
    return {pid: everybody[pid] for pid in family if pid in everybody}


def _all_processes() -> list[tuple[int, list[str]]]:
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found.append((int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()))
    return found

"""What a worker uses of its machine, also when there is no descriptor left to look with."""

from __future__ import annotations

import resource

from hola.scoreboard import Scoreboard
from hola.server.usage import Usage


def test_figures_are_told(board: Scoreboard) -> None:
    row = board.rows[0]
    row.cpu_seconds = 100.0
    Usage(row).publish()
    assert row.cpu_seconds > 100
    assert row.resident_bytes > 1 << 20
    assert row.open_fds > 2


def test_without_descriptors_the_last_figures_stay(board: Scoreboard) -> None:
    row = board.rows[0]
    row.resident_bytes, row.open_fds = 7, 8
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        Usage(row).publish()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (row.resident_bytes, row.open_fds) == (7, 8)

"""Handlers that hang: told once, and forgotten when they end after all."""

from __future__ import annotations

import pytest

from hola.scoreboard import Scoreboard
from hola.server import watchdog as module
from hola.server.watchdog import Watchdog
from tests.unit.conftest import Lines

ANY_TIME = -1.0  # a limit that everything is above


def test_what_hangs_is_told_once_and_forgotten_at_its_end(board: Scoreboard, lines: Lines) -> None:
    watchdog = Watchdog(ANY_TIME, board, 0)
    watchdog.begin("a")
    watchdog.look()
    watchdog.look()
    assert watchdog.stuck == {"a"}
    assert watchdog.wants_replacement()
    assert lines.names == ["worker_stuck"]
    watchdog.end("a")
    assert not watchdog.stuck
    assert not watchdog.wants_replacement()


@pytest.mark.parametrize("has_next", [False, True])
def test_what_ends_while_another_is_told_is_not_stuck(
    board: Scoreboard, lines: Lines, monkeypatch: pytest.MonkeyPatch, has_next: bool
) -> None:
    watchdog = Watchdog(ANY_TIME, board, 0)
    watchdog.begin("a")
    watchdog.begin("b")

    def stack(_thread: int) -> list[str]:
        watchdog.end("b")
        if has_next:
            watchdog.begin("b")  # the next request of the same connection
        return []

    monkeypatch.setattr(module, "_stack", stack)
    watchdog.look()
    assert watchdog.stuck == {"a"}
    assert lines.names == ["worker_stuck"]

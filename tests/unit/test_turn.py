"""Whose turn it is to be replaced: one at a time, until the next worker of its slot is ready or time is up."""

from __future__ import annotations

import pytest

from hola import turn
from hola.scoreboard import Scoreboard
from hola.turn import TURN_SECONDS


def test_one_worker_goes_at_a_time(board: Scoreboard) -> None:
    assert [turn.take(board, slot) for slot in (2, 3, 2)] == [True, False, True]


def test_the_next_may_go_when_the_one_before_is_replaced(board: Scoreboard) -> None:
    turn.take(board, 2)
    turn.give_back(board, 3)
    assert not turn.take(board, 3)
    turn.give_back(board, 2)
    assert turn.take(board, 3)


@pytest.mark.parametrize(("age", "is_free"), [(TURN_SECONDS - 5, False), (TURN_SECONDS, True)])
def test_a_worker_that_never_comes_back_holds_nobody_up_for_good(board: Scoreboard, age: float, is_free: bool) -> None:
    turn.take(board, 0)
    board.pod.replacing_since -= age
    assert turn.take(board, 1) is is_free


def test_while_somebody_holds_the_scoreboard_nobody_goes(board: Scoreboard) -> None:
    with board.lock():
        assert not turn.take(board, 1)

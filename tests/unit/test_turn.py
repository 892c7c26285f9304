"""Whose turn it is to be replaced: one at a time, until the next worker of its slot is ready or time is up."""

from __future__ import annotations

import pytest

from hola import turn
from hola.scoreboard import BOOTING, FREE, STOPPING, Scoreboard
from hola.turn import TURN_SECONDS


def test_one_worker_goes_at_a_time(board: Scoreboard) -> None:
    assert [turn.take(board, slot) for slot in (2, 3, 2)] == [True, False, True]


def test_the_next_may_go_when_the_one_before_is_replaced(board: Scoreboard) -> None:
    board.rows[2].state = BOOTING
    turn.take(board, 2)
    turn.give_back(board, 3)
    assert not turn.take(board, 3)
    turn.give_back(board, 2)
    assert turn.take(board, 3)


@pytest.mark.parametrize(("state", "is_free"), [(FREE, True), (STOPPING, False), (BOOTING, False)])
def test_the_next_one_may_live_in_another_slot(board: Scoreboard, state: int, is_free: bool) -> None:
    """As after a reload, whose workers have the upper slots, and each replacement the lowest that is free."""
    board.rows[5].state = state
    turn.take(board, 5)
    turn.give_back(board, 0)
    assert turn.take(board, 6) is is_free


@pytest.mark.parametrize(("age", "is_free"), [(TURN_SECONDS - 5, False), (TURN_SECONDS, True)])
def test_a_worker_that_never_comes_back_holds_nobody_up_for_good(board: Scoreboard, age: float, is_free: bool) -> None:
    turn.take(board, 0)
    board.pod.replacing_since -= age
    assert turn.take(board, 1) is is_free


def test_while_somebody_holds_the_scoreboard_nobody_goes(board: Scoreboard) -> None:
    with board.lock():
        assert not turn.take(board, 1)

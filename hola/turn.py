"""Whose turn it is to be replaced: one worker of the pod at a time, so that a trouble of all is no outage.

The scoreboard holds it, from whoever goes by a decision of its own until it is gone and a next worker is ready.
"""

from __future__ import annotations

import time
from contextlib import suppress

from hola.errors import LockTimeout
from hola.scoreboard import FREE, Scoreboard

TURN_SECONDS = 30.0  # after that somebody else may go, whatever became of the one whose turn it was


def take(board: Scoreboard, slot: int) -> bool:
    """True if the worker of `slot` may go now; it is asked to go at once."""
    pod, now = board.pod, time.monotonic()
    with suppress(LockTimeout), board.lock(0.05):
        if pod.replacing and pod.replacing != slot + 1 and now - pod.replacing_since < TURN_SECONDS:
            return False
        pod.replacing, pod.replacing_since = slot + 1, now
        return True
    return False


def give_back(board: Scoreboard, slot: int) -> None:
    """The worker of `slot` is ready. If that whose turn it was is gone, somebody else may go.

    The next worker of a slot need not be the one for who left it: it takes the lowest slot that is free.
    """
    going = int(board.pod.replacing) - 1
    if going == slot or (going >= 0 and board.rows[going].state == FREE):
        board.pod.replacing = 0

"""Which connections a worker should leave to others, to itself, or to a better moment."""

from __future__ import annotations

import resource
import time

import pytest

from hola.scoreboard import BOOTING, READY, STOPPING, Scoreboard
from hola.server import admission as module
from hola.server.admission import RESERVED_DESCRIPTORS, SATURATED_SECONDS, UNSEEN_SECONDS, Admission, most_connections
from tests.support import eventually

THREADS, MOST = 2, 100


@pytest.fixture
def admission(board: Scoreboard) -> Admission:
    """Of the worker in slot 0 with many connections, beside one in slot 1 with none."""
    board.rows[0].connections = MOST - 1
    for row in (board.rows[0], board.rows[1]):
        row.state, row.seen_at = READY, time.monotonic()
    return Admission(board, board.rows[0], THREADS, MOST)


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        (1 << 20, 1000),
        (1024, 1024 - RESERVED_DESCRIPTORS - THREADS),
        (RESERVED_DESCRIPTORS, 1),
        (resource.RLIM_INFINITY, 1000),
    ],
)
def test_no_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch, limit: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit, limit))
    assert most_connections(1000, THREADS) == most


def test_it_admits_nothing_while_it_rests(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission.admits(0, 0)
    monkeypatch.setattr(module, "REST_SECONDS", 3600)
    admission.rest()
    assert admission.is_resting
    assert not admission.admits(0, 0)
    monkeypatch.setattr(module, "REST_SECONDS", 0)
    admission.rest()
    assert admission.admits(0, 0)
    assert not admission.is_resting


def test_a_full_worker_leaves_it_to_one_with_free_threads(admission: Admission, board: Scoreboard) -> None:
    _saturate(admission, board)
    assert not admission.admits(THREADS, THREADS)
    board.rows[1].saturated_since = time.monotonic() - SATURATED_SECONDS
    assert admission.admits(THREADS, THREADS), "when all are full, accepting takes work from nobody"


@pytest.mark.parametrize("state", [BOOTING, STOPPING])
def test_it_leaves_nothing_to_one_that_does_not_accept(admission: Admission, board: Scoreboard, state: int) -> None:
    _saturate(admission, board)
    board.rows[1].state = state
    assert admission.admits(THREADS, THREADS)
    assert admission.admits(0, MOST - 1), "nor does it hesitate for one with fewer connections"


def test_it_leaves_nothing_to_one_that_stands_still(admission: Admission, board: Scoreboard) -> None:
    _saturate(admission, board)
    board.rows[1].seen_at -= UNSEEN_SECONDS
    assert admission.admits(THREADS, THREADS)
    assert admission.admits(0, MOST - 1), "nor does it hesitate for one with fewer connections"


@pytest.mark.parametrize("is_resting", [False, True])
def test_one_that_takes_no_more_says_so_and_no_longer_than_that(
    admission: Admission, board: Scoreboard, is_resting: bool
) -> None:
    if is_resting:
        admission.rest()
    assert not admission.admits(0, 0 if is_resting else MOST)
    assert board.rows[0].saturated_since, "or another one with no thread free would wait for it"
    eventually(lambda: admission.admits(0, 0), "its next connection", 5)
    assert not board.rows[0].saturated_since


def test_it_hesitates_for_one_with_far_fewer_connections(admission: Admission) -> None:
    assert not admission.admits(0, MOST - 1)
    assert admission.is_hesitating


def _saturate(admission: Admission, board: Scoreboard) -> None:
    """All threads of the worker are busy, and have been for a while."""
    admission.admits(THREADS, THREADS)
    board.rows[0].saturated_since -= SATURATED_SECONDS

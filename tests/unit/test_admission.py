"""Which connections a worker should leave to others, to itself, or to a better moment."""

from __future__ import annotations

import resource

import pytest

from hola.scoreboard import READY, Scoreboard
from hola.server import admission as module
from hola.server.admission import RESERVED_DESCRIPTORS, Admission, most_connections

THREADS, MOST = 2, 100


@pytest.fixture
def admission(board: Scoreboard) -> Admission:
    """Of the worker in slot 0, with another one in slot 1."""
    for row in (board.rows[0], board.rows[1]):
        row.state = READY
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

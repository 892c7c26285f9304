"""Whether this pod should get traffic: booting and draining take it away, nothing else does."""

from __future__ import annotations

import pytest

from hola.readiness import Readiness
from hola.scoreboard import BOOTING, READY, STOPPING, Scoreboard


@pytest.fixture
def pod(board: Scoreboard) -> Scoreboard:
    """A pod that serves: booted, two workers, a document."""
    board.pod.workers_expected = 2
    board.rows[0].state = board.rows[1].state = READY
    board.pod.booted = board.pod.generation = 1
    return board


def failed(board: Scoreboard) -> dict[str, str]:
    return {check.name: check.detail for check in Readiness(board).checks() if not check.ok}


def test_a_pod_that_serves_is_ready(pod: Scoreboard) -> None:
    assert failed(pod) == {}
    assert Readiness(pod).is_ready()


def test_a_pod_whose_boot_has_not_ended_is_not_ready(pod: Scoreboard) -> None:
    pod.pod.booted, pod.rows[1].state = 0, BOOTING
    assert failed(pod) == {"workers": "1 of 2 workers ready, still booting"}


def test_a_pod_without_a_document_is_not_ready(pod: Scoreboard) -> None:
    pod.pod.generation = 0
    assert failed(pod) == {"document": "none yet"}


def test_a_draining_pod_is_not_ready(pod: Scoreboard) -> None:
    pod.pod.draining = 1
    assert failed(pod) == {"draining": "draining: going away"}


def test_one_worker_that_is_replaced_does_not_take_the_pod_away(pod: Scoreboard) -> None:
    pod.rows[1].state = BOOTING
    assert Readiness(pod).is_ready()
    pod.rows[0].state = STOPPING
    assert failed(pod) == {"workers": "0 of 2 workers ready"}


def test_a_rejected_document_and_a_lost_source_do_not_take_the_pod_away(pod: Scoreboard) -> None:
    pod.pod.rejected, pod.pod.source_up, pod.pod.errors = 0xBAD, 0, 3
    assert Readiness(pod).is_ready()


def test_an_empty_pod_fails_every_check_but_draining(board: Scoreboard) -> None:
    assert failed(board).keys() == {"workers", "document"}

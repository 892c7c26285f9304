"""The document in force, as all workers of a pod share it: adoption, convergence, rollout, restart-only keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from hola.live_config import document as documents
from hola.scoreboard import BOOTING, READY, Scoreboard
from tests.unit.conftest import Lines
from tests.unit.pod import BAD, A, B, Pod, greeting


@pytest.fixture
def pod(tmp_path: Path, board: Scoreboard) -> Pod:
    return Pod(tmp_path, board)


class Contended(Scoreboard):
    """Another worker comes first whenever somebody wants the lock."""

    meanwhile: Callable[[], None] | None = None

    @contextmanager
    def lock(self, within_seconds: float = 1.0) -> Iterator[Self]:
        act, self.meanwhile = self.meanwhile, None
        if act:
            act()
        with super().lock(within_seconds):
            yield self


def held_back(greeting: str, percent: float = 0) -> str:
    return json.dumps({"greeting": greeting, "_meta": {"rollout": {"percent": percent}}})


def test_another_worker_has_the_change_at_its_next_request_without_a_look_of_its_own(pod: Pod) -> None:
    first, second = pod.booted(A), pod.booted(slot=1)
    pod.put(B)
    first.look()
    assert greeting(second) == "B"
    assert pod.board.rows[1].generation == 2


def test_all_workers_together_tell_a_change_once(pod: Pod, lines: Lines) -> None:
    workers = [pod.booted(A, slot) for slot in range(4)]
    pod.put(B)
    for worker in workers:
        worker.look()
    assert lines.names == ["config_applied", "config_applied"]
    assert (pod.board.pod.generation, pod.board.pod.applied) == (2, 2)
    assert [greeting(worker) for worker in workers] == ["B"] * 4


@pytest.mark.parametrize(
    ("documents", "told"), [([B], "config_applied"), ([BAD], "config_rejected"), ([BAD, A], "config_recovered")]
)
def test_of_two_workers_that_see_a_change_at_once_one_tells_it(
    tmp_path: Path, lines: Lines, documents: list[str], told: str
) -> None:
    board = Contended()
    pod = Pod(tmp_path, board)
    first, second = pod.booted(A), pod.booted(slot=1)
    for document in documents:
        pod.put(document)
        lines.clear()
        board.meanwhile = second.look
        first.look()
        assert board.meanwhile is None
    assert lines.names == [told]
    assert pod.history.count(told) == (2 if told == "config_applied" else 1)


def test_a_worker_that_is_born_while_the_file_is_bad_gets_what_the_pod_runs(pod: Pod) -> None:
    pod.booted(A)
    born = pod.booted(BAD, slot=1)
    assert (greeting(born), born.current().origin, pod.board.rows[1].generation) == ("A", "source", 1)


def test_convergence_is_told_once_when_the_last_ready_worker_has_it(pod: Pod) -> None:
    first, second = pod.booted(A), pod.booted(slot=1)
    pod.board.rows[2].state = BOOTING  # not counted: it will boot with the document in force
    pod.converged.clear()
    pod.put(B)
    first.look()
    assert pod.converged == []
    second.look()
    first.look()
    (seconds,) = pod.converged
    assert 0 <= seconds < 5
    assert pod.board.pod.converged == 2


def test_the_document_a_pod_boots_with_is_no_change_that_took_time(pod: Pod) -> None:
    pod.put(A)
    worker = pod.worker()
    pod.board.rows[0].state = BOOTING
    worker.boot()
    pod.board.rows[0].state = READY
    worker.look()
    assert (pod.converged, pod.board.pod.converged) == ([], 1)


def test_a_worker_that_is_behind_holds_convergence_up(pod: Pod) -> None:
    first = pod.booted(A)
    pod.converged.clear()
    pod.board.rows[1].state = READY
    pod.put(B)
    first.look()
    first.look()
    assert pod.converged == []


def test_a_rollout_keeps_a_document_from_this_pod_and_says_so_once(pod: Pod, lines: Lines) -> None:
    first, second = pod.booted(A), pod.booted(slot=1)
    lines.clear()
    pod.put(held_back("B"))
    for worker in (first, second, first):
        worker.look()
        assert greeting(worker) == "A"
    assert lines.names == ["config_held"]
    assert pod.board.pod.held == int(documents.revision(held_back("B").encode()), 16)
    pod.put(held_back("B", percent=100))
    first.look()
    assert (greeting(second), pod.board.pod.held) == ("B", 0)


def test_a_pod_with_nothing_else_to_run_takes_part_in_any_rollout(pod: Pod) -> None:
    assert greeting(pod.booted(held_back("B"))) == "B"


def test_static_settings_that_the_document_wants_otherwise_are_reported_and_not_applied(pod: Pod, lines: Lines) -> None:
    worker = pod.booted('{"static": {"workers": 4, "threads": 16}}')
    (line,) = lines.events("config_restart_required")
    assert line["paths"] == ["/static/threads"]
    assert pod.board.pod.restart_required == 1
    pod.put('{"static": {"threads": 8}}')
    worker.look()
    assert pod.board.pod.restart_required == 0

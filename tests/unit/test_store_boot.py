"""The first document of a pod's life: from the source, else the last known good, else none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hola.scoreboard import Scoreboard
from tests.unit.conftest import Lines
from tests.unit.pod import BAD, A, B, Pod, greeting


@pytest.fixture
def pod(tmp_path: Path, board: Scoreboard) -> Pod:
    return Pod(tmp_path, board)


def test_the_next_boot_without_a_source_runs_the_last_known_good(pod: Pod, tmp_path: Path, lines: Lines) -> None:
    pod.booted(A).look()
    (pod.volume / "config.json").unlink()
    lines.clear()
    again = Pod(tmp_path, Scoreboard())
    snapshot = again.booted().current()
    assert (snapshot.document.greeting, snapshot.origin, snapshot.generation) == ("A", "last_known_good", 1)
    assert lines.names == ["config_source_lost", "config_applied"]


def test_the_next_boot_with_a_bad_source_runs_the_last_known_good_and_tells_why(pod: Pod, tmp_path: Path) -> None:
    pod.booted(A)
    again = Pod(tmp_path, Scoreboard())
    worker = again.booted(BAD)
    assert (greeting(worker), worker.current().origin) == ("A", "last_known_good")
    assert "config_rejected" in again.history


def test_a_good_source_comes_before_the_last_known_good(pod: Pod, tmp_path: Path) -> None:
    pod.booted(A)
    assert greeting(Pod(tmp_path, Scoreboard()).booted(B)) == "B"


def test_the_source_takes_over_from_the_last_known_good_even_with_the_same_content(pod: Pod, tmp_path: Path) -> None:
    pod.booted(A)
    (pod.volume / "config.json").unlink()
    again = Pod(tmp_path, Scoreboard())
    worker = again.booted()
    again.put(A)
    worker.look()
    assert (worker.current().origin, worker.current().generation) == ("source", 2)


def test_the_very_document_that_a_pod_runs_is_not_held_back_from_it(pod: Pod, tmp_path: Path) -> None:
    """It took part since it had nothing else to run; neither a restart nor a source that comes back is news."""
    document = '{"greeting": "A", "_meta": {"rollout": {"percent": 0}}}'
    pod.booted(document).look()
    again = Pod(tmp_path, Scoreboard())
    worker = again.booted()
    assert (worker.current().origin, worker.current().generation, again.history) == ("source", 1, ["config_applied"])
    (pod.volume / "config.json").unlink()
    third = Pod(tmp_path, Scoreboard())
    worker = third.booted()
    assert worker.current().origin == "last_known_good"
    third.put(document)
    worker.look()
    assert (worker.current().origin, int(third.board.pod.held)) == ("source", 0)
    worker = third.booted(slot=1)
    worker.look()
    assert "config_held" not in third.history


def test_a_pod_with_neither_source_nor_last_known_good_has_no_document(pod: Pod) -> None:
    pod.state.mkdir()
    (pod.state / "last-known-good.json").write_text("{torn")
    assert pod.booted().current().generation == 0


def test_a_state_directory_that_cannot_be_written_costs_only_the_next_boot(pod: Pod, lines: Lines) -> None:
    pod.state.write_text("a file in its place")
    assert greeting(pod.booted(A)) == "A"
    assert lines.names == ["config_applied", "config_not_saved"]

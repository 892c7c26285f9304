"""The document in force, as one worker takes it from its source: applied, rejected, recovered, lost and found."""

from __future__ import annotations

from pathlib import Path

import pytest

from hola.live_config import document as documents
from hola.live_config.source import Source
from hola.scoreboard import Scoreboard
from tests.unit.conftest import Lines
from tests.unit.pod import BAD, A, B, Pod, greeting


@pytest.fixture
def pod(tmp_path: Path, board: Scoreboard) -> Pod:
    return Pod(tmp_path, board)


def test_the_first_document_is_put_in_force_and_told_once(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(A)
    snapshot = worker.current()
    assert (snapshot.document.greeting, snapshot.generation, snapshot.origin) == ("A", 1, "source")
    assert snapshot.revision == documents.revision(A.encode())
    assert pod.adopted == [snapshot]
    worker.look()
    assert worker.current() is snapshot
    (line,) = lines.parsed
    assert (line["event"], line["revision"], line["previous"]) == ("config_applied", snapshot.revision, None)
    assert (pod.board.pod.applied, pod.board.pod.source_up, pod.history) == (1, 1, ["config_applied"])


def test_before_a_first_document_there_is_nothing_in_force(pod: Pod) -> None:
    worker = pod.worker()
    worker.boot()
    assert (worker.current().generation, worker.current().revision) == (0, "none")


def test_a_change_is_told_with_what_changed_and_by_whom(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(A)
    lines.clear()
    pod.put('{"greeting": "B", "_meta": {"author": "ana", "change": "a better greeting"}}')
    worker.look()
    (line,) = lines.parsed
    assert (line["previous"], line["generation"]) == (documents.revision(A.encode()), 2)
    assert "/greeting" in line["changed"]
    assert (line["meta"]["author"], line["meta"]["change"]) == ("ana", "a better greeting")
    assert line.items() >= {k: v for k, v in pod.board.journal()[0].items() if k != "at"}.items()


def test_a_bad_document_is_rejected_once_and_what_runs_goes_on(pod: Pod, lines: Lines) -> None:
    first, second = pod.booted(A), pod.worker(1)
    lines.clear()
    pod.put(BAD)
    for worker in (first, second, first):
        worker.look()
        assert greeting(worker) == "A"
    (line,) = lines.parsed
    assert (line["event"], line["level"], line["running"]) == ("config_rejected", "error", first.current().revision)
    assert [fault["path"] for fault in line["errors"]] == ["/greeting", "/x"]
    assert b"S3NT1NEL" not in lines.raw[0]
    assert (pod.board.pod.rejections, pod.board.pod.applied) == (1, 1)
    assert pod.board.pod.rejected == int(documents.revision(BAD.encode()), 16)


def test_content_that_is_known_to_be_bad_is_read_once_a_look_and_not_parsed_again(pod: Pod) -> None:
    class Counted(Source):
        reads = 0

        def read(self) -> bytes:
            self.reads += 1
            return super().read()

    worker = pod.booted(A)
    worker._source = source = Counted(pod.volume)
    pod.put(BAD)
    for reads in (2, 3, 4):  # twice at first: an in-place writer may be half-way
        worker.look()
        assert source.reads == reads


def test_another_bad_document_is_another_rejection(pod: Pod) -> None:
    worker = pod.booted(A)
    for bad in (BAD, "", BAD):
        pod.put(bad)
        worker.look()
    assert pod.history == ["config_applied"] + ["config_rejected"] * 3


def test_the_running_document_back_in_its_place_ends_a_rejection(pod: Pod) -> None:
    worker = pod.booted(A)
    for document in (BAD, A):
        pod.put(document)
        worker.look()
        worker.look()
    assert pod.history == ["config_applied", "config_rejected", "config_recovered"]
    assert (pod.board.pod.rejected, worker.current().generation, pod.board.pod.applied) == (0, 1, 1)


def test_a_good_new_document_ends_a_rejection_too(pod: Pod) -> None:
    worker = pod.booted(A)
    for document in (BAD, B):
        pod.put(document)
        worker.look()
    assert (greeting(worker), pod.board.pod.rejected) == ("B", 0)
    assert pod.history == ["config_applied", "config_rejected", "config_applied"]


def test_an_in_place_writer_that_is_half_way_is_looked_at_again_before_it_counts(pod: Pod) -> None:
    class HalfWritten(Source):
        """Truncated at the first read, whole at the second."""

        reads = 0

        def read(self) -> bytes:
            self.reads += 1
            return (b'{"greet', B.encode())[self.reads - 1]

        def still_has(self, data: bytes) -> bool:
            return True

    worker = pod.booted(A)
    worker._source = HalfWritten(pod.volume)
    worker.look()
    assert (greeting(worker), pod.board.pod.rejections) == ("B", 0)


def test_back_to_an_earlier_document_is_a_generation_of_its_own(pod: Pod) -> None:
    worker = pod.booted(A)
    first = worker.current()
    for document in (B, A):
        pod.put(document)
        worker.look()
    assert (worker.current().revision, worker.current().generation) == (first.revision, first.generation + 2)
    assert [snapshot.generation for snapshot in pod.adopted] == [1, 2, 3]


def test_a_lost_source_is_told_once_and_nothing_falls_back_to_defaults(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(A)
    (pod.volume / "config.json").unlink()
    worker.look()
    worker.look()
    assert (greeting(worker), pod.board.pod.source_up, pod.board.pod.errors) == ("A", 0, 1)
    pod.put(A)
    worker.look()
    worker.look()
    assert (pod.board.pod.source_up, pod.history) == (
        1,
        ["config_applied", "config_source_lost", "config_source_found"],
    )
    assert "no such file" in lines.events("config_source_lost")[0]["reason"]

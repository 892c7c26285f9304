"""The shared memory's two larger parts: the document in force, and the journal of its transitions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hola.scoreboard import DOCUMENT_BYTES, JOURNAL_ENTRIES, SLOTS, Pod, Scoreboard


class Overtaken(Scoreboard):
    """Somebody publishes between a reader's look at the generation and its look at the document."""

    meanwhile: Callable[[], object] | None = None

    def _area(self, generation: int) -> int:
        act, self.meanwhile = self.meanwhile, None
        if act:
            act()
        return super()._area(generation)


def test_documents_are_numbered_and_the_newest_is_read(board: Scoreboard) -> None:
    assert board.read_document() == (0, "", b"")
    for generation, data in enumerate((b"a", b"b" * DOCUMENT_BYTES, b""), start=1):
        assert board.publish_document(data, "source") == generation
        assert board.read_document() == (generation, "source", data)
        assert board.generation_word()[0] == generation


def test_a_publisher_that_is_killed_half_way_leaves_the_document_in_force(board: Scoreboard) -> None:
    class Killed(Exception):
        pass

    class Dying(Pod):
        """Dies where the new generation would be stored, which is the last thing to do."""

        @property
        def generation(self) -> int:
            return 1

        @generation.setter
        def generation(self, value: int) -> None:
            raise Killed

    board.publish_document(b"in force", "source")
    pod, board.pod = board.pod, Dying(board._record(SLOTS + 1))
    with pytest.raises(Killed):
        board.publish_document(b"never finished", "source")
    board.pod = pod
    assert board.read_document() == (1, "source", b"in force")


@pytest.mark.parametrize("publications", [1, 2, 3])
def test_a_reader_that_is_overtaken_reads_again(publications: int) -> None:
    board = Overtaken()
    board.publish_document(b"first", "source")
    board.meanwhile = lambda: [board.publish_document(b"n%d" % n, "last_known_good") for n in range(publications)]
    assert board.read_document() == (1 + publications, "last_known_good", b"n%d" % (publications - 1))


def test_the_journal_keeps_the_newest_twenty(board: Scoreboard) -> None:
    for number in range(JOURNAL_ENTRIES + 5):
        board.record({"event": "config_applied", "number": number})
    assert [entry["number"] for entry in board.journal()] == list(range(24, 4, -1))


@pytest.mark.parametrize("large", ["x" * 20_000, ["é" * 100] * 200, {"\ud800": "z" * 5000}, ["x" * 9000]])
def test_a_journal_entry_that_is_too_large_is_shortened_where_it_is_largest(board: Scoreboard, large: object) -> None:
    board.record({"event": "config_rejected", "errors": large, "revision": "abc"})
    board.record({"event": "config_recovered"})
    newest, entry = board.journal()
    assert newest == {"event": "config_recovered"}
    assert (entry["event"], entry["revision"], entry["truncated"]) == ("config_rejected", "abc", True)

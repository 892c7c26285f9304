"""The shared memory: words, rows, and the lock across threads and processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest

from hola.errors import LockTimeout
from hola.record import RECORD_WORDS, Record, Word
from hola.scoreboard import (
    BOOTING,
    EXIT_REASONS,
    FREE,
    LEVELS,
    MASTER,
    READY,
    SLOTS,
    Pod,
    Row,
    Scoreboard,
)


@pytest.fixture
def successor(board: Scoreboard) -> Scoreboard:
    """The scoreboard of the master after `board`'s."""
    return Scoreboard(1, board.bequeath())


@contextmanager
def _held_by_another_process(board: Scoreboard) -> Iterator[int]:
    """A forked child that holds the lock until it is killed."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        with board.lock():
            os.write(writer, b"held")
            signal.pause()
        os._exit(0)
    os.read(reader, 4)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(("record", "counted"), [(Pod, {"exits": EXIT_REASONS}), (Row, {"lines": LEVELS})])
def test_no_field_reaches_into_another(record: type[Pod | Row], counted: dict[str, tuple[str, ...]]) -> None:
    fields = [name for name, value in vars(record).items() if isinstance(value, Word)]
    for name in fields:
        written = record(memoryview(bytearray(8 * RECORD_WORDS)))
        for offset in range(len(counted.get(name, ["itself"]))):
            written.add(name, offset)
        assert [other for other in fields if getattr(written, other)] == [name]


@pytest.mark.parametrize("count", [1, RECORD_WORDS])
def test_a_record_with_too_many_words_is_refused(count: int) -> None:
    fields: dict[str, object] = {f"word_{n}": Word(count=count) for n in range(RECORD_WORDS // count)}
    type("Full", (Record,), {"size": 0, **fields})
    fields["one_more"] = Word()
    with pytest.raises(TypeError, match="49 words"):
        type("Wide", (Record,), {"size": 0, **fields})


def test_records_do_not_overlap(board: Scoreboard) -> None:
    board.rows[1].words[:] = memoryview(b"\xff" * 8 * RECORD_WORDS).cast("q")
    assert not any(board.rows[0].words)
    assert not any(board.rows[2].words)
    assert (board.pod.generation, board.read_document(), board.journal()) == (0, (0, "", b""), [])


def test_reals_and_integers_come_back_as_written(board: Scoreboard) -> None:
    row = board.rows[0]
    row.cpu_seconds, row.pid, row.resident_bytes = 1.25, 4_194_304, 1 << 40
    assert (row.cpu_seconds, row.pid, row.resident_bytes) == (1.25, 4_194_304, 1 << 40)


def test_totals_add_up_all_rows_with_the_master_and_free_slots(board: Scoreboard) -> None:
    for slot in (0, SLOTS - 1, MASTER):
        board.rows[slot].add("lines", LEVELS.index("error"), 2)
    assert board.totals("lines", LEVELS) == {**dict.fromkeys(LEVELS, 0), "error": 6}


def test_two_masters_see_what_both_counted_and_nothing_else_of_each_other(
    board: Scoreboard, successor: Scoreboard
) -> None:
    for each in (board, successor):
        each.rows[MASTER].add("lines", LEVELS.index("error"), 2)
        each.pod.add("exits", EXIT_REASONS.index("killed"))
        each.rows[5].cpu_seconds += 1.5
    board.pod.draining, board.rows[1].state = 1, READY
    for each in (board, successor):
        assert each.totals("lines", LEVELS)["error"] == 4
        assert each.pod_totals("exits", EXIT_REASONS)["killed"] == 2
        assert each.cpu_seconds()[5] == 3.0
    assert (successor.pod.draining, successor.workers) == (0, [])


def test_the_third_master_counts_on_in_the_half_of_the_first(board: Scoreboard, successor: Scoreboard) -> None:
    board.pod.draining, board.pod.applied, board.rows[1].state, board.rows[1].spans_exported = 1, 3, READY, 4
    third = Scoreboard(0, successor.bequeath())
    assert (third.pod.draining, third.workers) == (0, [])
    assert (third.pod.applied, third.rows[1].spans_exported) == (3, 4)


@pytest.mark.parametrize(
    ("change", "is_taken_on"),
    [
        (lambda bequest: bequest + "another*1 ", True),
        (lambda bequest: bequest.replace("aws_identity*1 ", ""), True),
        (lambda bequest: bequest.replace("state*1 ", ""), False),
        (lambda bequest: "0" + bequest[bequest.index("|") :], False),
        (lambda bequest: "no number|", False),
    ],
)
def test_the_records_of_another_code_are_taken_on_if_their_words_are_where_its_own_are(
    board: Scoreboard, change: Callable[[str], str], is_taken_on: bool
) -> None:
    board.pod.applied = 3
    successor = Scoreboard(1, change(board.bequeath()))
    assert successor.pod_totals("applied", ("applied",))["applied"] == (3 if is_taken_on else 0)


def test_workers_are_the_slots_in_use_without_the_master(board: Scoreboard) -> None:
    for slot, state in ((4, READY), (2, BOOTING), (3, FREE), (MASTER, READY)):
        board.rows[slot].state = state
    assert [slot for slot, _row in board.workers] == [2, 4]


def test_processes_see_the_same_memory(board: Scoreboard) -> None:
    if (child := os.fork()) == 0:
        board.rows[0].pid = os.getpid()
        board.publish_document(b"{}", "source")
        os._exit(0)
    os.waitpid(child, 0)
    assert board.rows[0].pid == child
    assert board.read_document() == (1, "source", b"{}")


def test_the_lock_excludes_another_thread(board: Scoreboard) -> None:
    found: list[type[Exception] | None] = []

    def try_it() -> None:
        try:
            with board.lock(within_seconds=0.02):
                found.append(None)
        except LockTimeout:
            found.append(LockTimeout)

    for is_held in (True, False):
        with board.lock() if is_held else nullcontext():
            thread = threading.Thread(target=try_it)
            thread.start()
            thread.join()
    assert found == [LockTimeout, None]


def test_the_lock_excludes_another_process_until_that_is_dead(board: Scoreboard) -> None:
    with _held_by_another_process(board), pytest.raises(LockTimeout), board.lock(within_seconds=0.05):
        pass
    with board.lock(within_seconds=0.05):  # a SIGKILL left nothing behind
        pass


def test_an_exception_under_the_lock_frees_it(board: Scoreboard) -> None:
    with pytest.raises(KeyError), board.lock():
        raise KeyError
    with board.lock(within_seconds=0.05):
        pass

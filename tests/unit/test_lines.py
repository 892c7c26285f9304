"""The way of a line to stdout: never torn, never waiting long, never raising, every loss counted and told."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from hola.scoreboard import LEVELS, Row, Scoreboard
from hola.telemetry.lines import MOST_BYTES, WAIT_SECONDS, LineWriter

INFO = LEVELS.index("info")
LINE = b'{"event":"%s"}\n' % (b"x" * (MOST_BYTES - 13))


class Pipe:
    """A pipe whose writer is under test and whose reader is the test's."""

    def __init__(self, row: Row) -> None:
        self.reader, self.descriptor = os.pipe()
        os.set_blocking(self.reader, False)
        self.writer = LineWriter(self.descriptor)
        self.writer.rebind(row)
        self.row = row

    def read(self) -> bytes:
        data = b""
        with suppress(BlockingIOError):
            while chunk := os.read(self.reader, 1 << 20):
                data += chunk
        return data

    def fill(self) -> None:
        """Write until a line is dropped."""
        while not self.row.lines_dropped:
            self.writer.write(LINE, INFO)


@pytest.fixture
def pipe(board: Scoreboard) -> Iterator[Pipe]:
    pipe = Pipe(board.rows[0])
    yield pipe
    for fd in (pipe.reader, pipe.descriptor, pipe.writer._fd):
        with suppress(OSError):
            os.close(fd)


def test_a_line_arrives_whole_and_is_counted_by_level(pipe: Pipe) -> None:
    pipe.writer.write(b"one\n", INFO)
    pipe.writer.write(b"two\n", LEVELS.index("error"), truncated=True)
    assert pipe.read() == b"one\ntwo\n"
    assert pipe.row.counts("lines", LEVELS) == {**dict.fromkeys(LEVELS, 0), "info": 1, "error": 1}
    assert (pipe.row.lines_dropped, pipe.row.lines_truncated) == (0, 1)


def test_a_full_pipe_costs_lines_and_they_are_counted(pipe: Pipe) -> None:
    pipe.fill()
    for _ in range(4):
        pipe.writer.write(LINE, INFO, truncated=True)
    written = pipe.read().splitlines()
    assert (pipe.row.lines_dropped, pipe.row.lines_truncated) == (5, 0)
    assert len(written) == pipe.row.counts("lines", LEVELS)["info"]
    assert all(json.loads(line) for line in written)


def test_only_the_first_line_waits_for_a_full_pipe(pipe: Pipe) -> None:
    pipe.fill()
    started = time.monotonic()
    for _ in range(100):
        pipe.writer.write(LINE, INFO)
    assert time.monotonic() - started < 20 * WAIT_SECONDS, "a hundred would have waited for 100"


def test_losses_are_told_once_reading_goes_on(pipe: Pipe) -> None:
    pipe.fill()
    pipe.writer.write(LINE, INFO)
    pipe.read()
    pipe.writer.write(b'{"event":"after"}\n', INFO)
    pipe.writer.write(b'{"event":"later"}\n', INFO)
    told, after, later = map(json.loads, pipe.read().splitlines())
    assert (told["event"], told["level"], told["dropped"]) == ("log_lines_dropped", "warning", 2)
    assert [after["event"], later["event"]] == ["after", "later"]
    assert pipe.row.lines_dropped == 2


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    os.close(pipe.reader)
    started = time.monotonic()
    for _ in range(10):
        pipe.writer.write(LINE, INFO)
    assert pipe.row.lines_dropped == 10
    assert time.monotonic() - started < 5 * WAIT_SECONDS, "ten would have waited for 10"


def test_a_full_disk_costs_lines_and_nothing_else(board: Scoreboard) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(full)
    writer.rebind(board.rows[0])
    writer.write(LINE, INFO)
    assert board.rows[0].lines_dropped == 1
    os.close(full)
    os.close(writer._fd)


def test_a_line_that_was_cut_off_does_not_spoil_the_next(pipe: Pipe) -> None:
    """Only a line above PIPE_BUF can be cut: those of the console format."""
    while not pipe.row.lines_dropped:
        pipe.writer.write(b"y" * 10_000 + b"\n", INFO)
    data = pipe.read()
    assert not data.endswith(b"\n"), "the last line should have been cut off"
    pipe.writer.write(b'{"event":"after"}\n', INFO)
    rest, told, after = pipe.read().splitlines()
    assert (rest, json.loads(told)["dropped"], json.loads(after)) == (b"", 1, {"event": "after"})


def test_others_who_share_the_descriptor_keep_it_blocking(pipe: Pipe) -> None:
    assert os.get_blocking(pipe.descriptor)
    assert not os.get_blocking(pipe.writer._fd)


def test_a_socket_is_written_to_as_well(board: Scoreboard) -> None:
    ours, theirs = socket.socketpair()
    writer = LineWriter(theirs.fileno())
    writer.write(b"line\n", INFO)
    assert ours.recv(100) == b"line\n"
    ours.close()
    theirs.close()
    os.close(writer._fd)


def test_a_socket_that_nobody_reads_holds_nobody_up(board: Scoreboard) -> None:
    ours, theirs = socket.socketpair()
    writer = LineWriter(theirs.fileno())
    writer.rebind(board.rows[0], {"service": "hola", "slot": 3})
    while not board.rows[0].lines_dropped:
        writer.write(LINE, INFO)
    started = time.monotonic()
    for _ in range(20):
        writer.write(LINE, INFO)
    assert time.monotonic() - started < 10 * WAIT_SECONDS
    ours.setblocking(False)
    data = b""
    with suppress(BlockingIOError):
        while chunk := ours.recv(1 << 20):
            data += chunk
    writer.write(b'{"event":"after"}\n', INFO)
    *_, told, after = (data + ours.recv(1 << 20)).splitlines()
    assert json.loads(told)["dropped"] == board.rows[0].lines_dropped == 21
    assert (json.loads(told)["service"], json.loads(told)["slot"], after) == ("hola", 3, b'{"event":"after"}')
    for each in (ours, theirs):
        each.close()


def test_a_pipe_that_cannot_be_opened_anew_is_asked_before_each_line(
    board: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another user owns the stream."""
    reader, descriptor = os.pipe()

    def refuse(*args: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        writer = LineWriter(descriptor)
    writer.rebind(board.rows[0])
    while not board.rows[0].lines_dropped:
        writer.write(LINE, INFO)
    lines = os.read(reader, 1 << 20).splitlines()
    assert len(lines) == board.rows[0].counts("lines", LEVELS)["info"]
    writer.write(b'{"event":"after"}\n', INFO)
    assert os.read(reader, 1 << 20).endswith(b'{"event":"after"}\n')


def test_a_closed_stdout_is_no_fault() -> None:
    writer = LineWriter(-1)
    writer.write(b"line\n", INFO)
    os.close(writer._fd)


def test_a_rebound_writer_counts_in_its_new_row_and_does_not_tell_for_others(pipe: Pipe, board: Scoreboard) -> None:
    pipe.fill()
    pipe.writer.rebind(board.rows[1])
    pipe.read()
    pipe.writer.write(b"mine\n", INFO)
    assert pipe.read() == b"mine\n"
    assert (board.rows[1].counts("lines", LEVELS)["info"], board.rows[1].lines_dropped) == (1, 0)

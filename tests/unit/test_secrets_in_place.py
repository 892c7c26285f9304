"""Secrets that are written in place: nothing half-written is ever accepted, and nothing is displaced by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hola.live_config.secrets import Secrets
from hola.live_config.source import Source
from hola.scoreboard import Scoreboard
from tests.unit.conftest import Lines
from tests.unit.volume import swap_data

OLD, NEW = b"S3NT1NEL-old", b"S3NT1NEL-new"


class Writing:
    """A token's file, and a worker's secrets; `meanwhile` happens between the two reads of one look."""

    def __init__(self, directory: Path, board: Scoreboard) -> None:
        self.file = directory / "api_token"
        self.meanwhile: Callable[[], object] = lambda: None
        self.pauses = 0
        self.secrets = Secrets(board, Source(directory), lambda: 60.0, self._pause)

    def _pause(self, seconds: float) -> None:
        self.pauses += 1
        self.meanwhile()

    def look(self, content: bytes | None, meanwhile: bytes | None = None) -> None:
        """A look that finds `content`, and a moment later `meanwhile`."""
        if content is None:
            self.file.unlink()
        else:
            self.file.write_bytes(content)
        self.meanwhile = lambda: meanwhile is not None and self.file.write_bytes(meanwhile)
        self.secrets.look()

    def accepted(self, *values: bytes) -> list[bool | None]:
        return [self.secrets.accepts("api_token", value) for value in values]


@pytest.fixture
def writing(tmp_path: Path, board: Scoreboard) -> Writing:
    return Writing(tmp_path, board)


def test_no_piece_is_accepted_and_the_old_value_keeps_its_grace(writing: Writing, lines: Lines) -> None:
    writing.look(OLD)
    for begun, written_on in [(b"", NEW[:1]), (NEW[:1], NEW[:7]), (NEW[:7], NEW)]:
        writing.look(begun, written_on)
        assert writing.accepted(OLD, begun, NEW) == [True, False, False]
    writing.look(NEW)
    assert writing.accepted(OLD, NEW[:7], NEW) == [True, False, True]
    assert lines.names == ["secret_rotated"]


def test_what_is_half_written_at_boot_lets_nobody_in(writing: Writing) -> None:
    writing.look(NEW[:1], NEW)
    assert writing.accepted(b"", NEW[:1], NEW) == [False, False, False]
    writing.look(NEW)
    assert writing.accepted(b"", NEW[:1], NEW) == [False, False, True]


def test_an_emptied_file_displaces_no_value_and_is_not_waited_for(writing: Writing, lines: Lines) -> None:
    writing.look(OLD)
    writing.pauses = 0
    writing.look(b"")
    assert writing.accepted(OLD, b"") == [True, False]
    assert (lines.names, writing.pauses) == ([], 0)


def test_a_file_that_is_removed_and_written_anew_was_never_gone(writing: Writing, lines: Lines) -> None:
    writing.look(OLD)
    writing.look(None, OLD)
    assert lines.names == []
    writing.look(None)
    assert lines.names == ["secret_removed"]


def test_a_volume_that_is_swapped_as_a_whole_is_not_waited_for(writing: Writing) -> None:
    for value in (OLD, NEW):
        swap_data(writing.file.parent, {"api_token": value})
        writing.secrets.look()
    assert writing.accepted(NEW, OLD) == [True, True]
    assert writing.pauses == 0

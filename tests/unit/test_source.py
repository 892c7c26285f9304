"""One consistent read of the mounted directory, in kubelet's and in confd's layout."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hola.errors import DocumentRejected, SourceUnreadable
from hola.live_config.document import MOST_BYTES, parse
from hola.live_config.source import ATTEMPTS, DOCUMENT, MOST_FILES, Source
from tests.support import eventually
from tests.unit.volume import rename_into, swap_data


class Pauses:
    """Stands for time.sleep between attempts: counts, and acts at one of them."""

    def __init__(self, at: int = 0, act: Callable[[], object] = lambda: None) -> None:
        self.number, self._at, self._act = 0, at, act

    def __call__(self, seconds: float) -> None:
        self.number += 1
        if self.number == self._at:
            self._act()


def test_a_plain_file_is_read_anew_after_a_rename(tmp_path: Path) -> None:
    for content in (b"{}", b'{"greeting": "b"}'):
        rename_into(tmp_path, content)
        assert Source(tmp_path).read() == content


def test_kubelets_layout_is_read_anew_after_a_swap(tmp_path: Path) -> None:
    for content in (b"{}", b'{"greeting": "b"}'):
        swap_data(tmp_path, {DOCUMENT: content})
        assert Source(tmp_path).read() == content


def test_the_data_link_counts_and_not_the_names_beside_it(tmp_path: Path) -> None:
    """Kubelet swaps `..data` first and puts the names beside it right afterwards."""
    swap_data(tmp_path, {DOCUMENT: b"through ..data"})
    (tmp_path / DOCUMENT).unlink()
    (tmp_path / DOCUMENT).write_bytes(b"beside it")
    assert Source(tmp_path).read() == b"through ..data"


def test_all_files_are_of_one_revision_though_the_volume_is_swapped_and_emptied_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubelet removes the old revision's files one by one, right after the swap."""
    swap_data(tmp_path, {"token": b"old", "user": b"old"})
    listdir = os.listdir

    def swapped_before(directory: int) -> list[str]:
        monkeypatch.setattr(os, "listdir", listdir)
        for name in listdir(directory):
            os.unlink(name, dir_fd=directory)
        swap_data(tmp_path, {"token": b"new", "user": b"new"})
        return listdir(directory)

    monkeypatch.setattr(os, "listdir", swapped_before)
    files = Source(tmp_path, lambda seconds: None).read_all()
    assert {name: file.data for name, file in files.items()} == {"token": b"new", "user": b"new"}


def test_a_file_that_is_missing_for_an_instant_is_no_fault(tmp_path: Path) -> None:
    pauses = Pauses(ATTEMPTS - 1, lambda: (tmp_path / DOCUMENT).write_bytes(b"{}"))
    assert Source(tmp_path, pauses).read() == b"{}"
    assert pauses.number == ATTEMPTS - 1


@pytest.mark.parametrize("missing", ["config.json", "directory", "target"])
def test_what_stays_missing_is_unreadable_after_a_few_attempts(tmp_path: Path, missing: str) -> None:
    if missing == "target":
        (tmp_path / "..data").symlink_to("..2026_1")
    directory, pauses = tmp_path / ("absent" if missing == "directory" else ""), Pauses()
    with pytest.raises(SourceUnreadable, match=r"config\.json: no such file or directory"):
        Source(directory, pauses).read()
    assert pauses.number == ATTEMPTS - 1


@pytest.mark.parametrize("wrong", ["a file in the directory's place", "a directory in the file's place"])
def test_what_no_second_attempt_would_mend_is_unreadable_at_once(tmp_path: Path, wrong: str) -> None:
    directory, pauses = tmp_path / "volume", Pauses()
    if wrong.startswith("a file"):
        directory.write_bytes(b"{}")
    else:
        (directory / DOCUMENT).mkdir(parents=True)
    with pytest.raises(SourceUnreadable):
        Source(directory, pauses).read()
    assert pauses.number == 0


@pytest.mark.parametrize("has_writer", [True, False])
def test_a_fifo_in_the_files_place_does_not_stop_the_reader(tmp_path: Path, has_writer: bool) -> None:
    os.mkfifo(tmp_path / DOCUMENT)
    writer = os.open(tmp_path / DOCUMENT, os.O_RDWR) if has_writer else None  # a silent one
    refused: list[str] = []

    def read() -> None:
        with pytest.raises(SourceUnreadable) as error:
            Source(tmp_path).read()
        refused.append(str(error.value))

    threading.Thread(target=read, daemon=True).start()
    assert eventually(lambda: refused, "the read returned", within_seconds=2)
    if writer is not None:
        os.close(writer)


def test_a_file_that_is_too_large_is_read_only_so_far_that_it_is_rejected(tmp_path: Path) -> None:
    with (tmp_path / DOCUMENT).open("wb") as file:
        file.truncate(100 * MOST_BYTES)
    data = Source(tmp_path).read()
    assert len(data) == MOST_BYTES + 1
    with pytest.raises(DocumentRejected, match="limit"):
        parse(data)


@pytest.mark.parametrize("layout", ["plain", "kubelet's", "none"])
def test_reading_leaves_no_descriptor_open(tmp_path: Path, layout: str) -> None:
    if layout == "plain":
        (tmp_path / DOCUMENT).write_bytes(b"{}")
    elif layout == "kubelet's":
        swap_data(tmp_path, {DOCUMENT: b"{}"})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        try:
            Source(tmp_path, Pauses()).read()
        except SourceUnreadable:
            assert layout == "none"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_all_other_files_are_read_by_name_with_their_time(tmp_path: Path) -> None:
    swap_data(tmp_path, {DOCUMENT: b"{}", "api_token": b"one", "tls.key": b"two", ".hidden": b"no"})
    files = Source(tmp_path).read_all()
    assert {name: file.data for name, file in files.items()} == {"api_token": b"one", "tls.key": b"two"}
    assert files["api_token"].written_at == (tmp_path / "..data" / "api_token").stat().st_mtime


@pytest.mark.parametrize(
    "files", [{f"f{n}": b"" for n in range(MOST_FILES + 1)}, {f"f{n}": b"x" * (MOST_BYTES // 2) for n in range(3)}]
)
def test_too_much_in_a_directory_is_unreadable(tmp_path: Path, files: dict[str, bytes]) -> None:
    swap_data(tmp_path, files)
    with pytest.raises(SourceUnreadable):
        Source(tmp_path).read_all()


@pytest.mark.parametrize(
    ("what", "is_there"), [("nothing", False), ("a file", False), ("a directory", True), ("a link to itself", True)]
)
def test_a_directory_that_cannot_be_asked_about_counts_as_there(tmp_path: Path, what: str, is_there: bool) -> None:
    directory = tmp_path / "volume"
    if what == "a file":
        directory.write_bytes(b"")
    elif what == "a directory":
        directory.mkdir()
    elif what == "a link to itself":
        directory.symlink_to(directory)
    assert Source(directory).is_there() is is_there


def test_too_much_is_not_read_to_its_end(tmp_path: Path) -> None:
    for number in range(30):
        with (tmp_path / f"f{number}").open("wb") as file:
            file.truncate(1 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(SourceUnreadable, match="more than"):
            Source(tmp_path).read_all()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()

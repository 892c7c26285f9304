"""The files of metrics: what is written is read, by prometheus-client too, and what is broken costs only itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from hola.telemetry.metric_files import FIRST_BYTES, HEADER_BYTES, BrokenFile, NoRoom, SeriesFile, entries


def names(path: Path, payload_bytes: int = 16) -> list[bytes]:
    return [name for name, _place in entries(memoryview(path.read_bytes()), payload_bytes)]


def fill(file: SeriesFile) -> None:
    for number in range(2000):
        file.place(b"series %d with a rather long name" % number)


def test_a_name_has_one_place_and_begins_with_zeros(tmp_path: Path) -> None:
    file = SeriesFile(tmp_path / "counter_0.db")
    places = [file.place(b"n" * length) for length in range(1, 20)]
    assert [file.place(b"n" * length) for length in range(1, 20)] == places
    assert all(place % 8 == 0 for place in places)
    assert {file.reals[place // 8] for place in places} == {0.0}
    assert names(tmp_path / "counter_0.db") == [b"n" * length for length in range(1, 20)]


def test_prometheus_clients_own_reader_understands_it(tmp_path: Path) -> None:
    file = SeriesFile(tmp_path / "counter_0.db")
    for number in range(1, 20):
        file.reals[file.place(b"x" * number) // 8] = number
    found = list(MmapedDict.read_all_values_from_file(str(tmp_path / "counter_0.db")))
    assert [(key, value) for key, value, _at, _place in found] == [("x" * number, number) for number in range(1, 20)]


def test_it_grows_and_keeps_what_it_has(tmp_path: Path) -> None:
    file = SeriesFile(tmp_path / "counter_0.db")
    file.reals[file.place(b"first") // 8] = 7.0
    fill(file)
    assert (tmp_path / "counter_0.db").stat().st_size > FIRST_BYTES
    assert file.reals[file.place(b"first") // 8] == 7.0
    assert len(names(tmp_path / "counter_0.db")) == 2001


def test_every_byte_of_the_file_is_there_before_it_is_touched(tmp_path: Path) -> None:
    SeriesFile(tmp_path / "counter_0.db")
    status = (tmp_path / "counter_0.db").stat()
    assert status.st_blocks * 512 >= status.st_size == FIRST_BYTES


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_file_system_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    file = SeriesFile(tmp_path / "counter_0.db")
    file.reals[file.place(b"first") // 8] = 7.0

    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(NoRoom, match=os.strerror(code).lower()):
        SeriesFile(tmp_path / "counter_1.db")
    with pytest.raises(NoRoom):
        fill(file)
    assert file.reals[file.place(b"first") // 8] == 7.0


def test_a_directory_that_is_gone_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="no such file"):
        SeriesFile(tmp_path / "absent" / "counter_0.db")


def test_the_next_process_goes_on_behind_the_last_whole_entry(tmp_path: Path) -> None:
    path = tmp_path / "counter_0.db"
    file = SeriesFile(path)
    file.reals[file.place(b"good") // 8] = 5.0
    end = file.place(b"torn") + 16
    damaged = bytearray(path.read_bytes())
    damaged[end - 32 : end - 28] = b"\xff\xff\xff\x7f"
    path.write_bytes(damaged)
    with pytest.raises(BrokenFile):
        names(path)
    after = SeriesFile(path)
    assert after.reals[after.place(b"good") // 8] == 5.0
    assert after.reals[after.place(b"new") // 8] == 0.0
    assert names(path) == [b"good", b"new"]


@pytest.mark.parametrize(
    "content", [b"", b"\x40", b"\x40\0\0\0" + b"\xff" * 60, b"\xff" * 64, b"\x18\0\0\0\0\0\0\0\x08\0\0\0" + b"x" * 12]
)
def test_what_is_no_list_of_series_is_broken(content: bytes) -> None:
    with pytest.raises(BrokenFile):
        list(entries(memoryview(content), 16))


def test_a_file_that_has_just_been_made_is_empty_and_not_broken() -> None:
    assert list(entries(memoryview(bytes(FIRST_BYTES)), 16)) == []
    assert HEADER_BYTES == 8

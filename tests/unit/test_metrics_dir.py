"""The directory of metric files: one owner, empty at start, gone at the end, and nobody else's business."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hola.errors import SettingsError
from hola.server import metrics_dir
from hola.server.metrics_dir import MetricsDir


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /dev/shm, which other services of this machine use as well."""
    monkeypatch.setattr(metrics_dir, "SHARED_MEMORY", tmp_path)
    return tmp_path


@pytest.fixture
def foreign(base: Path) -> Iterator[Path]:
    """A directory that another living process owns."""
    directory = base / "hola-1"
    with another_master(directory, is_successor=False):
        yield directory


@contextmanager
def another_master(directory: Path, is_successor: bool) -> Iterator[None]:
    """In a process of its own, for the time of a block."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            held = MetricsDir(directory, is_successor)
            os.write(writer, b"held")
            signal.pause()  # until it is killed
            del held
        finally:
            os._exit(1)
    try:
        assert select.select([reader], [], [], 10)[0]
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_it_is_made_under_shared_memory_and_removed_at_the_end(base: Path) -> None:
    directory = MetricsDir(None, is_successor=False)
    assert directory.path.parent == base
    assert directory.path.is_dir()
    directory.remove()
    assert list(base.iterdir()) == []


def test_one_that_was_given_is_emptied_of_metric_files_alone_and_stays(tmp_path: Path) -> None:
    for name in ("counter_0.db", "histogram_3.db", "notes.txt"):
        (tmp_path / name).write_text("old")
    directory = MetricsDir(tmp_path, is_successor=False)
    directory.remove()
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", ".lock"}


def test_a_successor_counts_on_in_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "counter_0.db").write_text("old")
    MetricsDir(tmp_path, is_successor=True)
    assert (tmp_path / "counter_0.db").read_text() == "old"


def test_what_a_killed_master_left_behind_is_removed(base: Path) -> None:
    (base / "hola-99").mkdir()
    (base / "hola-99" / "counter_0.db").write_text("old")
    (base / "hola-99" / ".lock").touch()
    mine = MetricsDir(None, is_successor=False)
    assert list(base.iterdir()) == [mine.path]


def test_what_a_living_master_owns_is_left_alone(base: Path, foreign: Path) -> None:
    (foreign / "counter_0.db").write_text("theirs")
    MetricsDir(None, is_successor=False)
    assert (foreign / "counter_0.db").read_text() == "theirs"


def test_a_successors_directory_is_nobodys_orphan_once_the_first_master_is_gone(base: Path) -> None:
    """Between USR2 and the end: another service that starts on the host just now must not clear it away."""
    directory = base / "hola-1"
    with ExitStack() as second:
        with another_master(directory, is_successor=False):
            second.enter_context(another_master(directory, is_successor=True))
            (directory / "counter_0.db").write_text("ours")
        mine = MetricsDir(None, is_successor=False)
        assert (directory / "counter_0.db").read_text() == "ours"
    mine.remove()
    MetricsDir(None, is_successor=False)
    assert not directory.exists()


def test_one_that_a_living_service_owns_is_refused(foreign: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        MetricsDir(foreign, is_successor=False)
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [("PROMETHEUS_MULTIPROC_DIR", "in_use")]


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as caught:
        MetricsDir(tmp_path / "file" / "inside", is_successor=False)
    assert [fault.code for fault in caught.value.faults] == ["unwritable"]

"""The directory of metric files: one owner, empty at start, gone at the end, and nobody else's business."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
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
    directory, (reader, writer) = base / "hola-1", os.pipe()
    directory.mkdir()
    if (child := os.fork()) == 0:
        metrics_dir._lock(directory)
        os.write(writer, b"held")
        signal.pause()  # until it is killed
        os._exit(0)
    os.read(reader, 4)
    yield directory
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


def test_one_that_a_living_service_owns_is_refused(foreign: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        MetricsDir(foreign, is_successor=False)
    assert [(fault.path, fault.code) for fault in caught.value.faults] == [("PROMETHEUS_MULTIPROC_DIR", "in_use")]


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as caught:
        MetricsDir(tmp_path / "file" / "inside", is_successor=False)
    assert [fault.code for fault in caught.value.faults] == ["unwritable"]

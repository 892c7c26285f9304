"""The mounted volume as kubelet and confd change it, and documents that say which one they are."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import support
from tests.support import Service

DOCUMENT = "config.json"
Change = Callable[[str], float]


def numbered(number: int, **keys: Any) -> str:
    """A document that says which one it is: in its greeting, and in the event of its taking effect."""
    return json.dumps({"greeting": f"number {number}", "_meta": {"change": str(number)}} | keys)


def rename_into(directory: Path, data: bytes, name: str = DOCUMENT) -> float:
    """Change one file as confd does, by a staged file in the same directory; return when (time.time)."""
    staged = directory / f".{name}{time.monotonic_ns()}"
    staged.write_bytes(data)
    renamed_at = time.time()
    staged.replace(directory / name)
    return renamed_at


class Volume:
    """A directory that is changed as a whole, as kubelet's AtomicWriter does: by the link `..data`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.number = 0

    def swap(self, files: Mapping[str, str], written_at: float | None = None) -> float:
        """Put `files` in the place of all that were there; return when the link was swapped (time.time)."""
        self.number += 1
        new = self.directory / f"..2026_{self.number}"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
            if written_at is not None:
                os.utime(new / name, (written_at, written_at))
        staged = self.directory / "..data_tmp"
        staged.symlink_to(new.name)
        swapped_at = time.time()
        staged.rename(self.directory / "..data")
        self._tidy(files)
        return swapped_at

    def _tidy(self, files: Mapping[str, str]) -> None:
        for name in files:
            if not (self.directory / name).is_symlink():
                (self.directory / name).unlink(missing_ok=True)
                (self.directory / name).symlink_to(f"..data/{name}")
        for file in (old := self.directory / f"..2026_{self.number - 1}").glob("*"):
            file.unlink()
        if old.exists():
            old.rmdir()


def way_of(style: str, directory: Path) -> Change:
    """How the document in `directory` is changed: `confd` renames the file, `kubelet` swaps the volume."""
    if style == "confd":
        return lambda document: rename_into(directory, document.encode())
    volume = Volume(directory)
    return lambda document: volume.swap({DOCUMENT: document})


def all_run(service: Service, number: int) -> bool:
    """True if all four workers run the document of this number."""
    about, workers = service.get("/").json(), service.workers()
    is_it = about["greeting"] == f"number {number}"
    return is_it and [worker["revision"] for worker in workers] == [about["revision"]] * 4


def pids(service: Service) -> set[int]:
    return {worker["pid"] for worker in service.workers()}


def told(service: Service, *events: str) -> int:
    """How many lines of these events there are so far."""
    marks = [f'"event":"{event}"'.encode() for event in events]
    return sum(any(mark in line for mark in marks) for line in list(service.raw))


def start_through(patch: pytest.MonkeyPatch, directory: Path, *command: str) -> None:
    """Let services start through `command`, which must exec what is appended to it."""
    entry = directory / "entrypoint.sh"
    entry.write_text(f'#!/bin/sh\nexec {shlex.join([*command, str(support.ROOT / "entrypoint.sh")])} "$@"\n')
    entry.chmod(0o755)
    patch.setattr(support, "ROOT", directory)

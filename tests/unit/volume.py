"""Ways in which a mounted directory changes, as kubelet and confd do it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

_numbers = itertools.count(1)


def rename_into(directory: Path, content: bytes | str, name: str = "config.json") -> None:
    """As confd does: write a file beside it, then rename that onto it."""
    staged = directory / f".{name}{next(_numbers)}"
    staged.write_bytes(content.encode() if isinstance(content, str) else content)
    staged.rename(directory / name)


def swap_data(volume: Path, files: Mapping[str, bytes]) -> None:
    """As kubelet's AtomicWriter does: a new directory, then the link `..data` renamed onto it, then the names."""
    revision = volume / f"..2026_{next(_numbers)}"
    revision.mkdir()
    for name, content in files.items():
        (revision / name).write_bytes(content)
    (volume / "..data_tmp").symlink_to(revision.name)
    (volume / "..data_tmp").rename(volume / "..data")
    for name in files:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")

"""One consistent read of a mounted directory.

Two layouts: kubelet's, where the files live behind the link `..data` that is swapped as a whole, and
the plain one of confd, which renames each file into place. The directory is opened once and all
files are read relative to that descriptor, so that a swap in the middle cannot mix two revisions.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hola.errors import SourceUnreadable

DOCUMENT = "config.json"
DATA = "..data"  # kubelet's link to the revision in force
MOST_BYTES = 1 << 20  # of all files together; one more is read, so that the document's own limit can tell
MOST_FILES = 50
PIECE_BYTES = 64 * 1024
ATTEMPTS = 5
PAUSE_SECONDS = 0.02
Content = TypeVar("Content")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")  # what kubelet allows, without hidden and staged files
_TRANSIENT = frozenset({errno.ENOENT, errno.EACCES, errno.ESTALE, errno.EINTR, errno.EIO})


@dataclass(frozen=True, slots=True)
class File:
    """One file's content and the time it was written (seconds since the epoch)."""

    data: bytes
    written_at: float


class Source:
    """A mounted directory. Thread-safe; holds nothing open between reads."""

    def __init__(self, directory: Path, pause: Callable[[float], None] = time.sleep) -> None:
        self.directory = directory
        self._pause = pause

    def is_there(self) -> bool:
        """False if nothing is mounted. What cannot be asked about is there, and may hold something."""
        try:
            return stat.S_ISDIR(self.directory.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    @property
    def is_swapped(self) -> bool:
        """True in kubelet's layout, where nothing is ever half-written."""
        return (self.directory / DATA).is_symlink()

    def read(self) -> bytes:
        """The document's bytes, at most one more than the limit.

        Raises:
            SourceUnreadable: missing or refused for ~100 ms, as during a swap or when it is gone.
        """
        return self._patiently(DOCUMENT, _read_document)

    def still_has(self, data: bytes) -> bool:
        """True if the document's bytes are these at this moment; one try, for use under a lock."""
        try:
            directory = self._open_directory()
            try:
                return _read_document(directory) == data
            finally:
                os.close(directory)
        except OSError:
            return False

    def read_all(self) -> dict[str, File]:
        """All files of one revision but the document, by name; at most 50, at most 1 MiB together.

        Raises:
            SourceUnreadable: as for `read`, or there is too much.
        """
        return self._patiently("", self._read_revision)

    def _patiently(self, name: str, read: Callable[[int], Content]) -> Content:
        for attempt in range(ATTEMPTS):
            try:
                directory = self._open_directory()
                try:
                    return read(directory)
                finally:
                    os.close(directory)
            except OSError as error:
                if error.errno not in _TRANSIENT or attempt == ATTEMPTS - 1:
                    reason = os.strerror(error.errno or 0).lower()
                    raise SourceUnreadable(f"{self.directory / (name or _name_in(error))}: {reason}") from None
            self._pause(PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def _read_revision(self, directory: int) -> dict[str, File]:
        """The files of `directory`, which must not have been swapped meanwhile: the old one is emptied after that."""
        files = _read_files(directory)
        again = self._open_directory()
        try:
            if not os.path.samestat(os.fstat(directory), os.fstat(again)):
                raise OSError(errno.ESTALE, "swapped while it was read")
        finally:
            os.close(again)
        return files

    def _open_directory(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            return os.open(self.directory / DATA, flags)
        except FileNotFoundError:
            return os.open(self.directory, flags)


def _name_in(error: OSError) -> str | Path:
    """The file or directory that an error names; some name a descriptor."""
    return error.filename if isinstance(error.filename, str | Path) else ""


def _read_document(directory: int) -> bytes:
    if (file := _read_file(directory, DOCUMENT)) is None:
        raise OSError(errno.EINVAL, "not a regular file")
    return file.data


def _read_files(directory: int) -> dict[str, File]:
    names = [name for name in os.listdir(directory) if _NAME.fullmatch(name) and name != DOCUMENT]
    if len(names) > MOST_FILES:
        raise SourceUnreadable(f"{len(names)} files, the limit is {MOST_FILES}")
    files, total = {}, 0
    for name in sorted(names):
        if (file := _read_file(directory, name)) is not None:
            files[name] = file
            total += len(file.data)
        if total > MOST_BYTES:
            raise SourceUnreadable(f"more than {MOST_BYTES} bytes")
    return files


def _read_file(directory: int, name: str) -> File | None:
    """One file, or None for what is no regular file: Docker, for one, puts a directory where a source is missing."""
    # O_NONBLOCK: a FIFO put in the file's place must not stop the reader
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        return File(_read_to_end(fd, status.st_size), status.st_mtime)
    finally:
        os.close(fd)


def _read_to_end(fd: int, expected_bytes: int) -> bytes:
    """At most one byte more than the limit; without a buffer of a megabyte for what is mostly a kilobyte."""
    data = os.read(fd, min(expected_bytes, MOST_BYTES) + 1)
    while len(data) <= MOST_BYTES and (more := os.read(fd, min(MOST_BYTES + 1 - len(data), PIECE_BYTES))):
        data += more
    return data

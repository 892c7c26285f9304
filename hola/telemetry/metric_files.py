"""The files of metrics: named runs of bytes, one file a kind and worker slot, mapped into memory.

The layout is prometheus-client's (mmap_dict.py), so that its own tools read them. What differs is how
room is made: `posix_fallocate` before the mapping, which says "no space" where truncate promises pages
that a full tmpfs cannot give, and the process dies of SIGBUS at its first touch. Readers trust nothing.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

FIRST_BYTES = 1 << 16  # about 300 series
MOST_BYTES = 1 << 24  # of one file; labels are of closed sets, so that nothing comes near it
HEADER_BYTES = 8
VALUE_BYTES = 16  # a double, and prometheus-client's timestamp
_LENGTH = struct.Struct("i")


class NoRoom(Exception):
    """The file system has no place for another series."""


class BrokenFile(Exception):
    """What is in the file is no list of series."""


class SeriesFile:
    """A file to write to. Not thread-safe; one process at a time, its slot's.

    Args:
        payload_bytes: what follows each name, a multiple of 8.

    Raises:
        NoRoom: no file, or none of the first size.
    """

    def __init__(self, path: Path, payload_bytes: int = VALUE_BYTES) -> None:
        self._path = path
        self._payload_bytes = payload_bytes
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NoRoom(_reason(error)) from None
        try:
            self._map(max(FIRST_BYTES, os.fstat(self._fd).st_size))
        except NoRoom:
            os.close(self._fd)
            raise
        self._adopt()

    def place(self, name: bytes) -> int:
        """Where the payload of `name` begins, in bytes; a new one is all zeros.

        Raises:
            NoRoom: what is there already stays usable.
        """
        if (known := self._places.get(name)) is not None:
            return known
        head = _LENGTH.pack(len(name)) + name
        head = head.ljust(len(head) + 8 - len(head) % 8)
        end = self._used + len(head) + self._payload_bytes
        if end > len(self.memory):
            self._grow(end)
        self.memory[self._used : end] = head + bytes(self._payload_bytes)
        self._places[name] = end - self._payload_bytes
        self._set_used(end)  # last, so that nobody reads half an entry
        return self._places[name]

    def _grow(self, needed: int) -> None:
        size = len(self.memory)
        while size < needed:
            size *= 2
        if size > MOST_BYTES:
            raise NoRoom(f"{self._path.name} would pass {MOST_BYTES} bytes")
        self._map(size)

    def _map(self, size: int) -> None:
        try:
            os.posix_fallocate(self._fd, 0, size)
            self.memory = mmap.mmap(self._fd, size)
        except OSError as error:
            raise NoRoom(_reason(error)) from None
        self.reals = memoryview(self.memory).cast("d")

    def _adopt(self) -> None:
        """Go on where the slot's last worker ended, with whatever of its file makes sense."""
        self._places: dict[bytes, int] = {}
        self._used = HEADER_BYTES
        try:
            for name, place in entries(memoryview(self.memory), self._payload_bytes):
                self._places[name] = place
                self._used = place + self._payload_bytes
        except BrokenFile:
            pass  # the readers count it; what comes next is written behind the last whole entry
        self._set_used(self._used)

    def _set_used(self, used: int) -> None:
        self._used = used
        self.memory[0 : _LENGTH.size] = _LENGTH.pack(used)


def entries(data: memoryview, payload_bytes: int, start: int = HEADER_BYTES) -> Iterator[tuple[bytes, int]]:
    """(name, where its payload begins) of each entry from the byte `start` on.

    Raises:
        BrokenFile: at the first entry that cannot be one; those before it are good.
    """
    if len(data) < HEADER_BYTES:
        raise BrokenFile("no header")
    used, position = _LENGTH.unpack_from(data, 0)[0], start
    if used < 0 or used > len(data):
        raise BrokenFile(f"{used} bytes in use of {len(data)}")
    while position < used:
        length = _LENGTH.unpack_from(data, position)[0]
        head = _LENGTH.size + length
        place = position + head + 8 - head % 8
        if length <= 0 or place + payload_bytes > used:
            raise BrokenFile(f"an entry of {length} bytes at {position}")
        yield bytes(data[position + _LENGTH.size : position + head]), place
        position = place + payload_bytes


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO).lower()

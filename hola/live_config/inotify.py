"""File events of directories, by the kernel's inotify. https://man7.org/linux/man-pages/man7/inotify.7.html

Forty lines through ctypes rather than a library: those measured either batch events for 100 ms, or
go blind after the first swap, or start several threads a process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

# linux/inotify.h
_ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _ONLYDIR, _IGNORED = 0x400, 0x800, 0x1000000, 0x8000
_MASK = _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_HEADER = 16


class Inotify:
    """Watches those of `directories` that exist; `missing` are the others. Not to be shared over a fork.

    Raises:
        OSError: no instance is left for this user, or none of the directories can be watched.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        watched = [libc.inotify_add_watch(self.fd, os.fsencode(path), _MASK) >= 0 for path in directories]
        self.missing = [path for path, is_watched in zip(directories, watched, strict=True) if not is_watched]
        if not any(watched):
            error = ctypes.get_errno()
            self.close()
            raise OSError(error, "inotify_add_watch")

    def drain(self) -> bool:
        """Read what is pending (an overflow counts as an event); False when a watched directory itself went."""
        is_whole = True
        try:
            while data := os.read(self.fd, 65536):
                is_whole = is_whole and not _tells_of_an_end(data)
        except BlockingIOError:
            return is_whole
        return False

    def close(self) -> None:
        os.close(self.fd)


def _tells_of_an_end(data: bytes) -> bool:
    position = 0
    while position < len(data):
        mask = int.from_bytes(data[position + 4 : position + 8], "little")
        if mask & (_IGNORED | _DELETE_SELF | _MOVE_SELF):
            return True
        position += _HEADER + int.from_bytes(data[position + 12 : position + 16], "little")
    return False

"""The way of a line to stdout: one write(2), never torn, never waiting long, never raising.

A reader that stalls (a paused `docker logs`, a full disk) must not stop the service, and a reader
that is gone must cost nobody a request. So the stream is opened anew: that gives a description of
our own, on which O_NONBLOCK does not leak to others who share the descriptor, and on which a write
of at most PIPE_BUF bytes is all or nothing (https://man7.org/linux/man-pages/man7/pipe.7.html).
A socket has no such second description, but a flag for each send; anything else is asked before each write.
What cannot be delivered is dropped and counted, and told once reading goes on.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson

from hola.scoreboard import Row

MOST_BYTES = 4096  # Linux' PIPE_BUF
WAIT_SECONDS = 0.05  # for the first line that finds the pipe full; those behind it do not wait
PIPE_BYTES = 1 << 20  # absorbs bursts; what an unprivileged process may ask for (fs.pipe-max-size)


_LINES, _DROPPED, _TRUNCATED = Row.lines.index, Row.lines_dropped.index, Row.lines_truncated.index


class LineWriter:
    """Writes whole lines to a descriptor. Thread-safe; a forked child calls `rebind` first."""

    def __init__(self, descriptor: int = 1) -> None:
        self._fd = _open_anew(descriptor)
        is_socket = stat.S_ISSOCK(os.fstat(self._fd).st_mode)
        self._must_ask = os.get_blocking(self._fd) and not is_socket
        self._put = _sender(self._fd) if is_socket else partial(os.write, self._fd)
        self._lock = threading.Lock()
        self._words: memoryview | None = None
        self._base: Mapping[str, Any] = {}
        self._untold = 0
        self._torn = False

    def rebind(self, row: Row | None, base: Mapping[str, Any] | None = None) -> None:
        """Count in `row` from now on, with a lock that no other process's thread can hold.

        `base`: what stands on every line, for those that tell of losses.
        """
        self._words = row.words if row is not None else None
        self._base = base or {}
        self._lock = threading.Lock()
        self._untold = 0

    def write(self, line: bytes, level: int, truncated: bool = False) -> None:
        """Write `line`, which ends in a newline, or drop and count it. Never raises."""
        with self._lock:
            if self._untold and self._deliver(self._told()):
                self._untold = 0
            delivered = not self._untold and self._deliver(line)
            if not delivered:
                self._untold += 1
            if (words := self._words) is None:
                return
            if delivered:
                words[_LINES + level] += 1
                words[_TRUNCATED] += truncated
            else:
                words[_DROPPED] += 1

    def tell_losses(self) -> None:
        """Tell what was dropped, if somebody reads again. Called about once a second, and at the end of a process."""
        if self._untold:
            with self._lock:
                if self._untold and self._deliver(self._told()):
                    self._untold = 0

    def _told(self) -> bytes:
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        said = {"timestamp": now, "level": "warning", "event": "log_lines_dropped", **self._base}
        return orjson.dumps(said | {"logger": "hola", "dropped": self._untold}) + b"\n"

    def _deliver(self, line: bytes) -> bool:
        rest = b"\n" + line if self._torn else line
        deadline = 0.0 if self._untold else time.monotonic() + WAIT_SECONDS
        whole = len(rest)
        while rest:
            if self._must_ask and not self._wait(deadline):
                break
            try:
                rest = rest[self._put(rest) :]
            except BlockingIOError:
                if time.monotonic() >= deadline or not self._wait(deadline):
                    break
            except OSError:  # the reader is gone, the disk is full: nobody to tell
                break
        self._torn = (len(rest) < whole and bool(rest)) or (self._torn and len(rest) == whole)
        return not rest

    def _wait(self, deadline: float) -> bool:
        """True if a line may be written now; a pipe says so when it has room for PIPE_BUF bytes."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(max(deadline - time.monotonic(), 0.0) * 1000))


def _sender(descriptor: int) -> Callable[[bytes], int]:
    """Send to a socket without waiting, whatever mode it is in, and without SIGPIPE."""
    stream = socket.socket(fileno=os.dup(descriptor))
    return lambda data: stream.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _open_anew(descriptor: int) -> int:
    """A description of our own of the same stream; where none can be had (a socket), a duplicate."""
    try:
        fd = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY)
    except OSError:
        with suppress(OSError):
            return os.dup(descriptor)
        return os.open(os.devnull, os.O_WRONLY)  # started with stdout closed
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return fd

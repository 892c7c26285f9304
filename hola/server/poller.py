"""epoll for a worker's main loop: what stays registered, and connections that are armed for one event at a time.

A thread arms the connection that it has just served by one system call and no word to the main loop. gthread's
selector takes a connection out and in again for each request, and only the main loop may do that, so each
answer costs it a wake-up. https://man7.org/linux/man-pages/man7/epoll.7.html
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hola.server import failure

_ONCE = select.EPOLLIN | select.EPOLLONESHOT

Callback = Callable[[], object]


class Poller:
    """`arm` from any thread, everything else from the main loop alone."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}

    def register(self, file: Any, _events: int, callback: Callable[[Any], object]) -> None:
        """Call `callback(file)` whenever `file` can be read, until it is unregistered. gthread's way to ask for it."""
        descriptor = _descriptor(file)
        self._callbacks[descriptor] = partial(callback, file)
        self._epoll.register(descriptor, select.EPOLLIN)

    def unregister(self, file: Any) -> None:
        descriptor = _descriptor(file)
        del self._callbacks[descriptor]
        self._epoll.unregister(descriptor)

    def arm(self, descriptor: int, callback: Callback) -> None:
        """Call `callback` when there is something to read, once.

        Raises:
            OSError: the descriptor is closed.
        """
        if self._callbacks.get(descriptor) is callback:
            self._epoll.modify(descriptor, _ONCE)
        else:
            self._callbacks[descriptor] = callback
            self._epoll.register(descriptor, _ONCE)

    def forget(self, descriptor: int, callback: Callback) -> None:
        """Arm it no more, unless its number belongs to somebody else by now. The kernel forgets what is closed."""
        if self._callbacks.get(descriptor) is callback:
            del self._callbacks[descriptor]
            with suppress(OSError):
                self._epoll.unregister(descriptor)

    def dispatch(self, within_seconds: float) -> None:
        """Wait for events, for at most so long, and call back. One that fails is told, and the others are called."""
        for descriptor, _event in self._epoll.poll(within_seconds):
            if callback := self._callbacks.get(descriptor):
                try:
                    callback()
                except Exception:  # noqa: BLE001 - it would end the worker and every request in flight
                    failure.tell()

    def close(self) -> None:
        self._epoll.close()


def _descriptor(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())

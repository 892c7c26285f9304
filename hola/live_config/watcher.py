"""Notices a change: the poll is the guarantee, file events are the accelerator.

A thread of each worker, started after the fork (a watch inherited from the master would be split
among the workers). It watches the mounted *directories*, the only thing that survives both kubelet's
and confd's way of updating, and takes any event as "look now": content decides, not events.
"""

from __future__ import annotations

import math
import os
import random
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hola.live_config.inotify import Inotify
from hola.telemetry.logs import get_logger

QUIET_SECONDS = 0.005  # after a look for an event; what happens meanwhile is looked at right after it
SETTLE_SECONDS = 1.0
JITTER = 0.1

_log = get_logger("hola.config")


class Watcher:
    """Calls all `looks` at least every `poll_seconds` (±10 %), and at once when a directory changes.

    Calls all `settles`, of what time alone changes, after the looks, and about once a second in between.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        poll_seconds: float,
        use_events: bool,
        looks: Sequence[Callable[[], None]],
        settles: Sequence[Callable[[], None]],
    ) -> None:
        self._directories = directories
        self._poll_seconds = poll_seconds
        self._use_events = use_events
        self._looks = looks
        self._settles = settles
        self._events: Inotify | None = None
        self._is_told = self._is_closed = False
        self._is_busy = True  # the last look was for more than the time that passed
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="config-watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def nudge(self) -> None:
        """Look now. Safe in a signal handler."""
        with suppress(BlockingIOError):  # then so many nudges are pending already
            os.write(self._writer, b"n")

    def close(self) -> None:
        """End the thread; returns when it has ended, at most a second later."""
        self._is_closed = True
        self.nudge()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._is_over():
            self._try_all(self._looks)
            self._try_all(self._settles)
            if self._is_busy:
                time.sleep(QUIET_SECONDS)

    def _is_over(self) -> bool:
        """Wait for a reason to look; True when it is time to end."""
        self._is_busy = True
        try:
            return not self._watch() and self._wait()
        except Exception:  # noqa: BLE001 - whatever the file system answers, the looks by the clock go on
            _log.exception("config_watch_failed")
            time.sleep(min(self._poll_seconds, 1.0))  # what failed at once may fail again at once
            return False

    def _try_all(self, steps: Sequence[Callable[[], None]]) -> None:
        for step in steps:
            try:
                step()
            except Exception:  # noqa: BLE001 - the watcher must outlive whatever one step meets
                _log.exception("config_watch_failed")

    def _wait(self) -> bool:
        """Wait for an event, a nudge or the next look's time, and settle meanwhile; True when it is time to end."""
        seconds = self._poll_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
        steps = math.ceil(self._poll_seconds / SETTLE_SECONDS)
        for step in range(steps):
            if step:
                self._try_all(self._settles)
            if self._wait_once(seconds / steps):
                break
        else:
            self._is_busy = False
        return self._is_closed

    def _wait_once(self, seconds: float) -> bool:
        """True if an event or a nudge came in this time."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if self._events:
            poll.register(self._events.fd, select.POLLIN)
        ready = [descriptor for descriptor, _event in poll.poll(seconds * 1000)]
        if self._events and self._events.fd in ready and not self._events.drain():
            self._unwatch()  # a directory itself was replaced: watch the new one
        if self._reader in ready:
            os.read(self._reader, 65536)
        return bool(ready)

    def _watch(self) -> bool:
        """Watch whatever is there; True if the watch is new, so that what came before it may be unseen."""
        if not self._use_events:
            return False
        before = self._events
        if before and not any(os.path.isdir(path) for path in before.missing):  # noqa: PTH112 - says no where Path raises
            return False
        try:
            events = Inotify(self._directories)
        except OSError as error:  # none left on this node, a file system without events, no directory yet
            if not self._is_told:
                _log.warning("config_watch_degraded", reason=os.strerror(error.errno or 0).lower(), mode="poll")
            self._is_told = True
            return False
        if before and len(events.missing) >= len(before.missing):  # it is there, and cannot be watched all the same
            events.close()
            return False
        self._unwatch()
        self._events = events
        self._is_told = False
        return True

    def _unwatch(self) -> None:
        if self._events:
            self._events.close()
        self._events = None

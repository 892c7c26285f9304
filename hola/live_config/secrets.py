"""Secrets from a mounted directory, one file each: re-read, rotated with a grace period, never shown.

They are not part of any revision, of the last known good or of the journal; what is compared
between processes is a keyed hash whose key dies with the pod.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import zlib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import NoReturn

from hola.errors import SourceUnreadable
from hola.live_config.source import File, Source
from hola.scoreboard import Scoreboard
from hola.telemetry.logs import get_logger

HALF_WRITTEN_SECONDS = 0.05  # an in-place writer may be in the middle of it
UNTOLD_SECONDS = 60.0  # a failure that comes so soon after another is the same trouble, and told already

_log = get_logger("hola.secrets")


class Secret:
    """A value that no repr, str, format, log line or JSON encoder shows. `matches` in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def matches(self, candidate: bytes) -> bool:
        """True if `candidate` is the value; an empty secret matches nothing."""
        return bool(self._value) and hmac.compare_digest(self._value, candidate)

    def reveal(self) -> bytes:
        """The value itself, for the call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be pickled")


@dataclass(frozen=True, slots=True)
class Held:
    """A secret in force, the one before it, and when that one ends (monotonic seconds)."""

    current: Secret
    written_at: float
    previous: Secret | None = None
    previous_until: float = 0.0


class Secrets:
    """This worker's secrets. Thread-safe: readers see one whole dictionary or the next.

    A directory that never was there is no secret at all; one that is there and could never be read may hold any, so
    nothing is accepted for any. A file that vanishes opens nothing: the workers that read it keep its value until they
    end, and one that is born later accepts no value for it.
    A worker born during a grace period knows only the new value.

    Args:
        grace_seconds: how long a rotated value stays valid, asked at each rotation.
    """

    def __init__(
        self,
        board: Scoreboard,
        source: Source,
        grace_seconds: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._board = board
        self._source = source
        self._grace_seconds = grace_seconds
        self._pause = pause
        self._held: dict[str, Held] = {}
        self._gone: Set[str] = frozenset()  # held, and not in the directory any more
        self._was_read = self._is_closed = False

    def look(self) -> None:
        """Read the directory and take on what changed. Called by the watcher."""
        if not self._source.is_there():
            return  # no volume: nothing to be patient for, and the document's next look waits behind this one
        try:
            before = files = self._source.read_all()
            if self._is_news(self._values(files, files)) and not self._source.is_swapped:
                self._pause(HALF_WRITTEN_SECONDS)
                files = self._source.read_all()
        except SourceUnreadable as error:
            self._is_closed = not self._was_read
            self._tell_unreadable(error)
            return
        if self._is_news(values := self._values(before, files)):
            self._take_on(values, files)
        self._was_read, self._is_closed = True, False

    def _values(self, before: Mapping[str, File], files: Mapping[str, File]) -> dict[str, bytes]:
        """What `files` ask for, by name; a value that differs from the read before is not whole, and none yet."""
        return {name: self._value(name, before.get(name), file) for name, file in files.items()}

    def _value(self, name: str, before: File | None, file: File) -> bytes:
        value = _text(file) if before and before.data == file.data else b""
        held = self._held.get(name)
        return value if value or held is None else held.current.reveal()  # nothing is no value to displace one

    def _is_news(self, values: Mapping[str, bytes]) -> bool:
        """True if something is not held as it is here, or went, or came back."""
        held = self._held
        return held.keys() - values.keys() != self._gone or any(
            name not in held or held[name].current.reveal() != value for name, value in values.items()
        )

    def _take_on(self, values: Mapping[str, bytes], files: Mapping[str, File]) -> None:
        before, was_gone = self._held, self._gone
        until = time.monotonic() + self._grace_seconds()
        self._held = before | {
            name: _next(before.get(name), Secret(value), files[name].written_at, until)
            for name, value in values.items()
        }
        self._gone = before.keys() - values.keys()
        self._tell(before, {name: _text(file) for name, file in files.items()}, self._gone - was_gone)

    def accepts(self, name: str, candidate: bytes) -> bool | None:
        """True if `candidate` is this secret, or was until a moment ago; None if there is no such secret."""
        held = self._held.get(name)
        if held is None:  # a worker that cannot read what the pod once had lets nobody in
            return False if self._is_closed or self._board.pod.secrets_known & _bit(name) else None
        is_previous = held.previous is not None and held.previous.matches(candidate)
        return held.current.matches(candidate) or (is_previous and time.monotonic() < held.previous_until)

    def ages(self) -> dict[str, float]:
        """Seconds since each secret's file was written, by name."""
        now = time.time()
        return {name: max(now - held.written_at, 0.0) for name, held in self._held.items()}

    def _tell_unreadable(self, error: SourceUnreadable) -> None:
        """Once a pod and trouble: by the first of its workers that could not read, after a while in which all could."""
        now = time.monotonic()
        with self._board.lock() as board:
            is_told = bool(board.pod.secrets_failed_at) and now - board.pod.secrets_failed_at < UNTOLD_SECONDS
            board.pod.secrets_failed_at = now
        if not is_told:
            path, _, reason = str(error).rpartition(": ")
            _log.error("config_watch_failed", path=path or str(self._source.directory), reason=reason)

    def _tell(self, before: Mapping[str, Held], values: Mapping[str, bytes], removed: Set[str]) -> None:
        """Log once a pod what became of the secrets: by whoever is first to put the directory's hash on the board.

        That must be one that held each secret before which the pod ever had: no other knows what is new.
        """
        state = self._fingerprint(values)
        with self._board.lock() as board:
            was, known = board.pod.secrets_hash, board.pod.secrets_known
            if may_tell := all(name in before or not known & _bit(name) for name in values):
                board.pod.secrets_hash = state
            for name in values:
                board.pod.secrets_known |= _bit(name)
        if not may_tell or was in (0, state):
            return  # at the first sight of all there is no secret before
        for name in values:
            held, old = self._held[name], before.get(name)
            if held is not old:
                age = round(held.written_at - old.written_at, 3) if old else None
                _log.info("secret_rotated", name=name, previous_age_seconds=age)
        for name in sorted(removed):  # it stays in force, since a file that is missing must open nothing
            _log.warning("secret_removed", name=name)

    def _fingerprint(self, values: Mapping[str, bytes]) -> int:
        """A keyed hash of what the directory holds: the same for all workers, whatever each holds beside it."""
        digest = hmac.new(self._board.boot_key, digestmod=hashlib.sha256)
        for name, value in sorted(values.items()):
            digest.update(f"{name}\0{len(value)}\0".encode() + value)
        return int.from_bytes(digest.digest()[:7]) or 1


def _text(file: File) -> bytes:
    return file.data.rstrip(b"\r\n")


def _bit(name: str) -> int:
    """One of 62 bits; two names that share one only make the pod stricter."""
    return 1 << zlib.crc32(name.encode()) % 62


def _next(old: Held | None, value: Secret, written_at: float, until: float) -> Held:
    if old is None:
        return Held(value, written_at)
    if old.current.reveal() == value.reveal():
        return old
    return Held(value, written_at, old.current, until)

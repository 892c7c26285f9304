"""The shared memory that master and workers all see, made before the first fork.

Owns whatever must be true of the *pod* while several processes serve it: who lives in which
worker slot, draining, the live document in force and the journal of its transitions. Apache
httpd has one for the same reason. Nothing needs cleaning up after a SIGKILL: the memory is
anonymous and its lock is the kernel's, which frees it when its holder dies. At USR2 each of the two
masters has a scoreboard of its own; only what was counted is seen by both, so that no counter falls.

Every field is one aligned 8-byte word with one writer at a time, so readers need no lock and
never see half a value. What has several writers is written under `lock()`.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from hola.errors import LockTimeout
from hola.record import RECORD_WORDS, WORD_BYTES, Counter, Halves, Record, Word

SLOTS = 128  # rows: twice the most workers, since a reload has two generations alive at once
MASTER = SLOTS  # the row of the master, behind those of the workers
DOCUMENT_BYTES = 1 << 20
JOURNAL_ENTRIES = 20
JOURNAL_BYTES = 4096

FREE, BOOTING, READY, STOPPING = range(4)
STATES = ("free", "booting", "ready", "draining")
LEAVING_RECYCLED, LEAVING_STUCK = 1, 2  # why a worker goes by itself
SLOW = ("idle", "head", "body", "answer")
EXIT_REASONS = ("recycled", "reloaded", "stopped", "killed", "timeout", "boot_failed")
LEVELS = ("debug", "info", "warning", "error", "critical")
AWS_PROVIDERS = ("none", "web_identity", "pod_identity", "environment", "shared_file", "node_role", "other")
AWS_REASONS = (
    "ok",
    "wrong_role",
    "node_role_fallback",
    "no_credentials",
    "token_expired",
    "refused",
    "misconfigured",
    "unreachable",
    "failed",
)

_Number = TypeVar("_Number", int, float)


class Pod(Record):
    """What is true of the pod. Written by the master, or under `lock()` (marked L).

    New words go to the end, also in `Row`: the other master of a USR2, of other code, counts on in the same places.
    """

    size = 0
    draining = Word()
    booted = Word()  # all workers were ready once
    workers_expected = Word()
    generation = Word()  # L; live documents applied since boot
    converged = Word()  # L; the newest generation that every worker runs
    rejected = Word()  # L; hash of the content that was rejected last, 0 when the source is good
    held = Word()  # L; hash of content that a rollout keeps from this pod, 0 for none
    restart_required = Word()  # L; how many static settings the document in force wants otherwise
    secrets_hash = Word()  # L; keyed hash of all secrets there are, 0 before the first look
    secrets_known = Word()  # L; a bit for each secret's name there ever was, by a hash of it
    secrets_failed_at = Word(real=True)  # L; monotonic; when a worker last could not read them, 0 for never
    faults_begun = Word()  # L; a bit for each fault of the document in force that was told to begin and not yet to end
    replacing = Word()  # L; one more than the slot whose worker is being replaced, since it hung or crashed on purpose
    replacing_since = Word(real=True)
    source_up = Word()
    source_read_at = Word(real=True)
    changed_at = Word(real=True)  # when the content of the newest generation was first seen
    applied_at = Word(real=True)
    applied = Counter()  # L
    rejections = Counter()  # L
    errors = Counter()  # L
    journal_next = Word()  # L
    exits = Counter(count=len(EXIT_REASONS))  # one a reason
    aws_identity = Word()  # the last verdict of any worker, in one word so that it is never half another's

    def set_aws_identity(self, provider: str, reason: str) -> None:
        """Publish what the last look at the pod's identity found: one of AWS_PROVIDERS, one of AWS_REASONS."""
        self.aws_identity = 1 + AWS_PROVIDERS.index(provider) * len(AWS_REASONS) + AWS_REASONS.index(reason)

    def last_aws_identity(self) -> tuple[str, str] | None:
        """(provider, reason) of the last look, None before the first."""
        if not (told := int(self.aws_identity)):
            return None
        provider, reason = divmod(told - 1, len(AWS_REASONS))
        return AWS_PROVIDERS[provider], AWS_REASONS[reason]


class Row(Record):
    """One worker slot (or the master). Counters are never set back, so a slot's next worker goes on counting."""

    size = 0
    pid = Word()
    state = Word()
    generation = Word()
    revision = Word()  # of the document it runs, as a number
    started_at = Word(real=True)
    threads = Word()
    threads_busy = Word()
    seen_at = Word(real=True)  # monotonic; when its main loop last looked around, at least once a second
    saturated_since = Word(real=True)  # monotonic; since when it can take no more, 0 if it can
    leaving = Word()  # why it goes by itself
    in_progress = Word()
    connections = Word()
    open_fds = Word()
    resident_bytes = Word()
    cpu_seconds = Counter(real=True)
    spans_exported = Counter()
    spans_dropped = Counter()
    flush_seconds = Word(real=True)
    metrics_errors = Counter()
    metrics_homeless = Word()  # series that no file has room for
    slow_clients = Counter(count=len(SLOW))  # one a kind
    lines_dropped = Counter()
    lines_truncated = Counter()
    lines_suppressed = Counter()
    lines = Counter(count=len(LEVELS))  # one a level


class Scoreboard:
    """Make it in the master before the first fork; children inherit the same memory.

    Args:
        half: 0, or 1 for the second master of a USR2, and 0 again for the third.
        bequest: what the master before gave to this one, of `bequeath`.
    """

    def __init__(self, half: int = 0, bequest: str = "") -> None:
        self._records = Halves((SLOTS + 2) * RECORD_WORDS * WORD_BYTES, [Row.layout(), Pod.layout()], bequest)
        self._own = self._records.halves[half]
        self._journal = 2 * (DOCUMENT_BYTES + mmap.PAGESIZE)
        self._memory = mmap.mmap(-1, self._journal + JOURNAL_ENTRIES * JOURNAL_BYTES)
        self._view = memoryview(self._memory)
        self.rows = [Row(self._record(slot)) for slot in range(SLOTS + 1)]
        self._states = _column(self._own.cast("q"), Row.state.index, SLOTS)
        self.pod = Pod(self._record(SLOTS + 1))
        for record in (*self.rows, self.pod):
            record.forget()  # what the master before last left
        self.boot_key = os.urandom(32)  # for hashes that mean nothing outside this pod's life
        self._lock_fd = os.memfd_create("hola-scoreboard")
        self._threads = threading.Lock()

    def _record(self, index: int) -> memoryview:
        size = RECORD_WORDS * WORD_BYTES
        return self._own[index * size : (index + 1) * size]

    def bequeath(self) -> str:
        """Give what is counted to the program that this process is about to become; what to tell it."""
        return self._records.bequeath()

    def generation_word(self) -> memoryview:
        """A view of one word, the generation in force: the cheapest way to ask at each request."""
        index = Pod.generation.index
        return self.pod.words[index : index + 1]

    @property
    def workers(self) -> list[tuple[int, Row]]:
        """The slots in use with their rows, lowest first."""
        return [(slot, self.rows[slot]) for slot, state in enumerate(self._states.tolist()) if state != FREE]

    def totals(self, first: str, names: tuple[str, ...]) -> dict[str, int]:
        """A counter's words added up over all rows, the masters' and those of free slots included."""
        halves = [half.cast("q") for half in self._records.halves]
        places = enumerate(names, getattr(Row, first).index)
        return {name: sum(sum(_column(half, place).tolist()) for half in halves) for place, name in places}

    def pod_totals(self, first: str, names: tuple[str, ...]) -> dict[str, int]:
        """The same of a counter of the pod."""
        start = (SLOTS + 1) * RECORD_WORDS * WORD_BYTES
        pods = [Pod(half[start:]).counts(first, names) for half in self._records.halves]
        return {name: sum(pod[name] for pod in pods) for name in names}

    def cpu_seconds(self) -> list[float]:
        """What the workers of each slot used so far."""
        halves = [_column(half.cast("d"), Row.cpu_seconds.index, SLOTS).tolist() for half in self._records.halves]
        return [sum(both) for both in zip(*halves, strict=True)]

    @contextmanager
    def lock(self, within_seconds: float = 1.0) -> Iterator[Self]:
        """Exclude all other threads and processes of the pod for a few instructions.

        A POSIX record lock, since it belongs to the process and not to the inherited
        descriptor: https://man7.org/linux/man-pages/man2/fcntl_locking.2.html

        Raises:
            LockTimeout: a holder was stopped in the middle; try again later.
        """
        deadline = time.monotonic() + within_seconds
        if not self._threads.acquire(timeout=within_seconds):
            raise LockTimeout("a thread of this process holds the scoreboard's lock")
        try:
            self._lock_file(deadline)
            try:
                yield self
            finally:
                fcntl.lockf(self._lock_fd, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _lock_file(self, deadline: float) -> None:
        while True:
            try:
                fcntl.lockf(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockTimeout("another process holds the scoreboard's lock") from None
                time.sleep(0.001)  # a lock of POSIX can be waited for without a bound, or not at all
            else:
                return

    def publish_document(self, data: bytes, origin: str) -> int:
        """Put `data` in force as the next generation and return that. Only under `lock()`.

        Two areas are used in turn, and the generation is stored last, so that a reader
        of the one in force is never written under.
        """
        generation = int(self.pod.generation) + 1
        header = f"{origin} {len(data)}".encode().ljust(mmap.PAGESIZE)
        start = self._area(generation)
        self._view[start : start + mmap.PAGESIZE] = header
        self._view[start + mmap.PAGESIZE : start + mmap.PAGESIZE + len(data)] = data
        self.pod.generation = generation
        return generation

    def read_document(self) -> tuple[int, str, bytes]:
        """(generation, origin, bytes) of the document in force; generation 0 means none yet."""
        while generation := int(self.pod.generation):
            start = self._area(generation)
            origin, length = bytes(self._view[start : start + mmap.PAGESIZE]).decode().split()
            data = bytes(self._view[start + mmap.PAGESIZE : start + mmap.PAGESIZE + int(length)])
            if self.pod.generation - generation < 1:  # nobody published meanwhile
                return generation, origin, data
        return 0, "", b""

    def _area(self, generation: int) -> int:
        return (generation % 2) * (DOCUMENT_BYTES + mmap.PAGESIZE)

    def record(self, entry: dict[str, Any]) -> None:
        """Append to the journal, which keeps the last 20 entries. Only under `lock()`."""
        data = json.dumps(entry).encode()
        while len(data) > JOURNAL_BYTES:  # the largest field gives way first
            largest = max(entry, key=lambda key: len(json.dumps(entry[key])))
            entry = entry | {largest: _halved(entry[largest]), "truncated": True}
            data = json.dumps(entry).encode()
        number = int(self.pod.journal_next)
        start = self._journal + number % JOURNAL_ENTRIES * JOURNAL_BYTES
        self._view[start : start + JOURNAL_BYTES] = data.ljust(JOURNAL_BYTES)
        self.pod.journal_next = number + 1

    def journal(self) -> list[dict[str, Any]]:
        """The journal's entries, newest first. Takes no lock: an entry overwritten meanwhile is left out."""
        newest = int(self.pod.journal_next)
        entries = []
        for number in range(newest - 1, max(newest - JOURNAL_ENTRIES, 0) - 1, -1):
            start = self._journal + number % JOURNAL_ENTRIES * JOURNAL_BYTES
            with suppress(ValueError):
                entries.append(json.loads(bytes(self._view[start : start + JOURNAL_BYTES])))
        return entries


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker stands: the pod's scoreboard, its own slot in it, the directory of metric files."""

    board: Scoreboard
    slot: int
    metrics_dir: Path

    @property
    def row(self) -> Row:
        return self.board.rows[self.slot]


def _column(words: memoryview[_Number], index: int, rows: int = SLOTS + 1) -> memoryview[_Number]:
    """The same word of each of the first rows, to be read at once."""
    return words[index : rows * RECORD_WORDS : RECORD_WORDS]


def _halved(value: Any) -> Any:
    return value[: len(value) // 2] if isinstance(value, list | str) and len(value) > 1 else None

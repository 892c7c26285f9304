"""The snapshot in force: publish, adopt, reject, hold back.

What is in force is one fact of the pod, kept on the scoreboard: the document's bytes and their
generation. Whoever first reads good new content publishes it there under the lock; everybody else
sees another generation at the next request and adopts it before answering. So after one answer
with a new revision no answer of the pod shows an older one, and a worker that is born while the
file is bad still gets the good document.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hola.errors import DocumentRejected, LockTimeout, SourceUnreadable
from hola.live_config import active_faults, history
from hola.live_config import document as documents
from hola.live_config.document import Document, Static
from hola.live_config.last_good import LastGood
from hola.live_config.source import Source
from hola.scoreboard import READY, Row, Scoreboard
from hola.telemetry.logs import get_logger

MOST_LOOKS = 4
SECOND_LOOK_SECONDS = 0.05  # an in-place writer may be half-way

_log = get_logger("hola.config")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One revision, validated and built. Bound to a request for the whole of it."""

    document: Document
    revision: str
    generation: int
    origin: str


NOTHING = Snapshot(Document(), "none", 0, "none")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the store tells: a snapshot taken on by this worker, the time a change took for all, and each transition.

    `told` may return more fields for the transition's line.
    """

    adopted: Callable[[Snapshot], None] = field(default=lambda snapshot: None)
    converged: Callable[[float], None] = field(default=lambda seconds: None)
    told: Callable[[Mapping[str, Any]], Mapping[str, str]] = field(default=lambda entry: {})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a document is held against: the pod's name, and the static settings it runs with."""

    pod: str = "hola"
    static: Static = field(default_factory=lambda: Static(workers=None, threads=None))


class LiveConfig:
    """This worker's view of the document in force. Thread-safe; made after the fork."""

    def __init__(
        self, board: Scoreboard, row: Row, source: Source, last_good: LastGood, *, hooks: Hooks, facts: Facts
    ) -> None:
        self._board = board
        self._row = row
        self._source = source
        self._last_good = last_good
        self._hooks = hooks
        self._facts = facts
        self._generation = board.generation_word()
        self._snapshot = NOTHING
        self._seen = 0  # the newest generation looked at; another than the snapshot's if it could not be adopted
        self._adopting = threading.Lock()

    def current(self) -> Snapshot:
        """The snapshot in force; generation 0 means that there is no document yet. Costs a comparison."""
        if self._generation[0] != self._seen:
            self._adopt()
        return self._snapshot

    def boot(self) -> None:
        """Find a first document: what the pod runs, else the source, else the last known good."""
        if not self._generation[0]:
            with suppress(LockTimeout):  # the watcher looks again
                self.look()
        if not self._generation[0]:
            with suppress(LockTimeout):
                self._boot_from_last_good()
        self.current()

    def look(self) -> None:
        """Read the source and act on what changed. Called by the watcher; never raises for content."""
        seen_at = time.monotonic()
        try:
            for looks_left in range(MOST_LOOKS - 1, -1, -1):
                pause = self._take(self._source.read(), seen_at, is_second_look=looks_left < MOST_LOOKS - 1)
                if pause is None:
                    break
                time.sleep(pause)
            self._note_source(up=True)
        except SourceUnreadable as error:
            self._note_source(up=False, reason=str(error))
        self.settle()

    def settle(self) -> None:
        """Tell what comes without a look: a fault's end, the last worker to take a change on. Called by the watcher."""
        now = self.current()  # what another worker put in force meanwhile counts as taken on from here
        self._tell("info", *active_faults.end_those_over(self._board, now.document, now.generation, now.revision))
        self._check_convergence()

    def _take(self, data: bytes, seen_at: float, is_second_look: bool) -> float | None:
        """Publish, hold back or reject `data`; seconds after which to read once more, or None when all is done."""
        revision = documents.revision(data)
        number, running, pod = int(revision, 16), self.current(), self._board.pod
        if revision == running.revision and running.origin == "source":
            self._recover(revision)
        elif number not in (pod.rejected, pod.held):
            try:
                is_settled = self._publish(data, "source", seen_at)
            except DocumentRejected as error:
                if not is_second_look:
                    return SECOND_LOOK_SECONDS
                is_settled = self._reject(data, revision, error)
            return None if is_settled else 0.0
        return None

    def _boot_from_last_good(self) -> None:
        if data := self._last_good.read():
            with suppress(DocumentRejected):
                self._publish(data, "last_known_good", time.monotonic())

    def _publish(self, data: bytes, origin: str, seen_at: float) -> bool:
        """Put `data` in force, unless another worker did, or the source has moved on; False in that last case.

        What another worker read later may be in force already. So the source is asked again under the lock:
        only what is there at that moment goes ahead, and no older document comes back over a newer one.
        """
        document, revision = documents.parse(data), documents.revision(data)
        if origin == "source" and not documents.takes_part(document, self._facts.pod):
            if not self._generation[0] and self._last_good.read() != data:
                self._boot_from_last_good()
            if self.current().revision not in (NOTHING.revision, revision):  # with nothing else to run it takes part
                return self._hold(data, document, revision)
        if self.current().revision == revision and origin == self._snapshot.origin:
            return True  # another worker was faster, so there is nothing to wait for
        with self._board.lock() as board:
            if origin == "source" and not self._source.still_has(data):
                return False
            previous = self._from_board()
            if origin != "source" and previous.generation:
                return True
            if revision == previous.revision and origin in (previous.origin, "last_known_good"):
                return True  # another worker was first
            generation = board.publish_document(data, origin)
            self._note_published(document, seen_at)
            faults = active_faults.take_over(board.pod, previous.document, document, revision)
            entry = history.applied(previous.document if previous.generation else None, document) | {
                "revision": revision,
                "previous": previous.revision if previous.generation else None,
                "generation": generation,
                "origin": origin,
            }
            board.record(entry)
        self._adopt()
        self._check_convergence()
        self._tell("info", entry, *faults)
        self._tell_restart(document, revision)
        self._save_newest()  # last, since a file system may take its time over a rename
        return True

    def _save_newest(self) -> None:
        """Keep what is in force; once more if another worker published meanwhile, so that the newest stays."""
        saved = 0
        while saved != self._generation[0]:
            saved, _origin, newest = self._board.read_document()
            self._last_good.save(newest)

    def _note_published(self, document: Document, seen_at: float) -> None:
        """Only under the board's lock."""
        pod = self._board.pod
        pod.changed_at, pod.applied_at = seen_at, time.time()
        pod.applied += 1
        pod.rejected = pod.held = 0
        pod.restart_required = len(documents.restart_keys(Document(static=self._facts.static), document))

    def _tell_restart(self, document: Document, revision: str) -> None:
        if paths := documents.restart_keys(Document(static=self._facts.static), document):
            _log.warning("config_restart_required", revision=revision, paths=paths)

    def _hold(self, data: bytes, document: Document, revision: str) -> bool:
        percent = document.meta.rollout.percent if document.meta and document.meta.rollout else 0.0
        fields = {"revision": revision, "running": self.current().revision, "percent": percent}
        return self._mark(data, "held", "config_held", fields)

    def _reject(self, data: bytes, revision: str, error: DocumentRejected) -> bool:
        running = self.current()
        errors = [fault.as_dict() for fault in error.faults]
        fields = {"revision": revision, "running": running.revision, "generation": running.generation, "errors": errors}
        return self._mark(data, "rejected", "config_rejected", fields)

    def _mark(self, data: bytes, word: str, event: str, fields: dict[str, Any]) -> bool:
        """Note once a pod that this content is not run, and why; False if it is not there any more."""
        number = int(fields["revision"], 16)
        with self._board.lock() as board:
            if not self._source.still_has(data):
                return False
            if getattr(board.pod, word) == number:
                return True  # another worker told already
            board.pod.rejected = board.pod.held = 0
            setattr(board.pod, word, number)
            board.pod.rejections += word == "rejected"
            entry = history.entry(event, **fields)
            board.record(entry)
        self._tell("error" if word == "rejected" else "info", entry)
        return True

    def _recover(self, revision: str) -> None:
        pod = self._board.pod
        if not (pod.rejected or pod.held):
            return
        with self._board.lock() as board:
            if not (pod.rejected or pod.held):
                return
            pod.rejected = pod.held = 0
            entry = history.entry("config_recovered", revision=revision, generation=int(pod.generation))
            board.record(entry)
        self._tell("info", entry)

    def _note_source(self, up: bool, reason: str = "") -> None:
        pod = self._board.pod
        if up:
            pod.source_read_at = time.time()
        if pod.source_up == up and (up or pod.errors):
            return
        with self._board.lock() as board:
            if pod.source_up == up and (up or pod.errors):
                return
            pod.source_up = int(up)
            pod.errors += not up
            if up and not pod.errors:
                return  # the first look of a pod's life finds it where it should be: nothing to tell
            said = {"reason": reason} if reason else {}
            entry = history.entry(
                "config_source_found" if up else "config_source_lost", generation=int(pod.generation), **said
            )
            board.record(entry)
        self._tell("info" if up else "warning", entry)

    def _tell(self, level: str, *entries: Mapping[str, Any]) -> None:
        for entry in entries:
            getattr(_log, level)(**entry, **self._hooks.told(entry))

    def _from_board(self) -> Snapshot:
        """The snapshot on the scoreboard, parsed anew unless this worker has it already."""
        generation, origin, data = self._board.read_document()
        if generation in (0, self._snapshot.generation):
            return self._snapshot
        return Snapshot(documents.parse(data), documents.revision(data), generation, origin)

    def _adopt(self) -> None:
        with self._adopting:
            seen = int(self._generation[0])
            try:
                snapshot = self._from_board()
            except DocumentRejected as error:  # published by a worker of other code, whose schema allows more
                if self._snapshot is NOTHING:
                    raise  # this worker cannot serve at all; its slot's next one may
                self._seen = seen
                _log.error("config_not_adopted", generation=seen, message=str(error))
                return
            self._seen = snapshot.generation
            if snapshot is self._snapshot:
                return
            self._snapshot = snapshot
            self._row.revision = int(snapshot.revision, 16)
            self._row.generation = snapshot.generation
        self._hooks.adopted(snapshot)

    def _check_convergence(self) -> None:
        """Tell how long the change took, once every worker runs it."""
        pod, generation = self._board.pod, int(self._board.pod.generation)
        ready = [row for _slot, row in self._board.workers if row.state == READY]
        if pod.converged >= generation or any(row.generation < generation for row in ready):
            return
        with suppress(LockTimeout), self._board.lock():
            if pod.converged >= generation or pod.generation != generation:
                return
            pod.converged = generation
            if ready:  # else it is the document that the pod boots with, and no change
                self._hooks.converged(time.monotonic() - pod.changed_at)

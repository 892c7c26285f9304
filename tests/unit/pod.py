"""A pod without its processes: a scoreboard, a mounted and a state directory, and live configurations on them."""

from __future__ import annotations

from pathlib import Path

from hola.live_config.document import Static
from hola.live_config.last_good import LastGood
from hola.live_config.source import Source
from hola.live_config.store import Facts, Hooks, LiveConfig, Snapshot
from hola.scoreboard import READY, Scoreboard
from tests.unit.volume import rename_into

A, B, BAD = '{"greeting": "A"}', '{"greeting": "B"}', '{"greeting": 5, "x": "S3NT1NEL"}'


class Pod:
    """`adopted` and `converged` are what its workers told their hooks."""

    def __init__(self, directory: Path, board: Scoreboard, name: str = "pod-1") -> None:
        self.board, self.volume, self.state = board, directory / "volume", directory / "state"
        self.volume.mkdir(exist_ok=True)
        self.adopted: list[Snapshot] = []
        self.converged: list[float] = []
        self.facts = Facts(name, Static(workers=4, threads=8))

    def worker(self, slot: int = 0) -> LiveConfig:
        row = self.board.rows[slot]
        row.state = READY
        source = Source(self.volume, pause=lambda seconds: None)
        hooks = Hooks(self.adopted.append, self.converged.append)
        return LiveConfig(self.board, row, source, LastGood(self.state), hooks=hooks, facts=self.facts)

    def booted(self, document: str | None = None, slot: int = 0) -> LiveConfig:
        """A worker that has booted, with `document` as the source."""
        if document is not None:
            self.put(document)
        worker = self.worker(slot)
        worker.boot()
        return worker

    def put(self, document: str) -> None:
        rename_into(self.volume, document)

    @property
    def history(self) -> list[str]:
        return [entry["event"] for entry in reversed(self.board.journal())]


def greeting(worker: LiveConfig) -> str:
    return worker.current().document.greeting

"""Whether this pod should get traffic, as named checks with reasons.

Only booting and draining take readiness away. A rejected or missing document, Consul or AWS being
down do not: they would take every pod away at once, and every pod can still serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hola.scoreboard import READY, Scoreboard


@dataclass(frozen=True, slots=True)
class Check:
    """One reason to be ready or not; `detail` says it for people."""

    name: str
    ok: bool
    detail: str


class Readiness:
    """Asked of any worker, answered for the pod. Thread-safe."""

    def __init__(self, board: Scoreboard) -> None:
        self._board = board

    def checks(self) -> Sequence[Check]:
        pod = self._board.pod
        ready = sum(row.state == READY for _slot, row in self._board.workers)
        wanted = pod.workers_expected
        up = bool(pod.booted) and ready > 0
        return (
            Check("workers", up, f"{ready} of {wanted} workers ready" + ("" if pod.booted else ", still booting")),
            Check("document", pod.generation > 0, f"generation {pod.generation}" if pod.generation else "none yet"),
            Check("draining", not pod.draining, "draining: going away" if pod.draining else "not draining"),
        )

    def is_ready(self) -> bool:
        return all(check.ok for check in self.checks())

"""What a step works with, and what a step is.

Where to look is part of a step: a page, a metric, an event of the log and a dashboard, each of which exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from demo.answers import Answer, ask
from demo.display import Display
from demo.figures import Figures
from demo.target import Json, Target
from demo.traffic import Traffic
from demo.waiting import until

WITHIN_SECONDS = 15
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Stage:
    """What a step works with. `dwell_seconds` is how long things are left to be looked at."""

    target: Target
    traffic: Traffic
    display: Display
    dwell_seconds: float

    def get(self, path: str) -> Answer:
        return ask(self.target.url + path)

    def status(self) -> Json:
        return dict(self.get("/config/status").json())

    def figures(self) -> Figures:
        return Figures(self.get("/metrics").body.decode())

    def until(self, check: Callable[[], Found | None], what: str, within_seconds: float = WITHIN_SECONDS) -> Found:
        return until(check, what, within_seconds, self._progress)

    def dwell(self, seconds: float | None = None) -> None:
        end = time.monotonic() + (self.dwell_seconds if seconds is None else seconds)
        until(lambda: time.monotonic() >= end, "time passes", 3600, self._progress)

    def publish(self, document: Json) -> Json:
        """Publish and wait until every worker runs it: the status then."""
        self.target.publish(document)
        return self.until(lambda: self._runs(document), "every worker runs the document")

    def _runs(self, document: Json) -> Json | None:
        """The status, if one worker answers by `document` and all run the same."""
        shown = self.get("/config").json()["document"]
        is_there = shown["greeting"] == document["greeting"] and _ids(shown) == _ids(document)
        status = self.status()
        return status if is_there and all(worker["current"] for worker in status["workers"]) else None

    def _progress(self) -> None:
        told = self.traffic
        self.display.progress(f"{told.answered} answers, {told.failed} of them 5xx, {told.lost} without one")


@dataclass(frozen=True, slots=True)
class Step:
    """`show` does it and says what was seen."""

    title: str
    path: str
    metric: str
    event: str
    board: str
    show: Callable[[Stage], str]

    def looks(self, target: Target) -> str:
        """In one line, where a person sees it."""
        return f"{target.url}{self.path} · {self.metric} · {self.event} in {target.log} · dashboard hola: {self.board}"


def _ids(document: Json) -> list[str]:
    return [fault["id"] for fault in document.get("faults", [])]

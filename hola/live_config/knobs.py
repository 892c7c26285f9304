"""Knobs of the running process that the live document turns: log level and trace sampling.

A timed value ends by itself: `apply` is called for each new snapshot and about once a second.
"""

from __future__ import annotations

from datetime import UTC, datetime

from hola.live_config.document import Level
from hola.live_config.store import Snapshot
from hola.telemetry.logs import LOGS

DEFAULT_LEVEL: Level = "info"


class Knobs:
    """One a worker. Without an exporter nothing is sampled: a span that goes nowhere is not worth making."""

    def __init__(self, default_ratio: float, is_exporting: bool) -> None:
        self._default_ratio = default_ratio
        self._is_exporting = is_exporting
        self._ratio = default_ratio if is_exporting else 0.0

    def sample_ratio(self) -> float:
        """The share (0 to 1) of traces to record now."""
        return self._ratio

    def apply(self, snapshot: Snapshot) -> None:
        """Put in force what the document says for this moment."""
        now, document = datetime.now(UTC), snapshot.document
        LOGS.set_level(document.log_level.at(now, DEFAULT_LEVEL))
        timed = document.trace_sample_ratio
        ratio = timed.at(now, self._default_ratio) if timed else self._default_ratio
        self._ratio = ratio if self._is_exporting else 0.0

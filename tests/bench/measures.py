"""What is measured, in which unit it is shown, and the place where all values are gathered."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measure:
    """A column of a table: `scale` turns what was measured (seconds, bytes, shares) into the unit that is shown."""

    name: str
    scale: float = 1.0
    digits: int = 0


CPU = Measure("CPU µs a request", 1e6)
RATE = Measure("requests/s")
P50 = Measure("p50 ms", 1e3, 1)
P99 = Measure("p99 ms", 1e3, 1)
LOAD = (CPU, RATE, P50, P99)

FIRST_ANSWER = Measure("start to first answer s", 1, 2)
READY = Measure("start to all workers ready s", 1, 2)
PSS = Measure("PSS MiB", 1 / (1 << 20), 1)
IDLE = Measure("idle CPU % of a core", 100, 2)
STOP = Measure("time to stop s", 1, 2)
LIFE = (FIRST_ANSWER, READY, PSS, IDLE, STOP)

SCRAPE_TIME = Measure("scrape ms", 1e3, 1)
SCRAPE_SIZE = Measure("scrape KiB", 1 / 1024, 1)
CHANGE = Measure("change to all workers ms", 1e3, 1)
UPKEEP = (SCRAPE_TIME, SCRAPE_SIZE, CHANGE)


class Results:
    """Every value that was measured, in the unit shown, by the service's name and the measure."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, Measure], list[float]] = defaultdict(list)

    def add(self, name: str, values: dict[Measure, float]) -> None:
        for measure, value in values.items():
            self.values[name, measure].append(value * measure.scale)

    def names(self, measures: tuple[Measure, ...]) -> list[str]:
        """The services that have a value of one of these measures, in the order in which they came."""
        return list(dict.fromkeys(name for name, measure in self.values if measure in measures))

    def median(self, name: str, measure: Measure) -> float:
        return statistics.median(self.values[name, measure])

    def ratios(self, name: str, measure: Measure, limit: str) -> list[float]:
        """Round by round to the service `limit`, so that a noisy round of the machine counts on both sides."""
        pairs = zip(self.values[name, measure], self.values[limit, measure], strict=False)
        return [value / least for value, least in pairs if least]

    def save(self, path: Path) -> None:
        """All values as JSON, for plots and for who wants to look closer."""
        path.parent.mkdir(exist_ok=True)
        rows = [
            {"service": name, "measure": measure.name, "values": values}
            for (name, measure), values in self.values.items()
        ]
        path.write_text(json.dumps(rows, indent=1) + "\n")

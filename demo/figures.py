"""What `/metrics` says at one moment, and what an alert would ask of it: does the error budget burn?

The numbers of the condition are those of the shipped alert, from dashboards/source/objectives.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.source.objectives import AVAILABILITY, FEWEST_BAD, PAGE

_SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SPARED = {"/livez", "/healthz", "/readyz", "/metrics"}  # no users, as in the rules
LIMIT = PAGE[0].factor * AVAILABILITY.budget


@dataclass(frozen=True)
class Burn:
    """The requests of users between two moments, and how many of them failed."""

    failed: float
    total: float

    @property
    def ratio(self) -> float:
        return self.failed / self.total if self.total else 0.0

    @property
    def would_page(self) -> bool:
        """The condition of HolaErrorBudgetBurn, with the time between the moments as its windows."""
        return self.ratio > LIMIT and self.failed > FEWEST_BAD - 0.5


class Figures:
    """The samples of one exposition in Prometheus' text format."""

    def __init__(self, exposition: str) -> None:
        matches = (_SAMPLE.fullmatch(line) for line in exposition.splitlines() if not line.startswith("#"))
        self._samples = [
            (match["name"], dict(_LABEL.findall(match["labels"] or "")), float(match["value"]))
            for match in matches
            if match
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels."""
        return sum(value for found, has, value in self._samples if found == name and labels.items() <= has.items())

    def burn_since(self, before: Figures) -> Burn:
        total, failed = (self._of_users(errors) - before._of_users(errors) for errors in (False, True))
        return Burn(failed, total)

    def _of_users(self, errors_only: bool) -> float:
        return sum(
            value
            for name, labels, value in self._samples
            if name == "http_requests_total" and _counts(labels, errors_only)
        )


def _counts(labels: Mapping[str, str], errors_only: bool) -> bool:
    return labels["route"] not in _SPARED and (labels["status"].startswith("5") or not errors_only)

"""The shipped dashboards and rules, and what their queries ask for. Imports nothing of hola."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from tests.support import ROOT

Json = dict[str, Any]

BOARDS: dict[str, Json] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "dashboards").glob("*.json"))
}
RULES: Json = yaml.safe_load((ROOT / "dashboards/rules.yaml").read_text())
GROUPED: list[Json] = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in GROUPED if "alert" in rule]
RECORDED = {rule["record"] for rule in GROUPED if "record" in rule}
# What Grafana puts into a query before Prometheus gets it, here for a choice of everything.
CHOICES = {"namespace": ".*", "job": ".+", "instance": ".+", "canary": "canary", "stable": "stable"}


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    board: str
    panel: str
    number: int
    expr: str

    def __str__(self) -> str:
        return f"{self.board}/{self.panel}/{self.number}"


def panels(board: Json) -> list[Json]:
    """Those that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets() -> Iterator[Target]:
    for board in BOARDS.values():
        for mark in board["annotations"]["list"]:
            if "expr" in mark:
                yield Target(board["title"], mark["name"], 0, mark["expr"])
        for panel in panels(board):
            for number, target in enumerate(panel["targets"]):
                yield Target(board["title"], panel["title"], number, target["expr"])


def filled(query: str, rate_interval: str = "5m") -> str:
    """The query with everything chosen."""
    query = query.replace("$__rate_interval", rate_interval)
    for name, value in CHOICES.items():
        query = re.sub(rf"\${name}\b", value, query)
    return query


def nodes(query: str) -> list[Any]:
    """Every node of its syntax tree. Raises ValueError if it is no PromQL."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(filled(query)), found.append)
    return found


def selectors(query: str) -> list[Any]:
    return [node for node in nodes(query) if isinstance(node, promql_parser.VectorSelector)]


def matchers(selector: Any) -> dict[str, str]:
    """Label → value of a selector's equal and regex matchers, as far as it has any."""
    return {matcher.name: matcher.value for matcher in selector.matchers.matchers}


def groupings(query: str) -> list[set[str]]:
    """The labels by which each of its aggregations groups, where it says so."""
    aggregations = [node for node in nodes(query) if isinstance(node, promql_parser.AggregateExpr)]
    return [set(node.modifier.labels) for node in aggregations if node.modifier]

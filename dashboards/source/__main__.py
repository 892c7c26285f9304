"""Write the dashboards and the rules, or print the rules as the operator's PrometheusRule.

`python -m dashboards.source` writes them beside this directory; `… prometheusrule` prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from dashboards.source import alerts, configuration, objectives, rollout, service, workers

DIRECTORY = Path(__file__).parents[1]
HEADER = """\
# What hola's users feel, then what will hurt them soon. Every alert has a section in docs/runbook.md.
# Written by `make dashboards` from dashboards/source/objectives.py and alerts.py: change those.
"""


def groups() -> list[dict[str, Any]]:
    return [
        {"name": "hola-objectives", "rules": objectives.recordings()},
        {"name": "hola-budgets", "interval": "5m", "rules": objectives.budgets()},
        {"name": "hola-requests", "rules": alerts.requests()},
        {"name": "hola-instances", "rules": alerts.instances()},
        {"name": "hola-configuration", "rules": alerts.configuration()},
        {"name": "hola-telemetry", "rules": alerts.telemetry()},
    ]


def prometheus_rule() -> dict[str, Any]:
    """The same rules for the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "hola", "labels": {"app.kubernetes.io/name": "hola"}},
        "spec": {"groups": groups()},
    }


def files() -> dict[str, str]:
    """What is written, by name."""
    boards = (service.BOARD, workers.BOARD, configuration.BOARD, rollout.BOARD)
    texts = {f"{board['uid'][5:]}.json": json.dumps(board, indent=2, ensure_ascii=False) + "\n" for board in boards}
    return texts | {"rules.yaml": HEADER + to_yaml({"groups": groups()})}


def to_yaml(document: Any) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Lists indented, and a text of several lines as one."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _string)


if __name__ == "__main__":
    if sys.argv[1:] == ["prometheusrule"]:
        sys.stdout.write(to_yaml(prometheus_rule()))
    else:
        for name, text in files().items():
            (DIRECTORY / name).write_text(text)

"""The fault catalogue against the repository: each kind names signals that exist, and each of them is provoked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from hola.faults.effects import LEFT_MIB, MOST_HELD_MIB
from hola.live_config.document import parse, schema
from hola.live_config.fault_rules import CATALOGUE, FaultRule
from tests.contract.test_alerts import sections
from tests.contract.test_readme import names, rows
from tests.lab.test_alerts_live import FAULTS
from tests.promql import ALERTS
from tests.support import ROOT

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
METRICS = {name for row in rows("**Metrics**") for name in names(row[0])}
EVENTS = {name for row in rows("| event | when") for name in names(row[0])}
NAMES = {alert["alert"] for alert in ALERTS}


def rules_in(text: str) -> Iterator[FaultRule]:
    """The faults that a text shows."""
    for found in re.findall(r'`("faults": \[.*?\])`', text, re.DOTALL):
        yield from parse(f"{{{found}}}".encode()).faults


def asked(fault: dict[str, Any]) -> set[str]:
    return fault.keys() & CATALOGUE.keys()


@pytest.mark.parametrize("key", CATALOGUE)
def test_a_kind_names_signals_that_exist(key: str) -> None:
    signals = set(CATALOGUE[key].must_react)
    assert signals & METRICS
    assert signals <= METRICS | EVENTS | NAMES


def test_the_schema_tells_the_bounds_that_memory_is_held_in() -> None:
    told = schema()["$defs"]["FaultRule"]["properties"]["allocate_mib"]["description"]
    assert f"up to {MOST_HELD_MIB} MiB a worker and never the machine's last {LEFT_MIB};" in told
    assert f"a worker takes up to {MOST_HELD_MIB} MiB" in RUNBOOK


def test_the_runbook_has_the_catalogue() -> None:
    table = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", RUNBOOK, re.MULTILINE)
    assert [(key, kind, tuple(names(signals))) for key, kind, signals in table] == [
        (key, kind.name, kind.must_react) for key, kind in CATALOGUE.items()
    ]


PROVOKED = [(key, name) for key, kind in CATALOGUE.items() for name in kind.must_react if name in NAMES]


@pytest.mark.parametrize(("key", "alert"), PROVOKED)
def test_an_alert_that_must_react_is_provoked_so_by_the_runbook(key: str, alert: str) -> None:
    """And with a document that hola takes."""
    provoke = sections()[alert].split("**Provoke.**")[1]
    assert any(getattr(rule, key) for rule in rules_in(provoke))


@pytest.mark.parametrize(("key", "alert"), PROVOKED)
def test_an_alert_that_must_react_is_provoked_so_on_a_live_prometheus(key: str, alert: str) -> None:
    assert any(key in asked(fault) for alerts, faults in FAULTS.items() if alert in alerts.split() for fault in faults)


def test_every_document_of_the_runbook_is_valid() -> None:
    shown = RUNBOOK.count('"faults": [')
    assert len(list(rules_in(RUNBOOK))) == shown >= len(PROVOKED)


def test_readme_names_every_kind() -> None:
    text = (ROOT / "README.md").read_text().split("## The live document")[1].split("\n## ")[0]
    shown = set(re.findall(r"`(\w+)`", text)) | set(json.loads(text.split("```json")[1].split("```")[0])["faults"][0])
    assert set(FaultRule.model_fields) <= shown

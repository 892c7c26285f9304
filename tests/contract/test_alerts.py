"""The alerts: each says how bad it is and where to go on, each is explained, each is shown to fire and not to fire."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from dashboards.source.__main__ import prometheus_rule, to_yaml
from hola.live_config.fault_rules import CATALOGUE
from tests.contract.test_readme import names, rows
from tests.promql import ALERTS, BOARDS, RULES, Json, groupings
from tests.support import ROOT

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
UNIT_TESTS = sorted((ROOT / "tests/rules").glob("*.yaml"))
GROUPS: list[Json] = [group for path in UNIT_TESTS for group in yaml.safe_load(path.read_text())["tests"]]
BURNS = [alert["alert"] for alert in ALERTS if "slo" in alert["labels"]]

# What the runbook names in code that is no event: fields of lines and alerts, keys of the document, a reason.
FIELDS = {
    "boot_failed",
    "cpu_seconds",
    "dashboard_url",
    "duration_seconds",
    "exit_code",
    "fault_id",
    "log_level",
    "trace_id",
    "trace_sample_ratio",
}

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


@cache
def sections() -> dict[str, str]:
    """Heading → text of the runbook's sections."""
    parts = re.split(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@each_alert
def test_alerts_say_how_bad_it_is_and_where_to_go_on(alert: Json) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["labels"].keys() <= {"severity", "slo"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}


def test_only_what_users_feel_gets_somebody_up() -> None:
    critical = {alert["alert"] for alert in ALERTS if alert["labels"]["severity"] == "critical"}
    assert critical == {"HolaErrorBudgetBurn", "HolaLatencyBudgetBurn", "HolaAbsent"}


@each_alert
def test_the_texts_use_only_labels_that_the_alert_has(alert: Json) -> None:
    """`absent()` has those of its matchers, an aggregation those by which it groups, anything else all."""
    used = set(
        re.findall(r"\$labels\.(\w+)", " ".join(v for k, v in alert["annotations"].items() if k != "dashboard_url"))
    )
    grouped = groupings(alert["expr"])
    exported = {label for row in rows("**Metrics**") for label in names(row[2])} | {"provider"}
    has = set[str].intersection(*grouped) if grouped else exported | {"namespace", "job", "instance"}
    assert used <= has


@each_alert
def test_the_dashboard_exists_and_opens_with_the_alerts_choice(alert: Json) -> None:
    url = urlsplit(alert["annotations"]["dashboard_url"])
    board = next(board for board in BOARDS.values() if url.path == f"/d/{board['uid']}")
    variables = {f"var-{variable['name']}" for variable in board["templating"]["list"]}
    assert {"var-namespace", "var-job"} <= parse_qs(url.query).keys() <= variables


@each_alert
def test_the_runbook_has_a_section_that_says_what_it_means_where_to_look_what_to_do_and_how_to_provoke_it(
    alert: Json,
) -> None:
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (path, anchor) == ("docs/runbook.md", alert["alert"].lower())
    text = sections()[alert["alert"]]
    parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
    assert parts == ["Means", "Look", "Do", "Provoke"]


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert set(sections()) == {alert["alert"] for alert in ALERTS}


def test_the_runbook_names_only_what_exists() -> None:
    """Panels, metrics, events, files and its own sections."""
    titles = {panel["title"] for board in BOARDS.values() for panel in board["panels"]}
    shown = {name.replace("\n", " ") for name in re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", RUNBOOK)}
    marks = {mark["name"] for board in BOARDS.values() for mark in board["annotations"]["list"]}
    assert shown - titles - marks == set()
    boards = set(re.findall(r"\*(hola: \w+)\*", RUNBOOK))
    assert boards <= {board["title"] for board in BOARDS.values()}
    anchors = set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK))
    assert anchors <= {heading.lower() for heading in sections()}
    events = {name for row in rows("| event | when") for name in names(row[0])}
    metrics = {name for row in rows("**Metrics**") for name in names(row[0])}
    fields = set(re.findall(r"`([a-z]+_[a-z_]+)`", RUNBOOK))
    assert fields - events - metrics - CATALOGUE.keys() == FIELDS


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_a_unit_test_evaluates_the_groups_in_their_order(path: Path) -> None:
    """Alerts read what another group records; without an order promtool takes any, another one each time."""
    assert yaml.safe_load(path.read_text())["group_eval_order"] == [group["name"] for group in RULES["groups"]]


@each_alert
def test_a_unit_test_shows_that_it_fires_and_that_it_ends(alert: Json) -> None:
    courses = [_course(group, alert["alert"]) for group in GROUPS]
    assert any(True in course for course in courses)
    assert any((True, False) in itertools.pairwise(course) for course in courses)


@each_alert
def test_it_is_provoked_on_a_real_prometheus(alert: Json) -> None:
    assert re.search(rf"\b{alert['alert']}\b", (ROOT / "tests/lab/test_alerts_live.py").read_text())


@each_alert
@pytest.mark.parametrize("case", ["fires", "recovers", "just below", "no data"])
def test_a_unit_test_is_named_for_each_case(alert: Json, case: str) -> None:
    assert any(re.search(rf"\b{alert['alert']}\b.*{case}", group["name"]) for group in GROUPS)


@pytest.mark.parametrize("name", BURNS)
def test_a_burning_budget_is_shown_with_low_traffic(name: str) -> None:
    assert any(re.search(rf"\b{name} low traffic", group["name"]) for group in GROUPS)


def test_the_operators_rules_are_the_same() -> None:
    made: Any = yaml.safe_load(to_yaml(prometheus_rule()))
    assert made["spec"] == RULES
    assert (made["kind"], made["apiVersion"]) == ("PrometheusRule", "monitoring.coreos.com/v1")


def _course(group: Json, alert: str) -> list[bool]:
    """Whether the group expects the alert, in the order of time."""
    checks = [check for check in group.get("alert_rule_test", []) if check["alertname"] == alert]
    return [bool(check.get("exp_alerts")) for check in sorted(checks, key=lambda check: _minutes(check["eval_time"]))]


def _minutes(time: str) -> int:
    units = {"h": 60, "m": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hm])", time))

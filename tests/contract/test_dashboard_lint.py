"""The rules of Grafana's dashboard-linter for Prometheus, which no package registry has; each is broken once.

The two rules it has for Loki have nothing to check here. Exclusions stand in dashboards/.lint, where it looks for them.
https://github.com/grafana/dashboard-linter/blob/main/docs/index.md
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator

import promql_parser
import pytest
import yaml

from tests.promql import BOARDS, Json, nodes, panels, selectors
from tests.support import ROOT

EXCLUDED: Json = yaml.safe_load((ROOT / "dashboards/.lint").read_text())["exclusions"]
UNITS = {
    "none",
    "short",
    "percentunit",
    "bytes",
    "s",
    "reqps",
    "cps",
    "ops",
    "bool_yes_no",
}  # of those it knows, those in use here
FUNCTIONS = {"label_names", "label_values", "metrics", "query_result"}
TEMPLATED = {"$datasource", "${datasource}"}

Findings = Iterator[str]  # the panel's title, or what else is wrong
Rule = Callable[[Json], Findings]
Breakage = Callable[[Json], object]


def _variables(board: Json, kind: str) -> list[Json]:
    return [variable for variable in board["templating"]["list"] if variable["type"] == kind]


def _targets(board: Json) -> Iterator[tuple[str, str]]:
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def template_datasource(board: Json) -> Findings:
    if [(v["name"], v["label"]) for v in _variables(board, "datasource")] != [("datasource", "Data source")]:
        yield "data source"


def _template(name: str) -> Rule:
    def rule(board: Json) -> Findings:
        wanted = {"label": name.title(), "multi": True, "allValue": ".+", "type": "query"}
        found = [variable for variable in board["templating"]["list"] if variable["name"] == name]
        if [{key: v[key] for key in wanted} for v in found] != [wanted] or found[0]["datasource"][
            "uid"
        ] not in TEMPLATED:
            yield name

    return rule


def template_label_promql(board: Json) -> Findings:
    for variable in _variables(board, "query"):
        match = re.fullmatch(r"([a-z_]+)\((.+?)(, \w+)?\)", variable["query"]["query"])
        if match is None or match[1] not in FUNCTIONS or not _parses(match[2]):
            yield variable["name"]


def template_on_time_change_reload(board: Json) -> Findings:
    yield from (variable["name"] for variable in _variables(board, "query") if variable["refresh"] != 2)


def panel_datasource(board: Json) -> Findings:
    yield from (panel["title"] for panel in panels(board) if panel["datasource"]["uid"] not in TEMPLATED)


def panel_title_description(board: Json) -> Findings:
    yield from (str(p["id"]) for p in panels(board) if not (p.get("title") and p.get("description")))


def panel_units(board: Json) -> Findings:
    yield from (p["title"] for p in panels(board) if p["fieldConfig"]["defaults"].get("unit") not in UNITS)


def panel_no_targets(board: Json) -> Findings:
    yield from (panel["title"] for panel in panels(board) if not panel["targets"])


def target_promql(board: Json) -> Findings:
    yield from (title for title, query in _targets(board) if not _parses(query))


def target_rate_interval(board: Json) -> Findings:
    """Every range that a rate takes is Grafana's, which fits the page's width and the scrape's interval."""
    for title, query in _targets(board):
        if re.search(r"\bi?rate\([^\[\]]*\[(?!\$__rate_interval\])", query):
            yield title


def _target_matcher(label: str) -> Rule:
    def rule(board: Json) -> Findings:
        for title, query in _targets(board):
            if _parses(query) and query.count(f'{label}=~"${label}"') < len(selectors(query)):
                yield title

    return rule


def target_counter_agg(board: Json) -> Findings:
    for title, query in _targets(board):
        if not _parses(query):
            continue
        calls = [node for node in nodes(query) if isinstance(node, promql_parser.Call)]
        rates = [call for call in calls if call.func.name in {"rate", "irate", "increase"}]
        within = sum(len(_counters(call.prettify())) for call in rates)
        if within < len(_counters(query)):
            yield title


def uneditable_dashboard(board: Json) -> Findings:
    if board["editable"]:
        yield "editable"


def _counters(query: str) -> list[str]:
    return [selector.name for selector in selectors(query) if selector.name.endswith("_total")]


def _parses(query: str) -> bool:
    try:
        return bool(nodes(query))
    except ValueError:
        return False


def _break_variable(name: str, /, **values: object) -> Breakage:
    def breakage(board: Json) -> None:
        next(v for v in board["templating"]["list"] if v["name"] == name).update(values)

    return breakage


def _break_panel(**values: object) -> Breakage:
    return lambda board: panels(board)[0].update(values)


def _break_query(old: str, new: str) -> Breakage:
    """In the first query that has `old`."""

    def breakage(board: Json) -> None:
        every = [target for panel in panels(board) for target in panel["targets"]]
        target = next(target for target in every if old in target["expr"])
        target["expr"] = target["expr"].replace(old, new)

    return breakage


RULES: dict[str, tuple[Rule, Breakage]] = {
    "template-datasource-rule": (template_datasource, _break_variable("datasource", name="source")),
    "template-job-rule": (_template("job"), _break_variable("job", multi=False)),
    "template-instance-rule": (_template("instance"), _break_variable("instance", allValue=".*")),
    "template-label-promql-rule": (
        template_label_promql,
        _break_variable("job", query={"query": "label_value(hola_build_info, job)"}),
    ),
    "template-on-time-change-reload-rule": (template_on_time_change_reload, _break_variable("job", refresh=1)),
    "panel-datasource-rule": (panel_datasource, _break_panel(datasource={"uid": "Prometheus"})),
    "panel-title-description-rule": (panel_title_description, _break_panel(description="")),
    "panel-units-rule": (panel_units, _break_panel(fieldConfig={"defaults": {"unit": "requests"}})),
    "panel-no-targets-rule": (panel_no_targets, _break_panel(targets=[])),
    "target-promql-rule": (target_promql, _break_query("(rate(", "(rate(()")),
    "target-rate-interval-rule": (target_rate_interval, _break_query("$__rate_interval", "30s")),
    "target-job-rule": (_target_matcher("job"), _break_query('job=~"$job"', 'job="hola"')),
    "target-instance-rule": (_target_matcher("instance"), _break_query(', instance=~"$instance"', "")),
    "target-counter-agg-rule": (
        target_counter_agg,
        _break_query("rate(http_requests_total", "deriv(http_requests_total"),
    ),
    "uneditable-dashboard": (uneditable_dashboard, lambda board: board.update(editable=True)),
}

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_rule = pytest.mark.parametrize("name", RULES)


@each_rule
@each_board
def test_every_dashboard_keeps_every_rule(board: Json, name: str) -> None:
    assert set(RULES[name][0](board)) - _excluded(board, name) == set()


@each_rule
def test_a_dashboard_that_breaks_a_rule_is_found(name: str) -> None:
    rule, breakage = RULES[name]
    broken = copy.deepcopy(BOARDS["rollout"])
    before = len(list(rule(broken)))
    breakage(broken)
    assert len(list(rule(broken))) == before + 1


def test_exclusions_have_a_reason_and_are_needed() -> None:
    for name, exclusion in EXCLUDED.items():
        assert exclusion["reason"]
        for board in BOARDS.values():
            assert _excluded(board, name) <= set(RULES[name][0](board))
        assert {entry["dashboard"] for entry in exclusion["entries"]} <= {board["title"] for board in BOARDS.values()}


def _excluded(board: Json, name: str) -> set[str]:
    entries = EXCLUDED.get(name, {"entries": []})["entries"]
    return {entry["panel"] for entry in entries if entry["dashboard"] == board["title"]}

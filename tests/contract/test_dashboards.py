"""The dashboards: as their source says, of one kind, and asking only for what hola exports."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations

import promql_parser
import pytest

from dashboards.source.__main__ import files
from tests.contract.test_readme import names, rows
from tests.promql import BOARDS, GROUPED, RECORDED, Json, Target, groupings, nodes, panels, selectors, targets
from tests.support import ROOT

# Which other parts of hola export; the README has them as soon as they do.
ELSEWHERE = {"hola_aws_identity_ok": {"provider", "reason"}}
# What Prometheus adds at the scrape; the last comes from a label of the pod.
TARGET_LABELS = {"namespace", "job", "instance", "rollouts_pod_template_hash"}
TARGETS = list(targets())
QUERIES = [target.expr for target in TARGETS] + [rule["expr"] for rule in GROUPED]

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_target = pytest.mark.parametrize("target", TARGETS, ids=str)
each_query = pytest.mark.parametrize("query", QUERIES)


def _exported() -> dict[str, set[str]]:
    """Name in a query → labels, from the README's table, which is held to the code."""
    found: dict[str, set[str]] = {"up": set(), **ELSEWHERE}
    for row in rows("**Metrics**"):
        labels = set(names(row[2]))
        for name in names(row[0]):
            found[name] = labels
            if row[1] == "histogram":
                found |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
    return found


EXPORTED = _exported()


def test_there_are_four_and_each_is_in_a_file_of_its_name() -> None:
    assert {name: board["title"] for name, board in BOARDS.items()} == {
        name: f"hola: {name}" for name in ("service", "workers", "configuration", "rollout")
    }
    assert {board["uid"] for board in BOARDS.values()} == {f"hola-{name}" for name in BOARDS}


def test_what_is_committed_is_what_the_source_makes() -> None:
    stale = [name for name, text in files().items() if (ROOT / "dashboards" / name).read_text() != text]
    assert not stale, "run `make dashboards`"
    assert set(files()) == {"rules.yaml", *(f"{name}.json" for name in BOARDS)}


def test_the_source_needs_nothing_of_hola() -> None:
    script = "import sys, dashboards.source.__main__; print([m for m in sys.modules if m.split('.')[0] == 'hola'])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@each_query
def test_queries_name_exported_metrics_and_their_labels(query: str) -> None:
    for selector in selectors(query):
        assert selector.name in EXPORTED.keys() | RECORDED
        known = TARGET_LABELS | EXPORTED.get(selector.name, set())
        assert {matcher.name for matcher in selector.matchers.matchers} <= known


@each_query
def test_queries_group_by_labels_that_their_metrics_have(query: str) -> None:
    selected = {label for s in selectors(query) for label in EXPORTED.get(s.name, ())}
    assert set[str]().union(*groupings(query)) <= TARGET_LABELS | selected


@each_target
def test_queries_of_dashboards_ask_for_the_chosen_namespace_and_job(target: Target) -> None:
    found = selectors(target.expr)
    assert target.expr.count('namespace=~"$namespace", job=~"$job"') == len(found) > 0
    of_instances = [selector for selector in found if selector.name not in RECORDED]
    assert target.expr.count('instance=~"$instance"') == len(of_instances)


@each_target
def test_divisions_never_show_a_nan(target: Target) -> None:
    """A ratio of no traffic is nothing, not NaN: what is divided by is a number or more than 0."""
    for node in nodes(target.expr):
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/":
            divisor = node.rhs
            assert isinstance(divisor, promql_parser.NumberLiteral) or re.search(r">\s+0\s*\)$", divisor.prettify())


@each_board
def test_panels_are_explained_and_their_lines_named(board: Json) -> None:
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        shown = set(re.findall(r"{{(\w+)}}", " ".join(target["legendFormat"] for target in panel["targets"])))
        kept = {label for target in panel["targets"] for label in _labels_of(target["expr"])}
        assert shown <= kept, panel["title"]


@each_board
def test_nothing_names_a_data_source_of_its_own(board: Json) -> None:
    for place in [*panels(board), *(t for p in panels(board) for t in p["targets"])]:
        assert place["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_board
def test_histograms_of_requests_show_exemplars(board: Json) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            if panel["type"] == "timeseries":
                assert target["exemplar"] is ("_bucket{" in target["expr"]), panel["title"]


@each_board
def test_panels_have_unique_ids_and_titles_and_do_not_overlap(board: Json) -> None:
    every = board["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    assert all(place["x"] + place["w"] <= 24 for place in (panel["gridPos"] for panel in every))
    for one, other in combinations((panel["gridPos"] for panel in every), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@each_board
def test_every_dashboard_has_the_same_first_variables_and_leads_to_the_others(board: Json) -> None:
    """An instance that another dashboard chose is chosen here, too."""
    variables = [variable["name"] for variable in board["templating"]["list"]]
    assert variables[:4] == ["datasource", "namespace", "job", "instance"]
    (link,) = board["links"]
    assert (link["tags"], link["includeVars"], link["keepTime"]) == (["hola"], True, True)
    assert all("hola" in other["tags"] for other in BOARDS.values())


@each_board
def test_a_dashboard_carries_nothing_of_the_grafana_that_it_was_made_in(board: Json) -> None:
    assert board.keys().isdisjoint({"id", "__inputs", "__requires", "iteration"})
    assert 39 <= board["schemaVersion"] <= 42
    assert {panel["type"] for panel in board["panels"]} <= {"row", "timeseries", "stat", "table"}


def _labels_of(query: str) -> set[str]:
    """The labels by which its outermost aggregation groups; for a recorded series, the service's."""
    of_service = {"namespace", "job"} if any(selector.name in RECORDED for selector in selectors(query)) else set()
    return set[str]().union(of_service, *groupings(query))

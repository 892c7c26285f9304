"""The fault catalogue: what a rule may not ask for, where that is said, and what the schema tells of each kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hola.errors import DocumentRejected
from hola.live_config import document as documents
from hola.live_config.document import parse
from hola.live_config.fault_rules import CATALOGUE, ENDINGS, FaultRule
from hola.telemetry.request import QUIET_ROUTES

FUTURE = "2999-01-01T00:00:00Z"
SOME: dict[str, Any] = {
    "delay_ms": 1,
    "allocate_mib": 1,
    "cpu_ms": 1,
    "log_lines": 1,
    "status": 500,
    "exception": True,
    "exit_worker": True,
}
NONE: dict[str, Any] = {
    "delay_ms": 0,
    "allocate_mib": 0,
    "cpu_ms": 0,
    "log_lines": 0,
    "status": None,
    "exception": False,
    "exit_worker": False,
}
MOST = {"delay_ms": 60_000, "allocate_mib": 64, "cpu_ms": 10_000, "log_lines": 1000, "status": 599}


def rejected(*rules: dict[str, Any]) -> list[tuple[str, str]]:
    """Pointer and code of everything that is wrong with a document of these rules."""
    named = [{"id": f"f{number}", "route": "/", **rule} for number, rule in enumerate(rules)]
    try:
        parse(json.dumps({"faults": named}).encode())
    except DocumentRejected as error:
        return [(fault.path, fault.code) for fault in error.faults]
    return []


def rule(**keys: Any) -> FaultRule:
    (only,) = parse(json.dumps({"faults": [{"id": "a", "route": "/", **keys}]}).encode()).faults
    return only


def test_the_catalogue_is_the_rule() -> None:
    assert set(CATALOGUE) == set(FaultRule.model_fields) - {"id", "route", "percent", "until"}
    assert set(CATALOGUE) == set(SOME) == set(NONE)


@pytest.mark.parametrize("key", CATALOGUE)
def test_each_kind_can_be_had_alone(key: str) -> None:
    assert rule(**{key: SOME[key]}, until=FUTURE).kind == CATALOGUE[key].name


def test_a_rule_of_the_contract_is_what_it_was() -> None:
    old = {"id": "slow-home", "route": "/", "percent": 10, "delay_ms": 300, "status": None, "until": FUTURE}
    assert rejected(old) == []
    assert rule(delay_ms=300, status=503).kind == "delay+status"


@pytest.mark.parametrize("given", [{}, NONE, {"percent": 50, "until": FUTURE}])
def test_a_rule_that_asks_for_nothing_is_a_dry_run(given: dict[str, Any]) -> None:
    assert rejected(given) == []
    assert rule(**given).kind == "dry_run"


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_a_request_ends_in_one_way(first: str, second: str) -> None:
    found = rejected({first: SOME[first], second: SOME[second], "until": FUTURE})
    later = max(first, second, key=ENDINGS.index)
    assert found == ([] if first == second else [(f"/faults/0/{later}", "contradiction")])


@pytest.mark.parametrize("until", [{}, {"until": None}])
@pytest.mark.parametrize("percent", [0, 0.01, 100])
def test_a_worker_does_not_crash_without_an_end(until: dict[str, None], percent: float) -> None:
    assert rejected({"exit_worker": True, "percent": percent, **until}) == [("/faults/0/until", "missing")]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = rejected({}, {"status": 500, "exception": True}, {"exit_worker": True, "id": "f0"})
    assert [code for _path, code in found] == ["contradiction", "duplicate_id", "missing"]


@pytest.mark.parametrize(
    "route",
    [*sorted(QUIET_ROUTES), "/config", "/config/status", "/config/history", "/config/{anything}", "/static/{filename}"],
)
def test_a_fault_that_can_never_happen_is_rejected(route: str) -> None:
    assert rejected({}, {"route": route, "until": FUTURE}) == [("/faults/1/route", "spared")]


@pytest.mark.parametrize("route", ["/", "/nowhere", "/livezz", "/configuration", "/a/livez", "/delay/{seconds}"])
def test_a_fault_on_any_other_route_is_accepted_whether_there_is_one_or_not(route: str) -> None:
    assert rejected({"route": route, "until": "2020-01-01T00:00:00Z"}) == []


@pytest.mark.parametrize("key", MOST)
def test_what_is_above_a_bound_is_rejected(key: str) -> None:
    assert rejected({key: MOST[key]}) == []
    assert rejected({key: MOST[key] + 1}) == [(f"/faults/0/{key}", "less_than_equal")]


@pytest.mark.parametrize("key", CATALOGUE)
def test_the_schema_tells_bounds_and_signals_of_each_kind(key: str) -> None:
    told = documents.schema()["$defs"]["FaultRule"]["properties"][key]
    assert told["x-must-react"] == list(CATALOGUE[key].must_react)
    assert all(name in told["description"] for name in CATALOGUE[key].must_react)
    (bound,) = [each.get("maximum") for each in told.get("anyOf", [told]) if each["type"] != "null"]
    assert bound == MOST.get(key)


def test_the_schema_describes_every_key_of_a_rule() -> None:
    properties = documents.schema()["$defs"]["FaultRule"]["properties"]
    assert [key for key, told in properties.items() if not told.get("description")] == []


@given(
    st.fixed_dictionaries({}, optional={key: st.sampled_from([SOME[key], NONE[key]]) for key in SOME}), st.booleans()
)
def test_no_rule_that_is_accepted_crashes_for_ever_or_does_nothing(keys: dict[str, Any], ends: bool) -> None:
    try:
        accepted = rule(**keys, until=FUTURE if ends else None)
    except DocumentRejected:
        return
    assert accepted.kind
    assert sum(bool(getattr(accepted, key)) for key in ENDINGS) <= 1
    assert accepted.until or not accepted.exit_worker

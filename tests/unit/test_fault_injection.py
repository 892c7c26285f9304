"""Faults injected on purpose: which requests they meet, what they do, when they end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any

import pytest

from hola.errors import FaultInjected
from hola.faults.effects import Ballast, Crash
from hola.faults.injection import FaultInjection
from hola.live_config.document import parse
from hola.live_config.fault_rules import FaultRule
from hola.telemetry.metrics import Metrics
from hola.telemetry.request import FAULT_ID, ROUTE, TRACE_ID, Environ, StartResponse
from tests.unit.conftest import Lines, call

CALLS = 400
EFFECTS: list[dict[str, Any]] = [
    {"delay_ms": 50},
    {"allocate_mib": 1},
    {"cpu_ms": 50},
    {"log_lines": 1},
    {"status": 500},
    {"exception": True},
    {"exit_worker": True},
]


class Injected:
    """The middleware around an application that always says hello, on the route that the path names, or `named`."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.rules: tuple[FaultRule, ...] = ()
        self.environ: Environ = {}
        self.named: dict[str, str] = {}  # by path, where the route is another
        self.ballast, self.has_turn = Ballast(), False
        self.middleware = FaultInjection(
            self.hello, metrics, self.rules_of, self.route, ballast=self.ballast, crash=Crash(lambda: self.has_turn)
        )

    def configure(self, *rules: dict[str, Any]) -> None:
        self.rules = parse(
            json.dumps({"faults": [{"id": f"f{n}", **rule} for n, rule in enumerate(rules)]}).encode()
        ).faults

    def call(self, path: str = "/") -> str:
        def remember(environ: Environ, start: StartResponse) -> Iterable[bytes]:
            self.environ = environ
            return self.middleware(environ, start)

        status, _headers, self.body = call(remember, path, **{TRACE_ID: "abc"})
        return status

    def hello(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [])
        return [b"hello"]

    def rules_of(self, environ: Environ) -> tuple[FaultRule, ...]:
        return self.rules

    def route(self, environ: Environ) -> str:
        path = str(environ["PATH_INFO"])
        return self.named.get(path, path)

    def counted(self, fault_id: str) -> float:
        return self.metrics.faults.labels(fault_id)._value.get()  # type: ignore[no-any-return]


@pytest.fixture
def injected(metrics: Metrics) -> Injected:
    return Injected(metrics)


def test_without_rules_every_request_passes(injected: Injected) -> None:
    assert (injected.call(), FAULT_ID in injected.environ) == ("200 OK", False)


def test_without_rules_a_request_costs_one_question(injected: Injected) -> None:
    """No clock, no route, no dice: the whole path of a request past the middleware is these calls."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if "call" in event:
            called.append(frame.f_code.co_name if event == "call" else argument.__name__)

    environ: Environ = {"PATH_INFO": "/"}
    sys.setprofile(note)
    try:
        injected.middleware(environ, lambda *_: len)
    finally:
        sys.setprofile(None)
    assert called == ["__call__", "rules_of", "hello", "<lambda>", "setprofile"]


def test_a_status_is_answered_in_the_applications_place_and_named_counted_and_explained(injected: Injected) -> None:
    injected.configure({"route": "/", "status": 503})
    assert injected.call() == "503 Injected fault"
    assert (injected.environ[FAULT_ID], injected.environ[ROUTE]) == ("f0", "/")
    problem = json.loads(injected.body)
    assert (problem["status"], problem["trace_id"], "f0" in problem["detail"]) == (503, "abc", True)
    assert injected.counted("f0") == 1


def test_a_delay_comes_before_the_applications_answer(injected: Injected) -> None:
    injected.configure({"route": "/", "delay_ms": 50})
    started = time.monotonic()
    assert (injected.call(), injected.body) == ("200 OK", b"hello")
    assert 0.05 <= time.monotonic() - started < 0.5


def test_an_exception_leaves_the_middleware_and_is_named_and_counted(injected: Injected) -> None:
    injected.configure({"route": "/", "exception": True})
    with pytest.raises(FaultInjected, match="f0"):
        injected.call()
    assert (injected.environ[FAULT_ID], injected.environ[ROUTE], injected.counted("f0")) == ("f0", "/", 1)


def test_cpu_memory_lines_and_a_status_can_be_had_together(injected: Injected, lines: Lines) -> None:
    injected.configure({"route": "/", "cpu_ms": 30, "allocate_mib": 2, "log_lines": 3, "status": 502})
    started = time.thread_time()
    assert injected.call() == "502 Injected fault"
    assert time.thread_time() - started >= 0.03
    assert injected.ballast.held_mib == 2
    told = [(line["level"], line["fault_id"], line["number"], line["of"]) for line in lines.events("line_injected")]
    assert told == [("warning", "f0", number, 3) for number in (1, 2, 3)]


def test_a_crash_that_has_no_turn_is_no_fault(injected: Injected) -> None:
    injected.configure({"route": "/", "exit_worker": True, "until": "2999-01-01T00:00:00Z"})
    assert (injected.call(), FAULT_ID in injected.environ, injected.counted("f0")) == ("200 OK", False, 0)


def test_a_fault_meets_its_route_only(injected: Injected) -> None:
    injected.configure({"route": "/a", "status": 500}, {"route": "/b", "status": 502})
    assert [injected.call(path)[:3] for path in ("/", "/a", "/b", "/ab")] == ["200", "500", "502", "200"]


def test_a_fault_meets_about_its_share_of_the_requests(injected: Injected) -> None:
    injected.configure({"route": "/", "status": 500, "percent": 25})
    hits = sum(injected.call().startswith("500") for _ in range(CALLS))
    assert 0.14 < hits / CALLS < 0.36  # five standard deviations: once in a million runs
    assert injected.counted("f0") == hits


def test_a_share_of_nothing_meets_none_and_of_everything_all(injected: Injected) -> None:
    for percent, status in ((0, "200"), (100, "500")):
        injected.configure({"route": "/", "status": 500, "percent": percent})
        assert {injected.call()[:3] for _ in range(CALLS)} == {status}


@pytest.mark.parametrize(("until", "status"), [("2000-01-01T00:00:00Z", "200"), ("2999-01-01T00:00:00Z", "500")])
def test_a_fault_ends_by_itself(injected: Injected, until: str, status: str) -> None:
    injected.configure({"route": "/", "status": 500, "until": until})
    assert injected.call()[:3] == status


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: next(iter(effect)))
@pytest.mark.parametrize("unmet", [{"percent": 0}, {"until": "2000-01-01T00:00:00Z"}, {"route": "/elsewhere"}])
def test_what_is_not_met_has_no_effect(
    injected: Injected, lines: Lines, effect: dict[str, Any], unmet: dict[str, Any]
) -> None:
    injected.has_turn = True
    injected.configure({"route": "/", "until": "2999-01-01T00:00:00Z", **effect, **unmet})
    assert {injected.call() for _ in range(20)} == {"200 OK"}
    assert (lines.names, injected.ballast.held_mib, injected.counted("f0")) == ([], 0, 0)


def test_a_fault_meets_its_route_however_the_path_is_written(injected: Injected) -> None:
    """What the application is reached by counts, so that nobody gets around a fault, or into one, by a slash."""
    injected.named = {"//a": "/a", "/config": "/b"}
    injected.configure({"route": "/a", "status": 500}, {"route": "/b", "status": 502})
    assert [injected.call(path)[:3] for path in ("//a", "/config", "//b")] == ["500", "502", "200"]

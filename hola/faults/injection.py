"""Faults injected on purpose, from the live document: what proves that alerts and dashboards see.

Inside the request's telemetry, so that an injected fault looks from outside like a real one. It
meets requests by the route that they match, however their paths are written. Which routes no rule
may name is the business of what validates the rules.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

import orjson

from hola.errors import FaultInjected
from hola.faults.effects import Allocation, Ballast, Crash, burn, write_lines
from hola.telemetry.metrics import Metrics
from hola.telemetry.request import FAULT_ID, ROUTE, TRACE_ID, Application, Environ, StartResponse


class FaultRule(Allocation, Protocol):
    """What the live document says of one fault."""

    @property
    def route(self) -> str: ...
    @property
    def percent(self) -> float: ...
    @property
    def delay_ms(self) -> int: ...
    @property
    def cpu_ms(self) -> int: ...
    @property
    def log_lines(self) -> int: ...
    @property
    def status(self) -> int | None: ...
    @property
    def exception(self) -> bool: ...
    @property
    def exit_worker(self) -> bool: ...


class FaultInjection:
    """WSGI middleware. Thread-safe.

    Args:
        rules: the faults of the document bound to a request's environment.
        route: the template of a request's route, known before the application runs.
    """

    def __init__(
        self,
        app: Application,
        metrics: Metrics,
        rules: Callable[[Environ], Iterable[FaultRule]],
        route: Callable[[Environ], str],
        *,
        ballast: Ballast,
        crash: Crash,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._rules = rules
        self._route = route
        self._ballast = ballast
        self._crash = crash

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        rules = self._rules(environ)
        rule = self._choose(environ, rules) if rules else None
        if rule is None:
            return self._app(environ, start_response)
        environ[FAULT_ID], environ[ROUTE] = rule.id, rule.route
        self._metrics.faults.labels(rule.id).inc()
        self._inflict(rule)
        if rule.status is None:
            return self._app(environ, start_response)
        return _answer(rule, environ, start_response)

    def _choose(self, environ: Environ, rules: Iterable[FaultRule]) -> FaultRule | None:
        route, now = self._route(environ), datetime.now(UTC)
        for rule in rules:
            is_met = rule.route == route and not rule.is_over(now) and random.uniform(0, 100) < rule.percent  # noqa: S311 - a share, no secret
            if is_met and (not rule.exit_worker or self._crash.is_due()):
                return rule
        return None

    def _inflict(self, rule: FaultRule) -> None:
        """What the rule does before it lets the request go on, if it does."""
        time.sleep(rule.delay_ms / 1000)
        if rule.allocate_mib:
            self._ballast.add(rule.id, rule.allocate_mib)
        if rule.cpu_ms:
            burn(rule.cpu_ms)
        if rule.log_lines:
            write_lines(rule.id, rule.log_lines)
        if rule.exit_worker:
            self._crash.happen(rule.id)
        if rule.exception:
            raise FaultInjected(f"the live document asks for this: fault {rule.id}")


def _answer(rule: FaultRule, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    problem = {
        "type": "about:blank",
        "title": "Injected fault",
        "status": rule.status,
        "detail": f"the live document asks for this: fault {rule.id}",
        "trace_id": environ[TRACE_ID],
    }
    body = orjson.dumps(problem)
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(f"{rule.status} Injected fault", headers)
    return [body]

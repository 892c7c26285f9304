"""The two objectives of the service, their recording rules, and how fast a budget may burn.

Multi-window, multi-burn-rate alerts over 30 days: https://sre.google/workbook/alerting-on-slos/
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import Any

Rule = dict[str, Any]

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
JOB = 'job="hola"'
# Probes and scrapes are no users: /readyz answers 503 by design while a pod boots or drains.
USERS = f'{JOB}, route!~"/livez|/healthz|/readyz|/metrics"'
# /delay and /stream take as long as their caller asks them to.
TIMED = f'{JOB}, route!~"/livez|/healthz|/readyz|/metrics|/delay/.*|/stream/.*"'
SLOW_SECONDS = "0.25"  # a bucket's bound, spelt as the exposition spells it


@dataclass(frozen=True)
class Objective:
    """What share of the requests may be `bad` over 30 days: the budget."""

    slo: str
    bad: str  # as in the recorded names namespace_job:http_request_<bad>:…
    total: str
    budget: float

    def rate(self, window: str) -> str:
        return f"namespace_job:http_request_{self.bad}:rate{window}"

    def ratio(self, window: str) -> str:
        return f"namespace_job:http_request_{self.bad}:ratio_rate{window}"


AVAILABILITY = Objective("availability", "errors", "namespace_job:http_requests:rate5m", 0.001)
LATENCY = Objective("latency", "slow", "namespace_job:http_requests_timed:rate5m", 0.01)
OBJECTIVES = (AVAILABILITY, LATENCY)


@dataclass(frozen=True)
class Burn:
    """So many times the allowed rate, in a long window and, so that the alert ends soon, still in a short one."""

    factor: float
    short: str
    long: str
    long_seconds: int


PAGE = (Burn(14.4, "5m", "1h", 3600), Burn(6, "30m", "6h", 21600))
TICKET = (Burn(3, "2h", "1d", 86400), Burn(1, "6h", "3d", 259200))
# Without much traffic one bad request is a large share. So few of them wake nobody, whatever share they are.
FEWEST_BAD = 10


def burning(objective: Objective, burns: tuple[Burn, ...]) -> str:
    """The condition: one of the burns."""
    cases = []
    for burn in burns:
        limit = f"{burn.factor:g} * {objective.budget:g}"
        conditions = (
            f"{objective.ratio(burn.short)} > {limit}",
            f"{objective.ratio(burn.long)} > {limit}",
            f"{objective.rate(burn.long)} * {burn.long_seconds} > {FEWEST_BAD - 0.5:g}",
        )
        cases.append("(\n  " + "\n  and\n  ".join(conditions) + "\n)\n")
    return "or\n".join(cases)


def recordings() -> list[Rule]:
    """Rates and shares of every window, by namespace and job."""
    rules = [
        _rule("namespace_job:http_requests:rate5m", _sum("http_requests_total", USERS, "5m") + _OR_ZERO),
        _rule(
            "namespace_job:http_requests_timed:rate5m",
            _sum("http_request_duration_seconds_count", TIMED, "5m") + _OR_ZERO,
        ),
    ]
    for window in WINDOWS:
        rules += _errors(window) + _slow(window)
    return rules


def budgets() -> list[Rule]:
    """The shares of 30 days, weighted by traffic; from the recorded rates, since the raw ones would be too many."""
    return [
        _rule(
            objective.ratio("30d"),
            f"avg_over_time({objective.rate('5m')}[30d])\n/\n(avg_over_time({objective.total}[30d]) > 0)\n",
        )
        for objective in OBJECTIVES
    ]


# A service without any request has a rate, too: none.
_OR_ZERO = f"or\n0 * sum by (namespace, job) (up{{{JOB}}})\n"


def _errors(window: str) -> list[Rule]:
    failed = _sum("http_requests_total", f'{USERS}, status=~"5.."', window)
    total = _sum("http_requests_total", USERS, window)
    return [
        _rule(AVAILABILITY.rate(window), failed + _OR_ZERO),
        _rule(AVAILABILITY.ratio(window), f"{AVAILABILITY.rate(window)}\n/\n(\n{indent(total, '  ')}  > 0\n)\n"),
    ]


def _slow(window: str) -> list[Rule]:
    timed = _sum("http_request_duration_seconds_count", TIMED, window)
    fast = _sum("http_request_duration_seconds_bucket", f'{TIMED}, le="{SLOW_SECONDS}"', window)
    slow = f"clamp_min(\n{indent(timed, '  ')}  -\n{indent(fast, '  ').rstrip()},\n  0\n)\n"
    return [
        _rule(LATENCY.rate(window), slow + _OR_ZERO),
        _rule(LATENCY.ratio(window), f"{LATENCY.rate(window)}\n/\n(\n{indent(timed, '  ')}  > 0\n)\n"),
    ]


def _sum(metric: str, matchers: str, window: str) -> str:
    return f"sum by (namespace, job) (rate(\n  {metric}{{\n    {matchers}\n  }}[{window}]\n))\n"


def _rule(name: str, expression: str) -> Rule:
    return {"record": name, "expr": expression}

"""hola: service. What its users get: rates, errors and durations, and what is left of the budgets."""

from __future__ import annotations

from dashboards.source.objectives import AVAILABILITY, LATENCY, PAGE, SLOW_SECONDS, TICKET, Objective
from dashboards.source.panels import GREEN, ORANGE, RED, Json, dashboard, stat, table, timeseries


def _quantile(share: float, by: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le{by}) (rate(http_request_duration_seconds_bucket{{CHOSEN}}[RATE])))"


def _burn_rates(objective: Objective, bad: str) -> Json:
    windows = [window for burn in (*PAGE, *TICKET) for window in (burn.short, burn.long)]
    return timeseries(
        f"Burn rate: {objective.slo}",
        f"How many times faster than allowed the budget of {bad} burns, by window. 1 uses it up in exactly 30 days;"
        f" {PAGE[0].factor:g} over {PAGE[0].short} and {PAGE[0].long}, or {PAGE[1].factor:g} over {PAGE[1].short} and"
        f" {PAGE[1].long}, page; {TICKET[0].factor:g} over {TICKET[0].short} and {TICKET[0].long}, or"
        f" {TICKET[1].factor:g} over {TICKET[1].short} and {TICKET[1].long}, are a ticket.",
        "none",
        {
            f"{window} {{{{job}}}} {{{{namespace}}}}": f"{objective.ratio(window)}{{SERVICE}} / {objective.budget:g}"
            for window in dict.fromkeys(windows)
        },
        width=12,
        threshold=PAGE[0].factor,
    )


def _left(objective: Objective, bad: str) -> Json:
    return stat(
        f"Budget left: {objective.slo}",
        f"Of the {objective.budget:.1%} of requests that may be {bad} in 30 days. Below zero the objective is missed.",
        "percentunit",
        {"{{job}} {{namespace}}": f"1 - {objective.ratio('30d')}{{SERVICE}} / {objective.budget:g}"},
        steps={0.0: ORANGE, 0.25: GREEN},
        below=RED,
        decimals=1,
    )


def _now(objective: Objective, bad: str) -> Json:
    return stat(
        f"{bad.capitalize()} in the last hour",
        f"Share of the requests; {objective.budget:.1%} is allowed over 30 days.",
        "percentunit",
        {"{{job}} {{namespace}}": f"{objective.ratio('1h')}{{SERVICE}}"},
        steps={objective.budget: ORANGE, PAGE[0].factor * objective.budget: RED},
        decimals=2,
    )


_SLOW = f"slower than {SLOW_SECONDS} s"

BOARD = dashboard(
    "service",
    "What the users of hola get: requests, errors, durations, objectives and their budgets.",
    {
        "Objectives": [
            stat(
                "Requests a second",
                "Over all routes, probes and scrapes included.",
                "reqps",
                {"requests": "sum(rate(http_requests_total{CHOSEN}[RATE]))"},
            ),
            _left(AVAILABILITY, "answered with 5xx"),
            _left(LATENCY, _SLOW),
            _now(AVAILABILITY, "errors"),
            _now(LATENCY, "slow answers"),
            stat(
                "Instances up",
                "Instances that answer scrapes.",
                "short",
                {"up": "sum(up{CHOSEN})"},
                steps={1: GREEN},
                below=RED,
            ),
            _burn_rates(AVAILABILITY, "errors"),
            _burn_rates(LATENCY, "slow answers"),
        ],
        "Requests": [
            timeseries(
                "Request rate by route",
                "Requests a second, by route template. Unknown paths are the route unmatched.",
                "reqps",
                {"{{route}}": "sum by (route) (rate(http_requests_total{CHOSEN}[RATE]))"},
                stacked=True,
            ),
            timeseries(
                "Error ratio by route",
                "Share of answers that are 5xx. A route without a line had none. Probes that answer 503 while a pod"
                " boots or drains show as /readyz.",
                "percentunit",
                {
                    "{{route}}": """
                        sum by (route) (rate(http_requests_total{CHOSEN, status=~"5.."}[RATE]))
                        / (sum by (route) (rate(http_requests_total{CHOSEN}[RATE])) > 0)
                    """
                },
                maximum=1,
            ),
            timeseries(
                "Duration p95 by route",
                "95 % of the route's requests took no longer than this, first line read to last byte written."
                " The dots are single requests: each leads to its trace.",
                "s",
                {"{{route}}": _quantile(0.95, ", route")},
                exemplars=True,
            ),
            timeseries(
                "Request rate by status",
                "Requests a second, by status code.",
                "reqps",
                {"{{status}}": "sum by (status) (rate(http_requests_total{CHOSEN}[RATE]))"},
                stacked=True,
            ),
            timeseries(
                "Duration of all routes",
                "Median, 95th and 99th percentile of all routes."
                " The dots are single requests: each leads to its trace.",
                "s",
                {f"p{share * 100:g}": _quantile(share) for share in (0.5, 0.95, 0.99)},
                exemplars=True,
            ),
            timeseries(
                "Request rate by instance",
                "Requests a second, by instance. A pod that drains or is not ready falls to its probes.",
                "reqps",
                {"{{instance}}": "sum by (instance) (rate(http_requests_total{CHOSEN}[RATE]))"},
            ),
        ],
        "Refused and injected": [
            timeseries(
                "Requests refused",
                "Requests a second that were refused before the application saw them, by reason.",
                "reqps",
                {"{{reason}}": "sum by (reason) (rate(http_requests_rejected_total{CHOSEN}[RATE]))"},
            ),
            timeseries(
                "Clients given up on",
                "Clients a second that were closed while they sent nothing, a head or a body too slowly.",
                "cps",
                {"{{kind}}": "sum by (kind) (rate(hola_slow_clients_total{CHOSEN}[RATE]))"},
            ),
            timeseries(
                "Faults injected",
                "Requests a second that got a fault from the live document, by the fault's id. Somebody wanted these.",
                "reqps",
                {"{{id}}": "sum by (id) (rate(hola_faults_injected_total{CHOSEN}[RATE]))"},
            ),
            table(
                "Builds",
                "What runs where. Two versions at once are a rollout on its way.",
                {"build": "max by (instance, version, revision, python) (hola_build_info{CHOSEN})"},
            ),
        ],
    },
)

"""The fault catalogue: what a rule may ask for, within which bounds, and which signals must react to it.

`CATALOGUE` is the one place that names the signals. The schema, docs/runbook.md and the tests that
provoke each of them are held to it. What the kinds do is hola.faults' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from hola.errors import Fault
from hola.live_config.parts import Part, Percent, Until

MOST_MIB = 64  # of one request; what a worker may hold of it in total is bounded where it is held


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault, by the name that events have for it: metrics, events and alerts that must react to it."""

    name: str
    must_react: tuple[str, ...]


CATALOGUE = {
    "delay_ms": Kind("delay", ("http_request_duration_seconds", "HolaLatencyBudgetBurn")),
    "allocate_mib": Kind("memory", ("hola_worker_resident_memory_bytes",)),
    "cpu_ms": Kind("cpu", ("hola_worker_cpu_seconds_total", "HolaWorkersSaturated")),
    "log_lines": Kind("logs", ("hola_log_lines_total", "line_injected", "HolaLogLinesDropped")),
    "status": Kind("status", ("http_requests_total", "HolaErrorBudgetBurn")),
    "exception": Kind("exception", ("http_requests_total", "request_failed", "HolaErrorBudgetBurn")),
    "exit_worker": Kind(
        "crash", ("hola_worker_exits_total", "worker_exit_injected", "worker_exited", "HolaWorkersDying")
    ),
}
"""By the rule's key, in the order in which the effects of one rule come."""

SPARED = ("/livez", "/healthz", "/readyz", "/metrics", "/config")
SPARED_BELOW = ("/config/", "/static/")
"""Routes, and beginnings of routes, that no rule may name: a fault must not take away the means to see and end it."""

ENDINGS = ("status", "exception", "exit_worker")
"""How a request may end. It ends once."""


def _tell_signals(schema: dict[str, Any]) -> None:
    for key, kind in CATALOGUE.items():
        told = schema["properties"][key]
        told["description"] += f"; must react: {', '.join(kind.must_react)}"
        told["x-must-react"] = list(kind.must_react)


class FaultRule(Part):
    """A fault to inject on purpose.

    Of status, exception and exit_worker it asks for one at most; exit_worker needs an until. A rule that asks for
    nothing is a dry run: it only stamps and counts what it would meet. Probes, /metrics, /config* and /static are
    spared: no rule may name them.
    """

    model_config = ConfigDict(json_schema_extra=_tell_signals)

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = Field(
        description="its name on lines, spans and in hola_faults_injected_total"
    )
    route: Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]{0,199}$")] = Field(
        description="the route's template, e.g. /delay/{seconds}"
    )
    percent: Percent = Field(100.0, description="the share of the route's requests that it meets")
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = Field(0, description="wait before the answer")
    allocate_mib: Annotated[int, Field(ge=0, le=MOST_MIB)] = Field(
        0,
        description="memory that each request adds to its worker, up to 256 MiB a worker and never the machine's"
        " last 512; given back when the rule ends or leaves the document",
    )
    cpu_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(0, description="CPU time to burn before the answer")
    log_lines: Annotated[int, Field(ge=0, le=1000)] = Field(0, description="lines to log at level warning")
    status: Annotated[int, Field(ge=400, le=599)] | None = Field(None, description="answer this instead")
    exception: bool = Field(False, description="raise what nobody catches: 500, with its stack in the log")
    exit_worker: bool = Field(
        False,
        description="the worker dies of SIGKILL, and its requests with it; one worker of the pod at a time, the next"
        " when the one before is replaced",
    )
    until: Until | None = Field(None, description="RFC 3339; then it ends by itself")

    @property
    def kind(self) -> str:
        """Its kinds by name, as one word: `delay`, or `delay+status`; `dry_run` for none."""
        return "+".join(kind.name for key, kind in CATALOGUE.items() if getattr(self, key)) or "dry_run"

    def is_over(self, now: datetime) -> bool:
        """True from `until` on."""
        return self.until is not None and now >= self.until


def wrong(rules: Iterable[FaultRule]) -> Iterator[Fault]:
    """What is wrong with rules that are each well formed."""
    seen: set[str] = set()
    for index, rule in enumerate(rules):
        path = f"/faults/{index}"
        if rule.id in seen:
            yield Fault(f"{path}/id", "duplicate_id", "another fault has the same id")
        seen.add(rule.id)
        if rule.route in SPARED or rule.route.startswith(SPARED_BELOW):
            yield Fault(
                f"{path}/route", "spared", "no fault meets probes, /metrics, /config* and /static; name another"
            )
        first, *others = [key for key in ENDINGS if getattr(rule, key)] or [""]
        for other in others:
            yield Fault(f"{path}/{other}", "contradiction", f"a request ends in one way only: by this or by {first}")
        if rule.exit_worker and rule.until is None:
            yield Fault(f"{path}/until", "missing", "exit_worker needs a time at which it ends by itself")

"""Liveness and readiness, and nothing that asks another system."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request
from typing_extensions import TypedDict

from hola.readiness import Check, Readiness
from hola.views.problems import problem


class Alive(TypedDict):
    status: str


class Ready(TypedDict):
    status: str
    checks: list[dict[str, Any]]


class Probes:
    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def livez(self) -> Alive:
        """Liveness: 200 while the process can answer."""
        return {"status": "alive"}

    def readyz(self) -> Ready | Response:
        """Readiness: 200 or 503 with named checks and reasons; `?verbose` lists all of them."""
        checks = self._readiness.checks()
        failed = [check for check in checks if not check.ok]
        shown = [asdict(check) for check in _shown(checks, failed, "verbose" in request.args)]
        if failed:
            return problem(503, "; ".join(check.detail for check in failed), checks=shown)
        return {"status": "ready", "checks": shown}


def _shown(checks: Any, failed: list[Check], is_verbose: bool) -> list[Check]:
    return list(checks) if is_verbose else failed


def blueprint(readiness: Readiness) -> Blueprint:
    views = Probes(readiness)
    routes = Blueprint("probes", __name__)
    routes.add_url_rule("/livez", view_func=views.livez)
    routes.add_url_rule("/healthz", "healthz", view_func=views.livez)
    routes.add_url_rule("/readyz", view_func=views.readyz)
    return routes

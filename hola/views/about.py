"""Who answers and how: the page and its JSON, the version, the caller's own headers."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from typing_extensions import TypedDict

from hola import __version__
from hola.scoreboard import EXIT_REASONS
from hola.settings import Settings
from hola.telemetry import redaction
from hola.views.config import ConfigViews, bound_snapshot
from hola.views.token import Token
from hola.views.twelve_factors import FACTORS


class Version(TypedDict):
    """What was built, when, and what it runs on."""

    service: str
    version: str
    commit: str
    build_time: str
    python: str
    gunicorn: str


class About(TypedDict):
    """Who answered, and the document in force."""

    service: str
    version: str
    commit: str
    environment: str
    pod: str
    namespace: str
    node: str
    slot: int
    pid: int
    revision: str
    generation: int
    greeting: str
    headers: dict[str, str]


class Headers(TypedDict):
    """The request's headers as hola got them, credentials masked."""

    client: str
    scheme: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Process:
    """The worker that answers."""

    slot: int
    pid: int
    gunicorn: str


class AboutViews:
    def __init__(self, settings: Settings, process: Process, config: ConfigViews, token: Token) -> None:
        self._settings = settings
        self._process = process
        self._config = config
        self._token = token

    def index(self) -> About | Response:
        """Who answers and how: a live page for a browser, JSON for everybody else."""
        about = self._about()
        best = request.accept_mimetypes.best_match(["application/json", "text/html"])
        response = self._page(about) if best == "text/html" else jsonify(about)
        response.headers["Vary"] = "Accept"
        return response

    def version(self) -> Version:
        """Version, commit, build time, Python and gunicorn."""
        return {
            "service": "hola",
            "version": __version__,
            "commit": self._settings.commit,
            "build_time": self._settings.build_time,
            "python": platform.python_version(),
            "gunicorn": self._process.gunicorn,
        }

    def headers(self) -> Headers | Response:
        """The request's headers as they arrived here, credentials masked. Needs the bearer token if the pod has one."""
        if not self._token.admits():
            return self._token.refusal()
        return {"client": request.remote_addr or "", "scheme": request.scheme, "headers": _shown_headers()}

    def _about(self) -> About:
        snapshot, settings = bound_snapshot(), self._settings
        greeting = snapshot.document.greeting
        return {
            "service": "hola",
            "version": __version__,
            "commit": settings.commit,
            "environment": settings.environment,
            "pod": settings.pod_name,
            "namespace": settings.pod_namespace,
            "node": settings.node_name,
            "slot": self._process.slot,
            "pid": self._process.pid,
            "revision": snapshot.revision,
            "generation": snapshot.generation,
            "greeting": greeting.upper() if snapshot.document.features.shout else greeting,
            "headers": _shown_headers(),
        }

    def _page(self, about: About) -> Response:
        history = self._config.describe_history() if self._token.admits() else self._token.refusal().get_json()
        page = render_template(
            "index.html",
            about=about,
            config=self._config.describe_config(),
            exit_reasons=EXIT_REASONS,
            factors=FACTORS,
            faults=_faults_in_force(),
            status=self._config.describe_status(),
            history=history,
            metrics_port=self._settings.metrics_port,
        )
        return Response(page, content_type="text/html; charset=utf-8")


def blueprint(views: AboutViews) -> Blueprint:
    routes = Blueprint("about", __name__)
    routes.add_url_rule("/", view_func=views.index)
    routes.add_url_rule("/version", view_func=views.version)
    routes.add_url_rule("/headers", view_func=views.headers)
    return routes


def _shown_headers() -> dict[str, str]:
    shown = redaction.tree(dict(request.headers.items()))
    return {str(name): str(value) for name, value in shown.items()}


def _faults_in_force() -> list[dict[str, Any]]:
    faults, now = bound_snapshot().document.faults, datetime.now(UTC)
    return [fault.model_dump(mode="json") for fault in faults if fault.until is None or now < fault.until]

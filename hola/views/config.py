"""The live configuration, seen: what is in force, how far it got, what became of the changes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request
from typing_extensions import TypedDict

from hola.errors import Unavailable
from hola.live_config import document as documents
from hola.live_config import history
from hola.live_config.store import Snapshot
from hola.readiness import Readiness
from hola.scoreboard import STATES, Row, Scoreboard
from hola.views.token import Token

SNAPSHOT = "hola.snapshot"  # where the request's environment holds the document bound to it


class Config(TypedDict):
    """The effective document, each key with where it comes from."""

    revision: str
    generation: int
    origin: str
    document: dict[str, Any]
    sources: dict[str, str]


class Source(TypedDict):
    up: bool
    age_seconds: float | None


class Rejection(TypedDict):
    revision: str
    at: str
    errors: list[dict[str, str]]


class Worker(TypedDict):
    """One worker slot as the scoreboard has it."""

    slot: int
    pid: int
    state: str
    generation: int
    revision: str | None
    current: bool
    threads: int
    threads_busy: int
    connections: int
    resident_memory_bytes: int
    cpu_seconds: float
    started_at: str


class ConfigStatus(TypedDict):
    """What every worker of this pod runs."""

    pod: str
    ready: bool
    draining: bool
    generation: int
    revision: str | None
    origin: str | None
    applied_at: str | None
    source: Source
    rejection: Rejection | None
    held: str | None
    restart_required: int
    workers: list[Worker]


class History(TypedDict):
    """The last 20 transitions, newest first."""

    transitions: list[dict[str, Any]]


def bound_snapshot() -> Snapshot:
    """The document bound to the current request.

    Raises:
        Unavailable: the pod has no document yet.
    """
    snapshot: Snapshot = request.environ[SNAPSHOT]
    if snapshot.generation == 0:
        raise Unavailable("no configuration yet: waiting for a valid config.json")
    return snapshot


class ConfigViews:
    def __init__(self, board: Scoreboard, readiness: Readiness, pod: str, token: Token) -> None:
        self._board = board
        self._readiness = readiness
        self._pod = pod
        self._token = token

    def config(self) -> Config | Response:
        """The effective live document, with each key's source; the ETag is its revision."""
        response = jsonify(self.describe_config())
        response.set_etag(bound_snapshot().revision)
        response.make_conditional(request)
        return response

    def config_status(self) -> ConfigStatus:
        """Generation, revision, last rejection, and what each worker runs."""
        return self.describe_status()

    def config_history(self) -> History | Response:
        """The last 20 transitions. Needs the bearer token if the pod has one."""
        return self.describe_history() if self._token.admits() else self._token.refusal()

    def describe_config(self) -> Config:
        snapshot = bound_snapshot()
        return {
            "revision": snapshot.revision,
            "generation": snapshot.generation,
            "origin": snapshot.origin,
            "document": documents.shown(snapshot.document),
            "sources": documents.sources(snapshot.document),
        }

    def describe_status(self) -> ConfigStatus:
        pod, snapshot = self._board.pod, request.environ[SNAPSHOT]
        has_document = snapshot.generation > 0
        return {
            "pod": self._pod,
            "ready": self._readiness.is_ready(),
            "draining": bool(pod.draining),
            "generation": snapshot.generation,
            "revision": snapshot.revision if has_document else None,
            "origin": snapshot.origin if has_document else None,
            "applied_at": _time(pod.applied_at) if has_document else None,
            "source": {"up": bool(pod.source_up), "age_seconds": _age(pod.source_read_at)},
            "rejection": history.last_rejection(self._board),  # type: ignore[typeddict-item]  # the journal's entry
            "held": f"{pod.held:012x}" if pod.held else None,
            "restart_required": pod.restart_required,
            "workers": [  # one that is about to be forked is none yet: who signals pid 0 signals the shell's own group
                _worker(slot, row, pod.generation) for slot, row in self._board.workers if row.pid
            ],
        }

    def describe_history(self) -> History:
        return {"transitions": history.transitions(self._board)}


def blueprint(views: ConfigViews) -> Blueprint:
    routes = Blueprint("config", __name__)
    routes.add_url_rule("/config", view_func=views.config)
    routes.add_url_rule("/config/status", view_func=views.config_status)
    routes.add_url_rule("/config/history", view_func=views.config_history)
    return routes


def _worker(slot: int, row: Row, generation: int) -> Worker:
    return {
        "slot": slot,
        "pid": row.pid,
        "state": STATES[row.state],
        "generation": row.generation,
        "revision": f"{row.revision:012x}" if row.generation else None,
        "current": row.generation == generation,
        "threads": row.threads,
        "threads_busy": row.threads_busy,
        "connections": row.connections,
        "resident_memory_bytes": row.resident_bytes,
        "cpu_seconds": round(row.cpu_seconds, 3),
        "started_at": _time(row.started_at),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _age(since: float) -> float | None:
    return round(max(time.time() - since, 0.0), 3) if since else None

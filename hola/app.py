"""The composition root: what a worker is made of, in reading order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gunicorn
from flask import Flask

from hola import __version__, turn
from hola.aws.bucket import bucket_look
from hola.aws.identity import identity_look, publish
from hola.faults.effects import Ballast, Crash
from hola.faults.injection import FaultInjection
from hola.live_config.document import Static
from hola.live_config.fault_rules import FaultRule
from hola.live_config.knobs import Knobs
from hola.live_config.last_good import LastGood
from hola.live_config.secrets import Secrets
from hola.live_config.source import Source
from hola.live_config.store import Facts, Hooks, LiveConfig, Snapshot
from hola.live_config.watcher import Watcher
from hola.readiness import Readiness
from hola.scoreboard import Place
from hola.settings import Settings
from hola.telemetry import traces
from hola.telemetry.metrics import BoardCollector, Exposition, Metrics
from hola.telemetry.request import Application, Environ, RequestTelemetry, StartResponse
from hola.telemetry.traces import Tracing
from hola.views import about, aws, config, encoding, exposition, openapi, probes, problems, routing, tools
from hola.views.token import Token

TRANSITION_KEYS = ("revision", "previous", "running", "generation", "origin", "changed", "percent")
FAULT_ATTRIBUTES = {"revision": "hola.config.revision", "fault_id": "hola.fault.id", "kind": "hola.fault.kind"}


class Hola:
    """The WSGI application of one worker, with what must be ended when the worker ends."""

    def __init__(self, flask: Flask, wsgi: Application, watcher: Watcher, tracing: Tracing, metrics: Metrics) -> None:
        self.flask = flask
        self._wsgi = wsgi
        self._watcher = watcher
        self._tracing = tracing
        self.metrics = metrics

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self._wsgi(environ, start_response)

    def nudge(self) -> None:
        """Look at the live configuration now. Safe in a signal handler."""
        self._watcher.nudge()

    def count_rejected(self, reason: str) -> None:
        """Count a request that never reached the application."""
        self.metrics.rejected.labels(reason).inc()

    def close(self, flush_seconds: float = traces.FLUSH_SECONDS) -> float:
        """End the watcher and send the last spans; return the seconds that the flush took."""
        self._watcher.close()
        return self._tracing.close(flush_seconds)


def create_app(settings: Settings, place: Place) -> Hola:
    """Compose a worker. Call it after the fork: it starts threads and opens files."""
    # telemetry
    knobs = Knobs(settings.default_sample_ratio, is_exporting=settings.traces_endpoint is not None)
    tracing = traces.make(settings, knobs.sample_ratio, place.row)
    metrics = Metrics(place.metrics_dir, place.slot, place.row)

    # live configuration
    hooks = Hooks(adopted=knobs.apply, converged=metrics.apply_duration.observe, told=_span_maker(tracing))
    facts = Facts(settings.pod_name, Static(workers=settings.workers, threads=settings.threads))
    live = LiveConfig(
        place.board, place.row, Source(settings.config_dir), LastGood(settings.state_dir), hooks=hooks, facts=facts
    )
    secrets = Secrets(place.board, Source(settings.secrets_dir), lambda: live.current().document.secrets_grace_seconds)
    live.boot()
    secrets.look()
    ballast = Ballast()
    watcher = Watcher(
        [settings.config_dir, settings.secrets_dir],
        settings.config_poll_seconds,
        settings.config_watch == "auto",
        looks=[live.look, secrets.look],
        settles=[live.settle, lambda: _settle(live.current(), knobs, ballast), metrics.settle],
    )
    watcher.start()

    # views
    flask = _flask(settings, place, live, secrets)

    # middleware, from the inside out
    wsgi: Application = flask.wsgi_app
    crash = Crash(lambda: turn.take(place.board, place.slot))
    wsgi = FaultInjection(wsgi, metrics, _fault_rules, routing.route_finder(flask), ballast=ballast, crash=crash)
    wsgi = RequestTelemetry(wsgi, tracing, metrics, _binder(live), place.row)
    return Hola(flask, wsgi, watcher, tracing, metrics)


def _flask(settings: Settings, place: Place, live: LiveConfig, secrets: Secrets) -> Flask:
    app = Flask("hola.views")
    app.json = encoding.FastJSON(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    readiness = Readiness(place.board)
    board_figures = BoardCollector(place.board, __version__, settings.commit, lambda: _in_force(live), secrets.ages)
    config_views = config.ConfigViews(place.board, readiness, settings.pod_name, Token(secrets))
    process = about.Process(place.slot, os.getpid(), gunicorn.__version__)
    app.register_blueprint(about.blueprint(about.AboutViews(settings, process, config_views, Token(secrets))))
    app.register_blueprint(probes.blueprint(readiness))
    app.register_blueprint(aws.blueprint(_aws_views(settings, place, Token(secrets))))
    app.register_blueprint(config.blueprint(config_views))
    app.register_blueprint(exposition.blueprint(Exposition(place.metrics_dir, [board_figures], place.board, place.row)))
    app.register_blueprint(tools.blueprint())
    app.register_blueprint(openapi.blueprint(app))
    problems.register(app)
    routing.register(app, settings.metrics_port)
    return app


def _span_maker(tracing: Tracing) -> Callable[[Mapping[str, Any]], dict[str, str]]:
    """Transitions of the live configuration as spans beside those of requests, which carry the revision too."""

    def tell(entry: Mapping[str, Any]) -> dict[str, str]:
        if entry["event"] == "config_applied" and not entry["previous"]:
            return {}  # the first document of a pod is its boot, and no change
        names = FAULT_ATTRIBUTES if "fault_id" in entry else {key: f"hola.config.{key}" for key in TRANSITION_KEYS}
        attributes = {name: entry[key] for key, name in names.items() if entry.get(key) is not None}
        return tracing.record(str(entry["event"]), attributes)

    return tell


def _aws_views(settings: Settings, place: Place, token: Token) -> aws.AwsViews:
    identity = identity_look(settings.expected_role_arn, publish(place.board.pod))
    bucket = bucket_look(settings.bucket, "", aws.FIRST_OBJECTS) if settings.bucket else None
    return aws.AwsViews(identity, bucket, token)


def _binder(live: LiveConfig) -> Callable[[Environ], str]:
    def bind(environ: Environ) -> str:
        snapshot = environ[config.SNAPSHOT] = live.current()
        return snapshot.revision

    return bind


def _fault_rules(environ: Environ) -> tuple[FaultRule, ...]:
    rules: tuple[FaultRule, ...] = environ[config.SNAPSHOT].document.faults
    return rules


def _settle(snapshot: Snapshot, knobs: Knobs, ballast: Ballast) -> None:
    """What a document's values with an end ask for, now."""
    knobs.apply(snapshot)
    ballast.keep(snapshot.document.faults)


def _in_force(live: LiveConfig) -> tuple[str, str]:
    snapshot = live.current()
    return (snapshot.revision, snapshot.origin) if snapshot.generation else ("0", "none")

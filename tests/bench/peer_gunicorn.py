"""The hook that prometheus-flask-exporter asks of gunicorn, and the one that bare Flask has, too."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

from prometheus_flask_exporter.multiprocess import GunicornInternalPrometheusMetrics

from tests.bench.bare_gunicorn import post_worker_init as post_worker_init  # noqa: PLC0414 - gunicorn looks for it here


def child_exit(server: Any, worker: Any) -> None:
    GunicornInternalPrometheusMetrics.mark_process_dead_on_child_exit(worker.pid)

"""`/metrics`: all workers' numbers, whichever worker answers."""

from __future__ import annotations

from flask import Blueprint, Response, request

from hola.telemetry.metrics import Exposition


class Metrics:
    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    def metrics(self) -> Response:
        """Prometheus text, or OpenMetrics when `Accept` asks for it."""
        body, content_type = self._exposition.render(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)


def blueprint(exposition: Exposition) -> Blueprint:
    routes = Blueprint("exposition", __name__)
    routes.add_url_rule("/metrics", view_func=Metrics(exposition).metrics)
    return routes

"""What stands in front of every view: the route's template, the two ports, limits, security headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, abort, request
from werkzeug.exceptions import HTTPException

from hola.telemetry.request import ROUTE, UNMATCHED, Application, Environ, StartResponse
from hola.views import body

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_METRICS_PORT_PREFIXES = ("/metrics", "/config", "/livez", "/healthz", "/readyz")
_COMMON = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
]
_HEADERS = [*_COMMON, ("Content-Security-Policy", "default-src 'none'")]
_PAGE_HEADERS = [*_COMMON, ("Content-Security-Policy", PAGE_POLICY)]


def template(rule: str) -> str:
    """Flask's `/delay/<seconds>` as the field writes it: `/delay/{seconds}`."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


def register(app: Flask, metrics_port: int | None) -> None:
    """Put the guards in front of every view of `app`, and its headers on every answer."""
    app.url_map.merge_slashes = False  # else `/config//history` is a redirect in HTML, and no problem
    templates = {rule.rule: template(rule.rule) for rule in app.url_map.iter_rules()}
    check_port = _port_guard(str(metrics_port)) if metrics_port is not None else None

    def guard() -> None:
        """One function, since Flask's way to each costs as much as what most of them do."""
        environ, rule = request.environ, request.url_rule
        if rule is not None:
            environ[ROUTE] = templates[rule.rule]
        environ["wsgi.input"] = body.Body(environ["wsgi.input"])
        _check_host(environ)
        if environ.get("CONTENT_LENGTH"):
            _check_length()
        if check_port is not None:
            check_port(environ)

    app.before_request(guard)
    app.wsgi_app = secured(app.wsgi_app)  # type: ignore[method-assign,assignment]  # Flask's way to put middleware there


def route_finder(app: Flask) -> Callable[[Environ], str]:
    """Return a function that names a request's route before the application runs."""

    def find(environ: Environ) -> str:
        try:
            rule, _arguments = app.url_map.bind_to_environ(environ).match(return_rule=True)
        except HTTPException:
            return UNMATCHED
        return template(rule.rule)

    return find


def _check_host(environ: Environ) -> None:
    """RFC 9112 section 3.2: a request of HTTP/1.1 without Host is answered with 400."""
    if not environ.get("HTTP_HOST") and environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        abort(400, "the request has no Host header")


def _check_length() -> None:
    limit: int = request.max_content_length or 0
    if (request.content_length or 0) > limit:
        abort(413, f"the body may have at most {limit} bytes")


def _port_guard(metrics_port: str) -> Callable[[Environ], None]:
    def guard(environ: Environ) -> None:
        """By the route that matched: `//metrics` reaches it, too. The path counts only where no view would run."""
        route, on_metrics_port = environ.get(ROUTE) or environ["PATH_INFO"], environ["SERVER_PORT"] == metrics_port
        if on_metrics_port and not route.startswith(_METRICS_PORT_PREFIXES):
            abort(404, "this port serves metrics, probes and configuration")
        if not on_metrics_port and route == "/metrics":
            abort(404, f"metrics are served on port {metrics_port}")

    return guard


def secured(app: Application) -> Application:
    """WSGI middleware: the headers that every answer has, unless a view says otherwise."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, headers + _missing(headers), *exc_info)

        return app(environ, start)

    return answer


def _missing(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    is_page = any(name == "Content-Type" and value.startswith("text/html") for name, value in headers)
    given = {name for name, _value in headers}
    return [pair for pair in (_PAGE_HEADERS if is_page else _HEADERS) if pair[0] not in given]

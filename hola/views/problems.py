"""Errors as `application/problem+json` (RFC 9457), translated once, here."""

from __future__ import annotations

from http.client import responses as phrases
from typing import Any, NotRequired

import orjson
from flask import Flask, Response, request
from typing_extensions import TypedDict
from werkzeug.exceptions import HTTPException

from hola.errors import HolaError, Unavailable
from hola.telemetry.request import ERROR, TRACE_ID

MEDIA_TYPE = "application/problem+json"


class Problem(TypedDict):
    """What every error body holds (RFC 9457), with the trace to look for."""

    type: str
    title: str
    status: int
    instance: str
    trace_id: str
    detail: NotRequired[str]
    code: NotRequired[str]
    errors: NotRequired[list[dict[str, str]]]
    checks: NotRequired[list[dict[str, Any]]]


def problem(status: int, detail: str = "", headers: dict[str, str] | None = None, **more: Any) -> Response:
    """An error response for the current request."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": phrases.get(status, "Error"),
        "status": status,
        "instance": request.path,
        "trace_id": request.environ.get(TRACE_ID, ""),
    }
    body |= ({"detail": detail} if detail else {}) | more
    return Response(orjson.dumps(body), status, headers or {}, content_type=MEDIA_TYPE)


def register(app: Flask) -> None:
    """Answer every error of `app` with a problem."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Unavailable, _unavailable)
    app.register_error_handler(HolaError, _unexpected)
    app.register_error_handler(Exception, _unexpected)


def _http(error: HTTPException) -> Response:
    kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After", "Location")}
    if error.response is not None:  # redirects and the like carry their own answer
        return error.response  # type: ignore[return-value]  # werkzeug types it as the sans-io response
    return problem(error.code or 500, error.description or "", kept)


def _unavailable(error: Unavailable) -> Response:
    return problem(503, str(error), {"Retry-After": "1"}, code=error.code)


def _unexpected(error: Exception) -> Response:
    request.environ[ERROR] = error  # the request's telemetry logs it, once
    return problem(500, "the trace_id finds the line that says why")

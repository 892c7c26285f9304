"""What a person testing a mesh, an ingress or an alert needs: statuses, delays, echoes, streams."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from http.client import responses as phrases

import orjson
from flask import Blueprint, Response, abort, jsonify, request
from typing_extensions import TypedDict

from hola.views.problems import problem

MOST_DELAY_SECONDS = 60.0
MOST_LINES = 1000
MOST_PAUSE_SECONDS = 1.0


class Status(TypedDict):
    status: int
    title: str


class Delay(TypedDict):
    delay_seconds: float


class Echo(TypedDict):
    """The body as it arrived."""

    content_type: str
    bytes: int
    body: str


def status(code: int) -> Status | Response:
    """Answer with this status, 200 to 599."""
    if not 200 <= code <= 599:
        abort(400, "the status must lie between 200 and 599")
    title = phrases.get(code, "Unassigned")
    if code >= 400:
        return problem(code, f"{title}, as asked for")
    response = jsonify({"status": code, "title": title})
    response.status_code = code
    return response


def delay(seconds: str) -> Delay:
    """Answer after so many seconds, at most 60."""
    time.sleep(wait := _number(seconds, MOST_DELAY_SECONDS))
    return {"delay_seconds": wait}


def echo() -> Echo:
    """Give back the body that was sent, as text."""
    data = request.get_data()
    return {
        "content_type": request.content_type or "",
        "bytes": len(data),
        "body": data.decode("utf-8", "replace"),
    }


def stream(lines: int) -> Response:
    """So many lines of JSON, at most 1000, chunk by chunk; `?pause_seconds=` (at most 1) between them."""
    if lines > MOST_LINES:
        abort(400, f"at most {MOST_LINES} lines")
    pause = _number(request.args.get("pause_seconds", "0"), MOST_PAUSE_SECONDS)
    return Response(_lines(lines, pause), content_type="application/x-ndjson")


def blueprint() -> Blueprint:
    routes = Blueprint("tools", __name__)
    routes.add_url_rule("/status/<int:code>", view_func=status)
    routes.add_url_rule("/delay/<seconds>", view_func=delay)
    routes.add_url_rule("/echo", view_func=echo, methods=["POST"])
    routes.add_url_rule("/stream/<int:lines>", view_func=stream)
    return routes


def _lines(number: int, pause: float) -> Iterator[bytes]:
    for line in range(1, number + 1):
        if pause and line > 1:
            time.sleep(pause)
        yield orjson.dumps({"line": line, "of": number}) + b"\n"


def _number(text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        abort(400, f"{text[:40]!r} is not a number of seconds")
    if not math.isfinite(number) or not 0 <= number <= most:
        abort(400, f"the seconds must lie between 0 and {most:g}")
    return number

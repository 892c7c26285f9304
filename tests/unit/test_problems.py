"""Errors as application/problem+json: one shape, the right status, nothing of the inside."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response, abort, redirect, request
from werkzeug.test import Client

from hola.errors import HolaError, LockTimeout, Unavailable
from hola.telemetry.request import ERROR, TRACE_ID
from hola.views import problems

Seen = list[object]


def failing_with(error: Exception) -> Any:
    def view() -> None:
        raise error

    return view


@pytest.fixture
def seen() -> Seen:
    """What the request's telemetry would find in the environment."""
    return []


@pytest.fixture
def client(seen: Seen) -> Client:
    def look(response: Response) -> Response:
        seen.append(request.environ.get(ERROR))
        return response

    app = Flask(__name__)
    app.add_url_rule("/teapot", "teapot", lambda: abort(418, "short and stout"))
    app.add_url_rule("/moved", "moved", lambda: redirect("/teapot"))
    app.add_url_rule("/unavailable", "unavailable", failing_with(Unavailable("no document yet")))
    for error in (ValueError("S3NT1NEL"), HolaError("S3NT1NEL"), BrokenPipeError(32, "S3NT1NEL")):
        app.add_url_rule(f"/{type(error).__name__}", type(error).__name__, failing_with(error))
    problems.register(app)
    app.after_request(look)
    return Client(app)


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/teapot", 418), ("/unavailable", 503), ("/ValueError", 500)]
)
def test_every_error_has_the_same_shape(client: Client, path: str, status: int) -> None:
    answer = client.get(path, environ_overrides={TRACE_ID: "abc"})
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.json is not None
    assert answer.json.items() >= {"type": "about:blank", "status": status, "instance": path, "trace_id": "abc"}.items()
    assert answer.json["title"]
    assert answer.json["detail"]


def test_a_wrong_method_names_the_right_ones(client: Client) -> None:
    answer = client.post("/teapot")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_what_is_not_ready_yet_says_when_to_come_again(client: Client) -> None:
    answer = client.get("/unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert answer.json is not None
    assert (answer.json["code"], answer.json["detail"]) == ("unavailable", "no document yet")


def test_a_redirect_is_no_error(client: Client) -> None:
    answer = client.get("/moved")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/teapot")


@pytest.mark.parametrize("name", ["ValueError", "HolaError", "BrokenPipeError"])
def test_an_unexpected_exception_is_left_to_the_telemetry_and_not_shown(client: Client, seen: Seen, name: str) -> None:
    answer = client.get(f"/{name}")
    assert answer.status_code == 500
    assert [type(error).__name__ for error in seen] == [name]
    assert b"S3NT1NEL" not in answer.data


def test_the_head_of_an_error_has_no_body(client: Client) -> None:
    answer = client.head("/nowhere")
    assert (answer.status_code, answer.data) == (404, b"")


def test_every_error_of_hola_has_a_code_for_machines() -> None:
    codes = [kind.code for kind in (HolaError, Unavailable, LockTimeout)]
    assert len(set(codes)) == len(codes)

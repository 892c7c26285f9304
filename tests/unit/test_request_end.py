"""How a request may end other than well: an exception before or in the body, a client that left; and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.trace import get_current_span
from structlog.contextvars import bind_contextvars, get_contextvars

from hola.scoreboard import Scoreboard
from hola.telemetry.logs import request_fields
from hola.telemetry.metrics import Metrics
from hola.telemetry.request import ERROR, ROUTE, TRACE_ID, Application, Environ, StartResponse
from tests.unit.conftest import Lines, call
from tests.unit.observed import Observed, hello


@pytest.fixture
def observed(metrics: Metrics, board: Scoreboard, lines: Lines) -> Observed:
    return Observed(metrics, board, lines)


def failing(error: Exception) -> Application:
    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        environ[ROUTE] = "/hello/{name}"
        raise error

    return app


@pytest.mark.parametrize("error", [ValueError("token=S3NT1NEL"), OSError(32, "Broken pipe"), BrokenPipeError()])
def test_an_exception_is_a_500_and_told_once(observed: Observed, error: Exception) -> None:
    """An OSError that left the application would pass in gunicorn for a client that is gone."""
    status, headers, body = call(observed.around(failing(error)))
    assert status == "500 Internal Server Error"
    assert headers["Content-Type"] == "application/problem+json"
    assert observed.line["trace_id"].encode() in body
    (failed,) = observed.lines.events("request_failed")
    assert failed["error"].startswith(type(error).__name__)
    assert failed["stack"][-1].endswith(" app")
    assert (failed["route"], failed["trace_id"]) == ("/hello/{name}", observed.line["trace_id"])
    assert (observed.line["status"], observed.line["level"]) == (500, "warning")
    assert observed.attributes["error.type"] == type(error).__name__
    assert observed.span.status.code == Status.STATUS_CODE_ERROR
    assert observed.observations["http_requests_total GET /hello/{name} 500"] == 1
    assert observed.row.in_progress == 0
    assert "S3NT1NEL" not in body.decode() + str(observed.lines.raw)


def test_an_error_that_was_answered_inside_is_told_once_too(observed: Observed) -> None:
    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        environ[ERROR] = KeyError("k")
        start("500 INTERNAL SERVER ERROR", [])
        return [b"problem"]

    assert call(observed.around(app))[2] == b"problem"
    assert observed.lines.names == ["request_failed", "request_finished"]


def test_a_5xx_without_an_exception_is_a_warning_and_an_erroneous_span(observed: Observed) -> None:
    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        start("503 Service Unavailable", [])
        return []

    call(observed.around(app))
    assert (observed.line["level"], observed.lines.names) == ("warning", ["request_finished"])
    assert observed.attributes["error.type"] == "503"


class Streamed:
    """A body that notes its `close`, as an application would to give a resource back."""

    def __init__(self, chunks: Iterable[bytes], error: Exception | None = None) -> None:
        self._chunks, self._error, self.closed = chunks, error, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._error:
            raise self._error

    def close(self) -> None:
        self.closed += 1

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [])
        return self


def test_a_stream_ends_with_its_last_byte_and_not_before(observed: Observed) -> None:
    app = Streamed([b"a", b"bc"])
    body = observed.around(app)(_environ(), _start)
    assert [*body] == [b"a", b"bc"]
    assert (observed.lines.names, observed.row.in_progress) == ([], 1)
    body.close()  # type: ignore[attr-defined]  # PEP 3333: if the iterable has it
    assert (observed.line["bytes_sent"], app.closed, observed.row.in_progress) == (3, 1, 0)


def test_a_client_that_left_shows_as_aborted(observed: Observed) -> None:
    app = Streamed([b"a", b"bc"])
    body = observed.around(app)(_environ(), _start)
    assert next(iter(body)) == b"a"
    body.close()  # type: ignore[attr-defined]
    body.close()  # type: ignore[attr-defined]  # a second one must not count again
    assert (observed.line["aborted"], observed.line["bytes_sent"], observed.line["status"]) == (True, 1, 200)
    assert (app.closed, observed.row.in_progress) == (1, 0)
    assert sum(value for name, value in observed.observations.items() if "total" in name) == 1


def test_an_exception_in_the_body_is_told_and_is_not_the_clients_doing(observed: Observed) -> None:
    app = Streamed([b"a"], ValueError("in the middle"))
    with pytest.raises(ValueError, match="in the middle"):
        call(observed.around(app))
    assert observed.lines.names == ["request_failed", "request_finished"]
    assert "aborted" not in observed.line
    assert (app.closed, observed.row.in_progress) == (1, 0)


def test_nothing_of_a_request_is_left_for_the_next_of_its_thread(observed: Observed) -> None:
    seen: list[tuple[object, object]] = []

    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        seen.append((get_contextvars().get("user"), request_fields.get()["trace_id"] == environ[TRACE_ID]))
        bind_contextvars(user="alice")
        return hello(environ, start)

    _left_open = observed.around(app)(_environ(), _start)
    for _ in range(2):
        call(observed.around(app))
        assert (get_contextvars(), request_fields.get()) == ({}, {})
        assert not get_current_span().get_span_context().is_valid
    assert seen == [(None, True)] * 3


def _environ() -> Environ:
    environ: Environ = {}
    setup_testing_defaults(environ)
    return environ


def _start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
    return lambda data: None

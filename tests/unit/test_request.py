"""One request: one line, one span, one observation, one trace id, all of the same."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hola.scoreboard import Scoreboard
from hola.telemetry.handover import queue_seconds
from hola.telemetry.logs import LOGS
from hola.telemetry.metrics import Metrics
from hola.telemetry.request import FAULT_ID, ROUTE, Environ, StartResponse
from tests.unit.conftest import Lines, call
from tests.unit.observed import Observed, hello

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def observed(metrics: Metrics, board: Scoreboard, lines: Lines) -> Observed:
    return Observed(metrics, board, lines)


def test_line_span_and_metrics_tell_of_the_same_request(observed: Observed) -> None:
    token = queue_seconds.set(0.25)
    status, headers, body = call(
        observed.around(hello), "/hello/x", HTTP_TRACEPARENT=f"00-{TRACE}-00f067aa0ba902b7-00", HTTP_USER_AGENT="t/1"
    )
    queue_seconds.reset(token)
    assert (status, body) == ("200 OK", b"hello world")
    assert (headers["X-Trace-Id"], headers["X-Config-Revision"]) == (TRACE, "5eed5eed5eed")
    line, span = observed.line, observed.span
    assert (
        line.items()
        >= {
            "level": "info",
            "method": "GET",
            "route": "/hello/{name}",
            "path": "/hello/x",
            "status": 200,
            "bytes_sent": 11,
            "queue_seconds": 0.25,
            "client": "192.0.2.1",
            "user_agent": "t/1",
            "trace_id": TRACE,
            "config_revision": "5eed5eed5eed",
        }.items()
    )
    assert {"aborted", "fault_id"}.isdisjoint(line)
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE, line["span_id"])
    assert span.name == "GET /hello/{name}"
    assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 == pytest.approx(
        line["duration_seconds"], abs=1e-5
    )
    assert observed.observations == {
        "http_requests_total GET /hello/{name} 200": 1,
        "http_request_duration_seconds_count GET /hello/{name}": 1,
        "hola_request_queue_seconds_count": 1,
    }
    assert observed.row.in_progress == 0


def test_the_span_has_the_conventions_attributes_and_no_query(observed: Observed) -> None:
    call(observed.around(hello), "/hello/x", QUERY_STRING="token=S3NT1NEL", HTTP_HOST="hola.test:5000")
    attributes = observed.attributes
    assert attributes == {
        "http.request.method": "GET",
        "url.path": "/hello/x",
        "url.scheme": "http",
        "http.route": "/hello/{name}",
        "http.response.status_code": 200,
        "server.address": "hola.test",
        "client.address": "192.0.2.1",
        "user_agent.original": "",
        "hola.config.revision": "5eed5eed5eed",
    }
    assert b"S3NT1NEL" not in observed.lines.raw[0]


def test_an_unknown_route_and_method_add_no_names_of_their_own(observed: Observed) -> None:
    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        start("404 Not Found", [])
        return []

    call(observed.around(app), "/random/4711", REQUEST_METHOD="BREW")
    assert observed.span.name == "HTTP"
    assert observed.attributes["http.request.method"] == "_OTHER"
    assert observed.attributes["http.request.method_original"] == "BREW"
    assert "http.route" not in observed.attributes
    assert "http_requests_total other unmatched 404" in observed.observations
    assert (observed.line["route"], observed.line["method"]) == ("unmatched", "BREW")


def test_an_unknown_method_on_a_known_route_is_named_with_the_route(observed: Observed) -> None:
    call(observed.around(hello), "/hello/x", REQUEST_METHOD="BREW")
    assert observed.span.name == "HTTP /hello/{name}"


@pytest.mark.parametrize(
    ("sent", "shown"), [(b"/caf\xc3\xa9", "/café"), (b"/caf\xe9", "/caf\N{REPLACEMENT CHARACTER}")]
)
def test_a_path_is_told_as_its_client_meant_it(observed: Observed, sent: bytes, shown: str) -> None:
    call(observed.around(hello), sent.decode("latin-1"))
    assert (observed.line["path"], observed.attributes["url.path"]) == (shown, shown)


def test_probes_and_scrapes_are_told_at_debug_only(observed: Observed) -> None:
    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        environ[ROUTE] = environ["PATH_INFO"]
        start(environ["status"], [])
        return []

    for path in ("/livez", "/healthz", "/readyz", "/metrics"):
        call(observed.around(app), path, status="200 OK")
    assert observed.lines.names == []
    LOGS.set_level("debug")
    call(observed.around(app), "/livez", status="200 OK")
    call(observed.around(app), "/readyz", status="503 Service Unavailable")
    assert [line["level"] for line in observed.lines.parsed] == ["debug", "warning"]


def test_an_injected_fault_is_named_on_line_and_span(observed: Observed) -> None:
    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        environ[FAULT_ID] = "slow-home"
        return hello(environ, start)

    call(observed.around(app))
    assert observed.line["fault_id"] == "slow-home"
    assert observed.attributes["hola.fault.id"] == "slow-home"


def test_a_request_that_is_not_sampled_has_a_trace_id_and_a_line_all_the_same(observed: Observed) -> None:
    observed.ratio = 0.0
    headers = call(observed.around(hello))[1]
    assert observed.spans.found == []
    assert len(headers["X-Trace-Id"]) == 32
    assert observed.line["trace_id"] == headers["X-Trace-Id"]


def test_with_the_sdk_disabled_requests_still_have_ids(
    metrics: Metrics, board: Scoreboard, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    observed = Observed(metrics, board, lines)
    headers = call(observed.around(hello))[1]
    assert int(headers["X-Trace-Id"], 16)
    assert observed.line["trace_id"] == headers["X-Trace-Id"]

"""What stands in front of every view: the route's template, the two ports, limits, security headers."""

from __future__ import annotations

import pytest
from flask import Flask, request
from werkzeug.test import Client, TestResponse

from hola.telemetry.request import ROUTE, UNMATCHED
from hola.views import problems, routing
from hola.views.routing import PAGE_POLICY, route_finder, template


def make_app(metrics_port: int | None = None) -> Flask:
    """A small application with hola's guards, whose views say which route they were reached by."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 10
    for path in ("/", "/delay/<seconds>", "/metrics", "/livez", "/readyz", "/healthz", "/config", "/config/status"):
        app.add_url_rule(path, path, lambda **arguments: {"route": request.environ[ROUTE]})
    app.add_url_rule("/unread", "unread", lambda: "", methods=["POST"])
    app.add_url_rule("/page", "page", lambda: "<p>")
    app.add_url_rule("/echo", "echo", lambda: bytes(request.get_data()), methods=["POST"])
    problems.register(app)
    routing.register(app, metrics_port)
    return app


def make(metrics_port: int | None = None) -> Client:
    return Client(make_app(metrics_port))


def get(client: Client, path: str, port: int = 5000) -> TestResponse:
    return client.get(path, base_url=f"http://pod:{port}")


@pytest.mark.parametrize(
    ("rule", "shown"),
    [("/", "/"), ("/status/<int:code>", "/status/{code}"), ("/a/<x>/b/<path:y>", "/a/{x}/b/{y}")],
)
def test_templates_are_written_as_the_field_writes_them(rule: str, shown: str) -> None:
    assert template(rule) == shown


def test_a_view_is_reached_by_its_named_route() -> None:
    assert get(make(), "/delay/3").json == {"route": "/delay/{seconds}"}


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/delay/3", "/delay/{seconds}"),
        ("HEAD", "/", "/"),
        ("POST", "/echo", "/echo"),
        ("GET", "/echo", UNMATCHED),
        ("GET", "/nowhere", UNMATCHED),
        ("GET", "/delay/", UNMATCHED),
        ("GET", "//livez", "/livez"),
        ("GET", "/config//status", UNMATCHED),
    ],
)
def test_the_route_is_known_before_the_application_runs(method: str, path: str, route: str) -> None:
    app = make_app()
    with app.test_request_context(method=method, environ_overrides={"PATH_INFO": path}) as context:
        assert route_finder(app)(context.request.environ) == route


def test_one_port_serves_everything() -> None:
    assert {get(make(), path).status_code for path in ("/", "/metrics", "/config", "/livez")} == {200}


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/healthz", "/config", "/config/status", "/"])
def test_with_a_metrics_port_metrics_are_there_alone_and_the_probes_on_both(path: str) -> None:
    client = make(metrics_port=9000)
    assert get(client, path, port=5000).status_code == (404 if path == "/metrics" else 200)
    assert get(client, path, port=9000).status_code == (404 if path == "/" else 200)


@pytest.mark.parametrize("path", ["/livez", "/config/status", "/metrics", "/"])
@pytest.mark.parametrize("port", [5000, 9000])
def test_with_a_metrics_port_a_path_of_more_slashes_leads_no_further(path: str, port: int) -> None:
    client = make(metrics_port=9000)
    plain = get(client, path, port).status_code
    for slashes in ("/", "//"):
        answer = client.get(
            base_url=f"http://pod:{port}", environ_overrides={"PATH_INFO": slashes + path, "SERVER_PORT": str(port)}
        )
        assert answer.status_code == plain


@pytest.mark.parametrize("metrics_port", [None, 9000])
def test_a_path_with_an_empty_part_is_a_problem_and_no_redirect(metrics_port: int | None) -> None:
    answer = get(make(metrics_port), "/config//status")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/metrics", "/echo"])
def test_with_a_metrics_port_a_wrong_method_is_told_where_the_path_is_served(path: str) -> None:
    client, method = make(metrics_port=9000), "GET" if path == "/echo" else "POST"
    statuses = [client.open(path, method=method, base_url=f"http://pod:{port}").status_code for port in (5000, 9000)]
    assert statuses == ([404, 405] if path == "/metrics" else [405, 404])


def test_the_servers_port_counts_and_not_what_the_client_says() -> None:
    client = make(metrics_port=9000)
    answer = client.get(
        "/metrics", base_url="http://pod:5000", headers={"Host": "pod:9000", "X-Forwarded-Port": "9000"}
    )
    assert answer.status_code == 404


@pytest.mark.parametrize(("protocol", "status"), [("HTTP/1.1", 400), ("HTTP/1.0", 200)])
def test_a_request_of_http_1_1_needs_a_host(protocol: str, status: int) -> None:
    answer = make().get("/", environ_overrides={"SERVER_PROTOCOL": protocol, "HTTP_HOST": ""})
    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/echo", "/unread"])
@pytest.mark.parametrize(("size", "status"), [(10, 200), (11, 413)])
def test_a_body_above_the_limit_is_refused_whether_it_would_be_read_or_not(path: str, size: int, status: int) -> None:
    answer = make().post(path, data=b"x" * size, headers={"Host": "pod"})
    assert answer.status_code == status
    assert status == 200 or answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/page", "/nowhere"])
def test_every_answer_has_the_security_headers(path: str) -> None:
    headers = get(make(), path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == (PAGE_POLICY if path == "/page" else "default-src 'none'")


def test_the_page_may_run_its_own_scripts_and_nobody_elses() -> None:
    directives = dict(part.strip().split(" ", 1) for part in PAGE_POLICY.split(";"))
    assert (directives["default-src"], directives["script-src"], directives["frame-ancestors"]) == (
        "'none'",
        "'self'",
        "'none'",
    )
    assert "unsafe" not in PAGE_POLICY

"""The service as it stands: its routes, its errors, its headers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support import Service, free_port


def test_home_names_version_slot_and_revision(service: Service) -> None:
    """README: `make run`, then `curl localhost:5000/`."""
    about = service.get("/").json()
    assert about["service"] == "hola"
    assert about["slot"] in range(4)
    assert about["pod"] == "hola-test"
    assert about["revision"] == service.get("/config").json()["revision"]
    assert about["greeting"] == "Hola!"


def test_home_is_a_page_for_a_browser(service: Service) -> None:
    """A strict policy: nothing inline, nothing from elsewhere."""
    answer = service.get("/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"<table" in answer.body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert b" style=" not in answer.body


@pytest.mark.parametrize("path", ["/", "/nowhere", "/status/503", "/livez", "/metrics", "/config/history"])
def test_every_answer_carries_trace_and_revision(service: Service, path: str) -> None:
    headers = service.get(path).headers
    assert len(headers["X-Trace-Id"]) == 32
    assert len(headers["X-Config-Revision"]) == 12


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nowhere", "GET", 404),
        ("/echo", "GET", 405),
        ("/", "BREW", 405),
        ("/status/418", "GET", 418),
        ("/status/99", "GET", 400),
        ("/status/503", "GET", 503),
        ("/delay/nan", "GET", 400),
        ("/delay/61", "GET", 400),
        ("/delay/-1", "GET", 400),
        ("/stream/1001", "GET", 400),
        ("/config//history", "GET", 404),
    ],
)
def test_every_error_is_a_problem_with_its_trace(service: Service, path: str, method: str, status: int) -> None:
    answer = service.get(path, method)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["trace_id"] == answer.headers["X-Trace-Id"]


def test_a_body_above_the_limit_is_refused(service: Service) -> None:
    """Row B23: said by the length, or found out while reading."""
    assert service.get("/echo", "POST", b"x" * 1_048_577).status == 413
    assert service.get("/echo", "POST", b"hello", Content_Type="text/plain").json()["body"] == "hello"


def test_stream_comes_in_chunks(service: Service) -> None:
    answer = service.get("/stream/3")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert [line[:9] for line in answer.body.splitlines()] == [b'{"line":1', b'{"line":2', b'{"line":3']


def test_headers_are_shown_without_credentials(service: Service) -> None:
    shown = service.get("/headers", Authorization="Bearer S3NT1NEL", Cookie="id=S3NT1NEL", X_Plain="seen")
    assert b"S3NT1NEL" not in shown.body
    assert shown.json()["headers"]["X-Plain"] == "seen"


def test_config_answers_304_while_the_revision_stands(service: Service) -> None:
    etag = service.get("/config").headers["ETag"]
    assert service.get("/config", If_None_Match=etag).status == 304


def test_readyz_lists_all_checks_when_asked(service: Service) -> None:
    names = [check["name"] for check in service.get("/readyz?verbose").json()["checks"]]
    assert names == ["workers", "document", "draining"]


def test_a_request_without_host_is_refused(service: Service) -> None:
    """Row B21: the parser lets it pass, RFC 9112 does not."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_smuggled_request_is_one_line_and_one_count(service: Service) -> None:
    """Rows B21 and C9: refused before the application, and seen all the same."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nS3NT1NEL")
        answer = client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    service.wait_for("request_rejected", status=400, client="127.0.0.1")
    assert len(service.events("request_rejected")) == 1
    assert service.total("http_requests_rejected_total") == 1
    assert b"S3NT1NEL" not in b"".join(service.raw)


def test_metrics_move_to_their_own_port(tmp_path: Path) -> None:
    """HOLA_METRICS_PORT: figures for the cluster, not for the world."""
    port = free_port()
    with Service(tmp_path, HOLA_METRICS_PORT=str(port)) as running:
        running.ready()
        assert {running.get(path).status for path in ("/metrics", "//metrics", "http://pod//metrics")} == {404}
        assert {running.get(path).status for path in ("/livez", "//livez", "http://pod//livez")} == {200}
        assert running.get("/readyz").status == 200
        page = running.get("/", Accept="text/html").body
        assert (b'href="metrics"' in page, f"metrics are served on port {port}.".encode() in page) == (False, True)
        running.port = port
        assert running.get("/metrics").status == 200
        assert running.get("/config").status == 200
        assert running.get("/readyz").status == 200
        assert running.get("/").status == 404

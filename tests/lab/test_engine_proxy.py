"""The proxy of compose.yaml before a real container engine: what Alloy may ask of it, and what nobody may."""

from __future__ import annotations

import http.client
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.conftest import require_part
from tests.lab.parts import Part
from tests.support import ROOT, eventually, free_port

CONTAINER = Path(__file__).with_name("container.sh")
IDLE_SECONDS = 10  # after which the engine's service ends by itself
ID = "0123456789ab" * 5 + "0123"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the proxy."""
    require_part("haproxy", bool(shutil.which("haproxy")))
    require_part("podman", bool(shutil.which("podman")))
    directory, port = tmp_path_factory.mktemp("engine"), free_port()
    socket = directory / "engine.sock"
    words = ["system", "service", "--time", str(IDLE_SECONDS), f"unix://{socket}"]
    engine = Part([str(CONTAINER), "engine", *words], directory / "engine.log")
    shipped = (ROOT / "compose/engine/haproxy.cfg").read_text()
    config = shipped.replace(":2375", f"127.0.0.1:{port}").replace("/var/run/docker.sock", str(socket))
    (directory / "haproxy.cfg").write_text(config)
    haproxy = Part(["haproxy", "-db", "-f", str(directory / "haproxy.cfg")], directory / "haproxy.log")
    try:
        eventually(lambda: _asked(port, "GET", "/_ping")[0] == 200, "the engine answers through the proxy", 30)
        yield port
    finally:
        haproxy.stop()
        engine.stop()
        print(engine.log.read_text(), haproxy.log.read_text())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_ping", 200),
        ("HEAD", "/_ping", 200),
        (
            "GET",
            "/v1.41/containers/json?filters=%7B%22label%22%3A%5B%22com.docker.compose.service%3Dhola%22%5D%7D",
            200,
        ),
        ("GET", "/v1.41/networks", 200),
        ("GET", f"/v1.41/containers/{ID}/json", 404),
        ("GET", f"/v1.41/containers/{ID}/logs?follow=1&stdout=1", 404),
    ],
)
def test_who_runs_and_what_they_said_may_be_asked(proxy: int, method: str, path: str, status: int) -> None:
    """What Alloy's client of the engine's API asks; the engine itself answers, 404 for one that does not run."""
    found, headers = _asked(proxy, method, path)
    assert found == status
    assert "api-version" in headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.41/containers/create"),
        ("POST", f"/v1.41/containers/{ID}/exec"),
        ("PUT", f"/v1.41/containers/{ID}/archive?path=/"),
        ("DELETE", f"/v1.41/containers/{ID}"),
        ("GET", f"/v1.41/containers/{ID}/archive?path=/etc"),
        ("GET", f"/v1.41/containers/{ID}/../{ID}/export"),
        ("GET", f"/v1.41/containers/{ID}%2farchive"),
        ("GET", "/v1.41/images/json"),
        ("GET", "/v1.41/events"),
        ("GET", "/v4.0.0/libpod/containers/json"),
        ("GET", "/"),
    ],
)
def test_nothing_else_passes_to_the_engine(proxy: int, method: str, path: str) -> None:
    """Whoever may start a container, or read the files of one, is root on the machine."""
    found, headers = _asked(proxy, method, path)
    assert found == 403
    assert "api-version" not in headers


def _asked(port: int, method: str, path: str) -> tuple[int, set[str]]:
    """The status and the names of the headers; 0 while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with suppress(ConnectionError):
        connection.request(method, path)
        answer = connection.getresponse()
        connection.close()
        return answer.status, {name.lower() for name, _ in answer.getheaders()}
    return 0, set()

"""What the pipeline says of the image's content: the list of it, and whether any of it is known to be vulnerable.

The real tools; the database of vulnerabilities is one of the test's own, since what is known changes by the hour.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import ROOT

PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))


def make(target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = ["make", target, *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def test_the_bill_of_materials_is_the_locked_requirements() -> None:
    """Every package with its version and its hashes, and nothing else; twice the same."""
    texts = []
    for _ in range(2):
        done = make("sbom")
        assert done.returncode == 0, done.stdout + done.stderr
        texts.append((ROOT / "build/sbom.json").read_text())
    document = json.loads(texts[0])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert {part["name"]: part["version"] for part in document["components"]} == PINS
    assert all(part["externalReferences"][0]["hashes"] for part in document["components"])
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("vulnerable", "code"), [("", 0), ("werkzeug", 2)], ids=["nothing-known", "something-known"])
def test_the_audit_fails_on_a_known_vulnerability(vulnerable: str, code: int) -> None:
    """Every package is looked up; make ends with 2 because the audit failed."""
    with database(vulnerable) as (url, asked):
        done = make("audit", ARGS=f"--osv-url {url}")
    assert done.returncode == code, done.stdout + done.stderr
    assert asked == PINS.keys()
    assert ("LAB-2026-1" in done.stdout) == bool(vulnerable)


def test_an_audit_that_cannot_look_up_is_none() -> None:
    """Nobody answers at that address, and that is a failure, not silence."""
    assert make("audit", ARGS="--osv-url http://127.0.0.1:9/v1/query").returncode == 2


@contextmanager
def database(vulnerable: str) -> Iterator[tuple[str, set[str]]]:
    """A server that speaks OSV's protocol; its address, and the names that it was asked for."""
    asked: set[str] = set()

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            package = query["package"]
            asked.add(package["name"])
            affected = [{"package": package, "versions": [query["version"]]}]
            entry = {"id": "LAB-2026-1", "summary": "made up", "modified": "2026-01-01T00:00:00Z", "affected": affected}
            body = json.dumps({"vulns": [entry]} if package["name"] == vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: what matters is who was asked for."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query", asked
        server.shutdown()

"""What `config push` tells and does, with a real Consul behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.lab.parts import KEY, Consul, document, ending, push, pushed

MASTER = "5ca1ab1e-0000-4000-8000-000000000001"
CONTROLLED = f'acl {{ enabled = true default_policy = "deny" tokens {{ master = "{MASTER}" }} }}'


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[Consul]:
    agent = Consul(tmp_path)
    with ending(agent):
        agent.start()
        yield agent


def test_a_push_tells_what_it_changed(consul: Consul) -> None:
    """contract: it prints old and new revision."""
    first, second = pushed(consul, "first"), pushed(consul, "second")
    assert (first["previous"], first["written"]) == (None, True)
    assert second == {
        "key": KEY,
        "previous": first["revision"],
        "revision": second["revision"],
        "changed": ["/greeting"],
        "written": True,
    }


def test_the_same_document_is_not_written_again(consul: Consul) -> None:
    """contract: unchanged content costs no write, wakes nobody and is no failure."""
    pushed(consul, "same")
    before = consul.entry()
    code, report = push(consul, document("same"))
    assert (code, report["written"], report["changed"], report["message"]) == (
        0,
        False,
        [],
        "this very document is there already",
    )
    assert consul.entry() == before


@pytest.mark.parametrize("greeting", [None, "first"], ids=["new", "there"])
def test_what_somebody_else_wrote_in_between_stays(consul: Consul, greeting: str | None) -> None:
    """contract: check-and-set, and nothing is tried again without being told to."""
    if greeting:
        pushed(consul, greeting)
    with meddling(consul) as node:
        code, report = push(consul, document("mine"), node=node)
    assert (code, report["written"]) == (1, False)
    assert report["error"].startswith("somebody else wrote hola/config.json in between")
    assert consul.ask("GET", f"kv/{KEY}?raw")[1].decode() == document("theirs")


def test_an_invalid_document_is_not_written(consul: Consul) -> None:
    """contract: exit 4 with every fault, and Consul was not touched."""
    pushed(consul, "good")
    before = consul.entry()
    code, report = push(consul, '{"greeting": 5, "nope": 1}')
    assert (code, report["written"]) == (4, False)
    assert [fault["path"] for fault in report["errors"]] == ["/greeting", "/nope"]
    assert consul.entry() == before


def test_a_document_may_fill_a_value_of_consul_and_no_more(consul: Consul) -> None:
    """Row 28: the largest value arrives whole, and the next one is refused with both numbers."""
    largest = document("largest").ljust(512 * 1024)
    assert push(consul, largest)[0] == 0
    assert consul.ask("GET", f"kv/{KEY}?raw") == (200, largest.encode())
    code, report = push(consul, largest + " ")
    assert (code, report["written"]) == (1, False)
    assert report["error"] == "the document has 524289 bytes, Consul takes at most 524288 in a value"


def test_a_token_opens_what_is_closed_and_is_never_shown(tmp_path: Path) -> None:
    """Row 25: Consul's access control refuses in one clear line; the token stays out of every line."""
    agent = Consul(tmp_path, CONTROLLED, MASTER)
    with ending(agent):
        agent.start()
        code, report = push(agent, document("closed"))
        assert (code, report["written"]) == (1, False)
        assert "CONSUL_HTTP_TOKEN is missing or may not do this (403)" in report["error"]
        wrong = push(agent, document("closed"), CONSUL_HTTP_TOKEN="00000000-0000-4000-8000-000000000002")
        assert (wrong[0], "0002" in str(wrong[1])) == (1, False)
        code, report = push(agent, document("open"), CONSUL_HTTP_TOKEN=MASTER)
        assert (code, report["written"], MASTER in str(report)) == (0, True, False)


@contextmanager
def meddling(consul: Consul) -> Iterator[str]:
    """A way to Consul on which, after each look at a key, somebody else writes it."""

    class Way(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = consul.ask("GET", self.path.removeprefix("/v1/"))
            consul.put(document("theirs"))
            self._answer(status, body)

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(*consul.ask("PUT", self.path.removeprefix("/v1/"), body))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("X-Consul-Index", "1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: what matters is in the answers."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Way) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()

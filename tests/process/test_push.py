"""`config push` against whatever may sit behind an address: it ends in time, in one clear line, and tells no token."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, free_port, run_command

GOOD = ROOT / "config" / "config.json"
TOKEN = "S3NT1NEL"
ENTRY = json.dumps([{"Value": base64.b64encode(b"{}").decode(), "ModifyIndex": 7}]).encode()
UNCERTAIN = "it may be written all the same, push again to see"


class Peer(ThreadingHTTPServer):
    """Answers each method with the status, headers and content given for it, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, **answers: tuple[int, dict[str, str], bytes] | None) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers = answers
        self.asked: list[tuple[str, str, str | None]] = []
        self.is_over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answering(BaseHTTPRequestHandler):
    server: Peer

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers["X-Consul-Token"]))
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        answer = self.server.answers[self.command]
        if answer is None:  # drips: every byte comes in time, and the answer never
            while not self.server.is_over.wait(0.5):
                self.wfile.write(b"H")
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET  # noqa: N815 - the library's way of naming

    def log_message(self, *_: Any) -> None:
        """Say nothing: what matters is in `asked`."""


@contextmanager
def answering(**answers: tuple[int, dict[str, str], bytes] | None) -> Iterator[Peer]:
    with Peer(**answers) as peer:
        threading.Thread(target=peer.serve_forever, args=[0.02], daemon=True).start()
        yield peer
        peer.is_over.set()
        peer.shutdown()


def push(url: str, *options: str, file: Path = GOOD, proxy: str = "") -> tuple[int, dict[str, Any]]:
    environment = {"CONSUL_HTTP_TOKEN": TOKEN, "CONSUL_HTTP_ADDR": url}
    if proxy:
        environment |= {"http_proxy": proxy, "HTTP_PROXY": proxy, "ALL_PROXY": proxy, "no_proxy": ""}
    code, lines, errors = run_command("config", "push", str(file), *options, within_seconds=20, **environment)
    assert (errors, len(lines)) == ("", 3)
    assert TOKEN not in str(lines)
    return code, lines[1]


@pytest.mark.parametrize(
    ("url", "key", "hint"),
    [
        ("http://127.0.0.1:8500", "hola/", "the key must be like hola/config.json"),
        ("http://a:b@127.0.0.1:8500", "hola", "Consul's address must be like http://127.0.0.1:8500"),
    ],
)
def test_a_wrong_address_or_key_is_exit_64(url: str, key: str, hint: str) -> None:
    """Wrong use says how it is right, and does not repeat what may be a password."""
    code, line = push(url, "--key", key)
    assert (code, line["event"]) == (64, "command_misused")
    assert hint in line["message"]
    assert "a:b" not in line["message"]


def test_an_invalid_document_asks_nobody(tmp_path: Path) -> None:
    """Exit 4 with the faults, before anything leaves this machine."""
    bad = tmp_path / "bad.json"
    bad.write_text('{"greeting": 5}')
    with answering() as peer:
        code, result = push(peer.url, file=bad)
    assert (code, result["written"], peer.asked) == (4, False, [])
    assert [fault["path"] for fault in result["errors"]] == ["/greeting"]


def test_nobody_there_is_told_in_one_line() -> None:
    """A refused connection is neither a stack nor a list of layers."""
    url = f"http://127.0.0.1:{free_port()}"
    code, result = push(url)
    assert (code, result["written"], result["error"]) == (1, False, f"{url}: connection refused")
    assert not {"previous", "changed"} & result.keys(), "nobody knows"


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ((404, {}, b"not found"), "answers 404, as Consul should not"),
        ((200, {}, b"<html>welcome</html>"), "does not answer as Consul does"),
        ((200, {"X-Consul-Index": "1"}, b"[]"), "does not answer as Consul does"),
        ((200, {}, b"x" * (2 << 20)), "does not answer as Consul does"),
        ((302, {"Location": "/elsewhere"}, b""), "answers 302, as Consul should not"),
        ((403, {}, b"Permission denied"), "CONSUL_HTTP_TOKEN is missing or may not do this (403)"),
        ((500, {}, f"No cluster leader, {TOKEN}".encode()), "should not: No cluster leader, ***"),
    ],
    ids=["404", "html", "no-entry", "endless", "redirect", "403", "500"],
)
def test_what_is_not_a_look_at_the_key_ends_it(answer: tuple[int, dict[str, str], bytes], complaint: str) -> None:
    """Nothing is written on a misunderstanding, and the token follows no redirect."""
    with answering(GET=answer) as peer:
        code, result = push(peer.url)
    assert (code, result["written"]) == (1, False)
    assert complaint in result["error"]
    assert peer.asked == [("GET", "/v1/kv/hola/config.json", TOKEN)]


@pytest.mark.parametrize(
    ("answer", "written", "complaint"),
    [
        ((200, {}, b"true"), True, None),
        ((200, {}, b"false\n"), False, "somebody else wrote hola/config.json in between"),
        ((413, {}, b"Value exceeds 524288 byte limit"), False, "finds the document too large (413)"),
        ((500, {}, b"rpc error: timeout"), None, UNCERTAIN),
        ((200, {}, b"<html>"), None, UNCERTAIN),
    ],
    ids=["true", "false", "413", "500", "html"],
)
def test_it_tells_whether_it_has_written(
    answer: tuple[int, dict[str, str], bytes], written: bool | None, complaint: str | None
) -> None:
    """Written, not written, and not to be known are three different things."""
    with answering(GET=(200, {}, ENTRY), PUT=answer) as peer:
        code, result = push(peer.url)
    assert (code, result["written"]) == (0 if written else 1, written)
    assert (complaint is None) == ("error" not in result)
    assert (complaint or "") in result.get("error", "")
    assert peer.asked[1] == ("PUT", "/v1/kv/hola/config.json?cas=7", TOKEN)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_an_answer_that_never_ends_costs_five_seconds(method: str) -> None:
    """A server that keeps dripping is no reason to wait longer than for a silent one."""
    started = time.monotonic()
    with answering(**({"GET": (200, {}, ENTRY), method: None})) as peer:
        code, result = push(peer.url)
    assert (code, result["written"]) == (1, False if method == "GET" else None)
    assert "no answer within 5 s" in result["error"]
    assert time.monotonic() - started < 10


def test_a_key_is_quoted_and_a_proxy_is_not_asked() -> None:
    """What is said is said to the address given, about the key given, to nobody else."""
    absent = (404, {"X-Consul-Index": "1"}, b"")
    with answering(GET=absent, PUT=(200, {}, b"true")) as peer:
        address, nobody = peer.url.removeprefix("http://"), f"http://127.0.0.1:{free_port()}"
        code, result = push(address, "--key", "a b/ü?#%2e", proxy=nobody)
    assert (code, result["previous"]) == (0, None)
    path = "/v1/kv/a%20b/%C3%BC%3F%23%252e"
    assert peer.asked == [("GET", path, TOKEN), ("PUT", f"{path}?cas=0", TOKEN)]

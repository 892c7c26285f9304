"""The endpoints that AWS has for a pod, on one port of loopback: STS, S3, the agent of Pod Identity, a node's metadata.

Each answers as AWS documents it, or wrongly as `faults` says. What must not be shown has S3NT1NEL in it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ACCOUNT = "111122223333"
ROLE, OTHER, NODE = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("hola", "other", "node"))
CANARY = "S3NT1NEL"
EXPIRY = "2099-01-01T00:00:00Z"
_CODES = {
    "expired": (400, "ExpiredTokenException"),
    "denied": (403, "AccessDenied"),
    "missing": (404, "NoSuchBucket"),
    "broken": (500, "InternalFailure"),
}


class Cloud(ThreadingHTTPServer):
    """`faults` maps a part (`sts`, `caller`, `s3`, `agent`, `imds`) to what is wrong with it: `hang`, `drip`,
    `garbage`, `expired`, `denied`, `missing`, `broken`. A node has a role only if `node` is set.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, faults: dict[str, str] | None = None, node: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.faults = faults or {}
        self.node = node
        self.objects = ["a.txt", "b.txt", "logs/1", "logs/2"]
        self.asked: list[str] = []
        self.is_over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def cloud(node: str = "", **faults: str) -> Iterator[Cloud]:
    with Cloud(faults, node) as running:
        threading.Thread(target=running.serve_forever, args=[0.02], daemon=True).start()
        yield running
        running.is_over.set()
        running.shutdown()


def pod(endpoints: Cloud) -> dict[str, str]:
    """The environment of a pod without any role of its own."""
    return {
        "AWS_DEFAULT_REGION": "eu-example-1",
        "AWS_ENDPOINT_URL_STS": endpoints.url,
        "AWS_ENDPOINT_URL_S3": endpoints.url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoints.url,
        "AWS_CONFIG_FILE": "/nonexistent/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
    }


def web_identity(endpoints: Cloud, directory: Path, role: str = ROLE) -> dict[str, str]:
    """What the webhook of IAM roles for service accounts gives a pod."""
    token = directory / "web-identity-token"
    token.write_text(f"header.{CANARY}.signature")
    return pod(endpoints) | {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}


def pod_identity(endpoints: Cloud, directory: Path) -> dict[str, str]:
    """What the webhook of EKS Pod Identity gives a pod."""
    token = directory / "pod-identity-token"
    token.write_text(f"agent-{CANARY}")
    uri = f"{endpoints.url}/v1/credentials"
    return pod(endpoints) | {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }


def access_key(endpoints: Cloud) -> dict[str, str]:
    """A key in the environment, as nobody should give a pod."""
    return pod(endpoints) | {"AWS_ACCESS_KEY_ID": f"AKIA{CANARY}USER", "AWS_SECRET_ACCESS_KEY": f"{CANARY}/secret"}


def _keys(role: str) -> dict[str, str]:
    """Temporary credentials whose key id tells the role, by which `GetCallerIdentity` knows it again."""
    name = role.rpartition("/")[2]
    return {
        "AccessKeyId": f"ASIA{CANARY}{name.upper()}",
        "SecretAccessKey": f"{CANARY}/secret",
        "Token": f"{CANARY}-session",
        "Expiration": EXPIRY,
    }


class _Answering(BaseHTTPRequestHandler):
    server: Cloud
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        url = urlsplit(self.path)
        part, answer = self._find(url.path, parse_qs(url.query), parse_qs(body))
        self.server.asked.append(part)
        fault = self.server.faults.get(part)
        if fault in ("hang", "drip"):
            with suppress(OSError):  # who asked has gone
                while not self.server.is_over.wait(0.3):
                    if fault == "drip":
                        self.wfile.write(b"H")
        elif fault == "garbage":
            self._send(200, f"<html>{CANARY}")
        elif fault:
            self._refuse(part, *_CODES[fault])
        else:
            answer()

    do_PUT = do_POST = do_GET  # noqa: N815 - the library's way of naming

    def log_message(self, *_: Any) -> None:
        """Say nothing: what matters is in `asked`."""

    def _find(
        self, path: str, query: dict[str, list[str]], form: dict[str, list[str]]
    ) -> tuple[str, Callable[[], None]]:
        if path == "/v1/credentials":
            return "agent", self._agent
        if path.startswith("/latest/"):
            return "imds", lambda: self._imds(path)
        if form.get("Action") == ["AssumeRoleWithWebIdentity"]:
            return "sts", lambda: self._assume(form["RoleArn"][0], form["WebIdentityToken"][0])
        if form.get("Action") == ["GetCallerIdentity"]:
            return "caller", self._caller
        return "s3", lambda: self._list(query)

    def _agent(self) -> None:
        if self.headers["Authorization"] == f"agent-{CANARY}":
            self._send(200, json.dumps(_keys(ROLE) | {"AccountId": ACCOUNT}))
        else:
            self._send(403, "the agent knows no such token")

    def _imds(self, path: str) -> None:
        if path.endswith("/token"):
            self._send(200, f"{CANARY}-imds")
        elif not self.server.node:
            self._send(404, "")
        elif path.endswith("/security-credentials/"):
            self._send(200, self.server.node.rpartition("/")[2])
        else:
            self._send(200, json.dumps(_keys(self.server.node) | {"Code": "Success"}))

    def _assume(self, role: str, token: str) -> None:
        if CANARY not in token:
            self._refuse("sts", 400, "InvalidIdentityToken")
            return
        keys = _keys(role)
        keys["SessionToken"] = keys.pop("Token")
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in keys.items())
        self._send(200, _result("AssumeRoleWithWebIdentity", f"<Credentials>{inner}</Credentials>"))

    def _caller(self) -> None:
        found = re.search(f"Credential=A[A-Z]+{CANARY}([A-Z]+)/", self.headers["Authorization"])
        name = found[1].lower() if found else "nobody"
        arn = f"iam::{ACCOUNT}:user/{name}" if name == "user" else f"sts::{ACCOUNT}:assumed-role/{name}/session-1"
        self._send(200, _result("GetCallerIdentity", f"<Arn>arn:aws:{arn}</Arn><Account>{ACCOUNT}</Account>"))

    def _list(self, query: dict[str, list[str]]) -> None:
        prefix, limit = query.get("prefix", [""])[0], int(query["max-keys"][0])
        keys = [key for key in self.server.objects if key.startswith(prefix)]
        shown = "".join(
            f"<Contents><Key>{key}</Key><Size>3</Size><LastModified>{EXPIRY}</LastModified></Contents>"
            for key in keys[:limit]
        )
        more = str(len(keys) > limit).lower()
        self._send(200, f"<ListBucketResult>{shown}<IsTruncated>{more}</IsTruncated></ListBucketResult>")

    def _refuse(self, part: str, status: int, code: str) -> None:
        told = f"<Code>{code}</Code><Message>{CANARY} is what you sent</Message>"
        if part == "agent":
            self._send(status, f"[{CANARY}]: ({code}): no credentials")
        elif part == "s3":
            self._send(status, f"<Error>{told}</Error>")
        else:
            self._send(status, f"<ErrorResponse><Error>{told}</Error></ErrorResponse>")

    def _send(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _result(action: str, inner: str) -> str:
    return f"<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"

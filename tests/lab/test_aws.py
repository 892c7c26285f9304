"""Roles and a bucket of moto's server, which is AWS's STS and S3 over HTTP and knows nothing of hola."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.lab.conftest import require_part
from tests.lab.parts import Part
from tests.support import Service, eventually, free_port, run_command

SERVER = Path("/usr/local/lib/hola-lab/moto/bin/moto_server")
ACCOUNT = "111122223333"
ROLE, OTHER = f"arn:aws:iam::{ACCOUNT}:role/hola", f"arn:aws:iam::{ACCOUNT}:role/other"
BUCKET = "example-bucket"
KEYS = ["private/1", "public/1", "public/2"]


class Moto:
    """The running server, with a bucket of three objects."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        key = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "x", "region_name": "us-east-1"}
        s3 = boto3.client("s3", endpoint_url=self.url, **key)
        s3.create_bucket(Bucket=BUCKET)
        for name in KEYS:
            s3.put_object(Bucket=BUCKET, Key=name, Body=b"123")
        self.sts = boto3.client("sts", endpoint_url=self.url, **key)

    def environment(self) -> dict[str, str]:
        """A pod without a role, on a node without one."""
        return {
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "HOLA_BUCKET": BUCKET,
        }

    def web_identity(self, directory: Path, role: str = ROLE) -> dict[str, str]:
        token = directory / "token"
        token.write_text("header.payload.signature")
        return self.environment() | {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}

    def credentials(self, role: str) -> dict[str, str]:
        """Temporary ones, as the agent of Pod Identity gets and passes them on."""
        found = self.sts.assume_role(RoleArn=role, RoleSessionName="eks-pod")["Credentials"]
        expiry = found["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ")
        renamed = {"Token": found["SessionToken"], "Expiration": expiry, "AccountId": ACCOUNT}
        return {name: found[name] for name in ("AccessKeyId", "SecretAccessKey")} | renamed


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    require_part("moto", SERVER.exists())
    port = free_port()
    log = tmp_path_factory.mktemp("moto") / "log"
    part = Part([str(SERVER), "-H", "127.0.0.1", "-p", str(port)], log)
    try:
        eventually(lambda: _answers(port), "moto answers", 60)
        yield Moto(port)
    finally:
        part.stop()
        print(log.read_text()[-4000:])


def run(*arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    code, lines, errors = run_command(*arguments, within_seconds=30, **environment)
    assert (errors, len(lines)) == ("", 3)
    return code, lines[1]


def test_a_web_identity_becomes_the_role(moto: Moto, tmp_path: Path) -> None:
    """The whole way of IAM roles for service accounts: token file, STS, role, bucket."""
    environment = moto.web_identity(tmp_path)
    code, found = run("identity", "--expect", ROLE, **environment)
    assert (code, found["verdict"], found["provider"], found["assumed_role_arn"]) == (0, "ok", "web_identity", ROLE)
    assert found["expires_at"]
    code, found = run("bucket", "ls", "--prefix", "public/", **environment)
    assert (code, [each["key"] for each in found["objects"]]) == (0, KEYS[1:])
    code, found = run("bucket", "ls", "--limit", "2", **environment)
    assert (len(found["objects"]), found["truncated"]) == (2, True)


def test_another_role_is_told_from_the_expected_one(moto: Moto, tmp_path: Path) -> None:
    """Exit 1 and both roles, as STS has them."""
    code, found = run("identity", "--expect", ROLE, **moto.web_identity(tmp_path, OTHER))
    assert (code, found["verdict"], found["assumed_role_arn"]) == (1, "wrong_role", OTHER)


def test_pod_identity_brings_the_role(moto: Moto, tmp_path: Path) -> None:
    """An agent passes on what STS gave it, and STS knows it again."""
    token = tmp_path / "token"
    token.write_text("example-token")
    with agent(moto.credentials(ROLE), "example-token") as uri:
        environment = moto.environment() | {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        code, found = run("identity", "--expect", ROLE, **environment)
        assert (code, found["verdict"], found["provider"]) == (0, "ok", "pod_identity")
        assert found["caller_arn"].endswith(":assumed-role/hola/eks-pod")
        assert run("bucket", "ls", **environment)[0] == 0
        token.write_text("stolen")
        code, found = run("identity", **environment)
        assert (code, found["verdict"]) == (1, "refused")


def test_a_bucket_that_is_not_there_is_missing(moto: Moto, tmp_path: Path) -> None:
    """Not denied, not empty."""
    code, found = run("bucket", "ls", **moto.web_identity(tmp_path) | {"HOLA_BUCKET": "example-nowhere"})
    assert (code, found["reason"], found["aws_error"]) == (1, "bucket_missing", "NoSuchBucket")


def test_a_running_service_tells_its_role_and_bucket(moto: Moto, tmp_path: Path) -> None:
    """Both routes within 3 s, the first use with the import of the SDK included, and the gauge after it."""
    environment = moto.web_identity(tmp_path) | {"HOLA_EXPECTED_ROLE_ARN": ROLE}
    with Service(tmp_path, **environment) as service:
        service.ready()
        for path in ("/aws/identity", "/aws/bucket"):
            started = time.monotonic()
            answer = service.get(path)
            print(f"{path}: {time.monotonic() - started:.2f} s")
            assert (answer.status, answer.json()["ok"]) == (200, True)
            assert time.monotonic() - started < 3
        assert service.metrics()['hola_aws_identity_ok{provider="web_identity",reason="ok"}'] == 1


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with suppress(OSError):
        connection.request("GET", "/moto-api/data.json")
        return connection.getresponse().status == 200
    return False


@contextmanager
def agent(credentials: dict[str, str], token: str) -> Iterator[str]:
    """What EKS runs on each node, as far as a pod sees it."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.headers["Authorization"] == token
            self.send_response(200 if is_known else 403)
            self.end_headers()
            self.wfile.write(json.dumps(credentials).encode() if is_known else b"unknown token")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/credentials"
        server.shutdown()

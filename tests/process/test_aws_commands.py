"""`identity` and `bucket ls` against endpoints over HTTP: each way to have a role, or none, has its own verdict."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.process.cloud import (
    ACCOUNT,
    CANARY,
    EXPIRY,
    NODE,
    OTHER,
    ROLE,
    access_key,
    cloud,
    pod,
    pod_identity,
    web_identity,
)
from tests.process.lateness import Lateness
from tests.support import ROOT, clean_environment, eventually, run_command

ENDS = {"AWS_MAX_ATTEMPTS": "9", "AWS_METADATA_SERVICE_TIMEOUT": "60", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "9"}


def run(*arguments: str, **environment: str) -> tuple[int, dict[str, Any], float]:
    """Exit code, what stands between the two events, and the seconds that the command says it took."""
    code, lines, errors = run_command(*arguments, within_seconds=30, **(ENDS | environment))
    assert (errors, len(lines)) == ("", 3), (errors, lines)
    assert CANARY not in json.dumps(lines)
    assert [lines[0]["event"], lines[2]["event"]] == ["command_started", "command_finished"]
    assert lines[2]["exit_code"] == code
    return code, lines[1], float(lines[2]["duration_seconds"])


def test_the_role_of_the_service_account_is_found(tmp_path: Path) -> None:
    """IAM roles for service accounts: a token file, changed by STS into a role that is the expected one."""
    with cloud() as endpoints:
        code, found, _ = run("identity", "--expect", ROLE, **web_identity(endpoints, tmp_path))
    assert (code, found["ok"], found["verdict"], found["provider"]) == (0, True, "ok", "web_identity")
    assert (found["assumed_role_arn"], found["expected_role_arn"], found["expires_at"]) == (ROLE, ROLE, EXPIRY)
    assert found["caller_arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/hola/")
    assert "imds" not in endpoints.asked


def test_the_role_of_a_pod_identity_association_is_found(tmp_path: Path) -> None:
    """EKS Pod Identity: the agent is asked with the token file's content."""
    with cloud() as endpoints:
        environment = pod_identity(endpoints, tmp_path) | {"HOLA_EXPECTED_ROLE_ARN": ROLE}
        code, found, _ = run("identity", **environment)
    assert (code, found["verdict"], found["provider"], found["expires_at"]) == (0, "ok", "pod_identity", EXPIRY)


def test_another_role_is_the_wrong_role(tmp_path: Path) -> None:
    """Whatever the setting expects, `--expect` has the last word; STS knows no path of a role, so it is left out."""
    with cloud() as endpoints:
        environment = web_identity(endpoints, tmp_path, OTHER) | {"HOLA_EXPECTED_ROLE_ARN": OTHER}
        code, found, _ = run("identity", "--expect", ROLE, **environment)
        assert (code, found["ok"], found["verdict"], found["assumed_role_arn"]) == (1, False, "wrong_role", OTHER)
        assert run("identity", "--expect", OTHER.replace("role/", "role/team/"), **environment)[0] == 0
        assert run("identity", "--expect", OTHER.replace("1111", "9999"), **environment)[0] == 1


def test_the_nodes_role_is_a_fallback_even_if_nothing_is_expected() -> None:
    """A pod that nobody bound a role to works with the node's, which is told as what it is; unless it is meant."""
    with cloud(node=NODE) as endpoints:
        code, found, _ = run("identity", **pod(endpoints))
        assert (code, found["verdict"], found["provider"]) == (1, "node_role_fallback", "node_role")
        assert found["assumed_role_arn"] == NODE
        assert "eks.amazonaws.com/role-arn" in found["message"]
        code, found, _ = run("identity", "--expect", ROLE, **pod(endpoints))
        assert (code, found["verdict"]) == (1, "node_role_fallback")
        code, found, _ = run("identity", "--expect", NODE, **pod(endpoints))
        assert (code, found["verdict"]) == (0, "ok")


def test_a_key_in_the_environment_is_named() -> None:
    """A user's key is no role: fine where nothing is expected, wrong where a role is."""
    with cloud() as endpoints:
        code, found, _ = run("identity", **access_key(endpoints))
        assert (code, found["provider"], found["assumed_role_arn"]) == (0, "environment", None)
        assert found["caller_arn"] == f"arn:aws:iam::{ACCOUNT}:user/user"
        code, found, _ = run("identity", "--expect", ROLE, **access_key(endpoints))
        assert (code, found["verdict"]) == (1, "wrong_role")


@pytest.mark.parametrize("metadata", ["missing", "hang", "drip"])
def test_no_provider_has_credentials(metadata: str) -> None:
    """Without a node's role, or with metadata out of reach as it should be for a pod, there are none, and soon."""
    with cloud(imds=metadata) as endpoints:
        code, found, _ = run("identity", **pod(endpoints))
    late = metadata == "drip"
    assert (code, found["verdict"]) == (1, "unreachable" if late else "no_credentials")
    assert (found["provider"], found["caller_arn"]) == ("node_role" if late else "none", None)


@pytest.mark.parametrize(
    ("part", "fault", "verdict", "aws_error"),
    [
        ("sts", "expired", "token_expired", "ExpiredTokenException"),
        ("sts", "denied", "refused", "AccessDenied"),
        ("sts", "broken", "unreachable", "InternalFailure"),
        ("sts", "garbage", "unreachable", "ResponseParserError"),
        ("sts", "hang", "unreachable", "ReadTimeoutError"),
        ("sts", "drip", "unreachable", None),
        ("caller", "denied", "refused", "AccessDenied"),
        ("caller", "garbage", "unreachable", "ResponseParserError"),
        ("caller", "hang", "unreachable", "ReadTimeoutError"),
        ("caller", "drip", "unreachable", None),
    ],
)
def test_what_goes_wrong_at_sts_has_a_verdict(
    tmp_path: Path, part: str, fault: str, verdict: str, aws_error: str | None
) -> None:
    """Nothing is tried twice, whatever AWS_MAX_ATTEMPTS says."""
    with cloud(**{part: fault}) as endpoints:
        code, found, _ = run("identity", "--expect", ROLE, **web_identity(endpoints, tmp_path))
    assert (code, found["verdict"], found["provider"]) == (1, verdict, "web_identity")
    assert found["aws_error"] == aws_error
    assert endpoints.asked.count(part) == 1


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("expired", "token_expired"),
        ("denied", "refused"),
        ("broken", "unreachable"),
        ("garbage", "unreachable"),
        ("hang", "unreachable"),
        ("drip", "unreachable"),
    ],
)
def test_what_goes_wrong_at_the_agent_has_a_verdict(tmp_path: Path, fault: str, verdict: str) -> None:
    """The agent's failures do not fall through to the node's role."""
    with cloud(node=NODE, agent=fault) as endpoints:
        code, found, _ = run("identity", **pod_identity(endpoints, tmp_path))
    assert (code, found["verdict"], found["provider"]) == (1, verdict, "pod_identity")
    assert endpoints.asked == ["agent"]


def test_what_is_set_wrongly_is_named(tmp_path: Path) -> None:
    """Half a key, a token file that is not there, no region, an agent that is no agent: each says which."""
    gone = str(tmp_path / "gone")
    with cloud() as endpoints:
        web, agent = web_identity(endpoints, tmp_path), pod_identity(endpoints, tmp_path)
        key = access_key(endpoints)
        wrong = {
            gone: web | {"AWS_WEB_IDENTITY_TOKEN_FILE": gone},
            "AWS_ROLE_ARN": {name: value for name, value in web.items() if name != "AWS_ROLE_ARN"},
            "AWS_DEFAULT_REGION": {name: value for name, value in key.items() if name != "AWS_DEFAULT_REGION"},
            "AWS_PROFILE": web | {"AWS_PROFILE": "nobody"},
            "a part of the access key": pod(endpoints) | {"AWS_ACCESS_KEY_ID": f"AKIA{CANARY}"},
            "an endpoint": agent | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/"},
            str(tmp_path): agent | {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path)},
        }
        for named, environment in wrong.items():
            code, found, _ = run("identity", **environment)
            assert (code, found["verdict"]) == (1, "misconfigured"), (named, found)
            assert named in found["message"]


def test_the_bucket_is_listed(tmp_path: Path) -> None:
    """By prefix and limit, and it says whether there is more."""
    with cloud() as endpoints:
        environment = web_identity(endpoints, tmp_path) | {"HOLA_BUCKET": "example-bucket"}
        code, found, _ = run("bucket", "ls", **environment)
        assert (code, found["ok"], found["truncated"]) == (0, True, False)
        assert [each["key"] for each in found["objects"]] == endpoints.objects
        assert found["objects"][0] == {"key": "a.txt", "size_bytes": 3, "last_modified": EXPIRY}
        code, found, _ = run("bucket", "ls", "--prefix", "logs/", "--limit", "1", **environment)
        assert (code, [each["key"] for each in found["objects"]], found["truncated"]) == (0, ["logs/1"], True)


@pytest.mark.parametrize(
    ("part", "fault", "reason"),
    [
        ("s3", "denied", "denied"),
        ("s3", "missing", "bucket_missing"),
        ("s3", "expired", "token_expired"),
        ("s3", "broken", "unreachable"),
        ("s3", "hang", "unreachable"),
        ("s3", "drip", "unreachable"),
        ("sts", "denied", "refused"),
        ("sts", "hang", "unreachable"),
    ],
)
def test_a_bucket_that_cannot_be_listed_says_why(tmp_path: Path, part: str, fault: str, reason: str) -> None:
    """A role that AWS does not give and a bucket that the role may not list are two things."""
    with cloud(**{part: fault}) as endpoints:
        environment = web_identity(endpoints, tmp_path) | {"HOLA_BUCKET": "example-bucket"}
        code, found, _ = run("bucket", "ls", **environment)
    assert (code, found["ok"], found["reason"], found["objects"]) == (1, False, reason, [])


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "named"),
    [
        (["identity", "--expect", "hola"], {}, 64, "arn:aws:iam::111122223333:role/hola"),
        (["identity", "now"], {}, 64, "now"),
        (["bucket"], {}, 64, "bucket needs one of its commands: ls"),
        (["bucket", "rm"], {}, 64, "rm"),
        (["bucket", "ls", "--limit", "0"], {"HOLA_BUCKET": "example-bucket"}, 64, "--limit"),
        (["bucket", "ls", "--limit", "1001"], {"HOLA_BUCKET": "example-bucket"}, 64, "--limit"),
        (["bucket", "ls", "--prefix", "x" * 1025], {"HOLA_BUCKET": "example-bucket"}, 64, "--prefix"),
        (["bucket", "ls"], {}, 78, "HOLA_BUCKET"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str], environment: dict[str, str], code: int, named: str
) -> None:
    """Exit 64 for a wrong command, 78 for a setting that this command lacks, before anybody is asked."""
    with cloud() as endpoints:
        found, line, _ = run(*arguments, **(pod(endpoints) | environment))
    assert (found, endpoints.asked) == (code, [])
    assert named in line["message"]
    assert "\n" not in line["message"]


@pytest.mark.parametrize(("name", "value"), [("HOLA_BUCKET", "No_Bucket"), ("HOLA_EXPECTED_ROLE_ARN", "hola")])
def test_a_wrong_setting_is_exit_78(name: str, value: str) -> None:
    """Told by its name before anything starts, like every setting."""
    code, lines, errors = run_command("identity", within_seconds=30, **{name: value})
    assert (code, errors, len(lines)) == (78, "", 1)
    assert lines[0]["faults"][0]["path"] == name


@pytest.mark.parametrize(
    ("arguments", "part"), [(["identity"], "caller"), (["bucket", "ls"], "s3"), (["identity"], "sts")]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_is_told(
    tmp_path: Path, arguments: list[str], part: str, number: signal.Signals
) -> None:
    """In the middle of a call that hangs, `command_finished` has the exit code of the signal."""
    with cloud(**{part: "hang"}) as endpoints:
        environment = clean_environment() | web_identity(endpoints, tmp_path) | {"HOLA_BUCKET": "example-bucket"}
        command = [str(ROOT / "entrypoint.sh"), *arguments]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            eventually(lambda: part in endpoints.asked, "it hangs in the call", 20)
            started = time.monotonic()
            process.send_signal(number)
            output, errors = process.communicate(timeout=10)
            seconds = time.monotonic() - started
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in lines] == ["command_started", "command_finished"]
    assert (lines[1]["exit_code"], process.returncode, errors) == (128 + number, 128 + number, b"")
    assert seconds < 1
    assert CANARY not in output.decode()


@pytest.mark.parametrize("kind", [pod, access_key, pod_identity, web_identity])
@pytest.mark.parametrize("arguments", [["identity"], ["bucket", "ls"]])
@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_whole_command_ends_within_three_seconds_when_nothing_answers(
    tmp_path: Path, kind: Callable[..., dict[str, str]], arguments: list[str], fault: str
) -> None:
    """From exec to exit, the interpreter's start included; noise only adds, so the best of three rounds counts."""
    hanging = dict.fromkeys(["sts", "caller", "s3", "agent", "imds"], fault)
    directory = [tmp_path] if kind in (pod_identity, web_identity) else []
    for _attempt in range(3):
        with cloud(**hanging) as endpoints, Lateness() as machine:
            started = time.monotonic()
            run(*arguments, **(kind(endpoints, *directory) | {"HOLA_BUCKET": "example-bucket"}))
            seconds = time.monotonic() - started
        late, what = machine.p95_seconds * 1000, f"{' '.join(arguments)}, {kind.__name__}, {fault}"
        print(f"{what}: {seconds:.2f} s; the machine was late by {late:.1f} ms (p95)")
        if seconds < 3:
            return
    pytest.fail("not within 3 s in any of three rounds")

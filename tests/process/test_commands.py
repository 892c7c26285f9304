"""The admin commands, as a job runs them."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest

from tests.support import ROOT, Service, clean_environment, run_command

GOOD = str(ROOT / "config" / "config.json")


STRANGE = [
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n\r\n42",
    b'HTTP/1.1 200 OK\r\n\r\n{"revision": "0", "workers": [1]}',
    b"HTTP/1.1 200 OK\r\n\r\n\xff",
    b"",
]


def test_check_reports_and_exits_by_validity(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"greeting": "", "nope": 1}')
    assert run_command("config", "check", GOOD)[0] == 0
    code, lines, errors = run_command("config", "check", GOOD, str(bad))
    assert (code, errors) == (4, "")
    report = next(line for line in lines if "valid" in line)
    assert [file["valid"] for file in report["files"]] == [True, False]
    assert {error["path"] for error in report["files"][1]["errors"]} == {"/greeting", "/nope"}


def test_check_tells_what_differs(tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    new.write_text(json.dumps({"greeting": "Hi"}))
    code, lines, _ = run_command("config", "check", str(new), "--against", GOOD)
    assert code == 0
    assert "/greeting" in lines[1]["files"][0]["changed"]


@pytest.mark.parametrize(
    "arguments", [["bogus"], ["config"], ["config", "bogus"], ["config", "check"], ["config", "check", "/no/such"]]
)
def test_a_wrong_command_is_exit_64_with_one_clear_line(arguments: list[str]) -> None:
    code, lines, errors = run_command(*arguments)
    assert (code, errors) == (64, "")
    assert [line["event"] for line in lines] == ["command_started", "command_misused", "command_finished"]
    assert lines[-1]["exit_code"] == 64


def test_wrong_settings_are_exit_78() -> None:
    code, lines, _ = run_command("settings", PORT="abc", HOLA_THREADS="-1")
    assert code == 78
    assert [fault["path"] for fault in lines[0]["faults"]] == ["PORT", "HOLA_THREADS"]


@pytest.mark.parametrize(
    "settings",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:abc"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/such.pem"},
    ],
)
def test_a_collector_that_cannot_be_meant_is_exit_78_of_commands_and_of_the_service(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    code, lines, errors = run_command("help", within_seconds=30, **settings)
    assert (code, [line["event"] for line in lines], errors) == (78, ["settings_invalid"], "")
    with Service(tmp_path, **settings) as service:
        assert service.process.wait(20) == 78
        service.wait_for("settings_invalid")
        assert len(service.lines) == 1


def test_settings_are_shown_and_secrets_are_not() -> None:
    _, lines, _ = run_command(
        "settings",
        PORT="1234",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=S3NT1NEL",
        CONSUL_HTTP_ADDR="http://me:S3NT1NEL@consul",
    )
    values = {row["name"]: row["value"] for row in lines[1]}
    assert values["PORT"] == 1234
    assert "S3NT1NEL" not in str(lines)


def test_schema_accepts_the_sample() -> None:
    _, lines, _ = run_command("config", "schema")
    jsonschema.Draft202012Validator.check_schema(lines[1])
    jsonschema.validate(json.loads(Path(GOOD).read_text()), lines[1])


def test_status_waits_for_a_revision(service: Service) -> None:
    revision = service.get("/config").json()["revision"]
    url = f"http://127.0.0.1:{service.port}"
    assert run_command("config", "status", "--url", url, "--wait", "5", "--revision", revision)[0] == 0
    assert run_command("config", "status", "--url", url, "--wait", "0.3", "--revision", "000000000000")[0] == 1
    assert run_command("config", "status", "--url", "file:///etc/passwd")[0] == 64


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_status_asks_no_proxy_for_its_own_pod(service: Service, variable: str) -> None:
    url = f"http://127.0.0.1:{service.port}"
    assert run_command("config", "status", "--url", url, **{variable: "http://127.0.0.1:9"})[0] == 0  # type: ignore[arg-type]  # a name of no parameter


@pytest.mark.parametrize("answer", STRANGE)
def test_status_tells_an_answer_that_is_no_status(answer: bytes) -> None:
    with _answering(answer) as url:
        code, lines, errors = run_command("config", "status", "--url", url)
    assert (code, errors) == (1, "")
    assert [line.get("event") for line in lines] == ["command_started", None, "command_finished"]
    assert lines[1]["error"].startswith(url)


def test_status_waits_on_whatever_is_answered_meanwhile(service: Service) -> None:
    revision = service.get("/config").json()["revision"]
    status = service.get("/config/status").body
    with _answering(*STRANGE, b"HTTP/1.1 200 OK\r\n\r\n" + status) as url:
        assert run_command("config", "status", "--url", url, "--wait", "20", "--revision", revision)[0] == 0


def test_help_lists_every_command() -> None:
    _, lines, _ = run_command("help")
    assert {"serve", "help", "settings", "config check", "config schema", "config status"} <= lines[1][
        "commands"
    ].keys()


def test_results_and_events_share_a_file(tmp_path: Path) -> None:
    """Both reach stdout by descriptions of their own, and neither overwrites the other where it is a file."""
    output = tmp_path / "output"
    with output.open("wb") as file:
        subprocess.run([ROOT / "entrypoint.sh", "help"], stdout=file, env=clean_environment(), check=True)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line.get("event", "result") for line in lines] == ["command_started", "result", "command_finished"]


def test_a_command_that_is_stopped_says_so(service: Service) -> None:
    """TERM in the middle of a wait: the event of its end, with the exit code of the signal, and no stack."""
    url = f"http://127.0.0.1:{service.port}"
    command = [str(ROOT / "entrypoint.sh"), "config", "status", "--url", url, "--wait", "60", "--revision", "0"]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout
        started = json.loads(process.stdout.readline())
        process.terminate()
        output, _ = process.communicate(timeout=10)
    (finished,) = [json.loads(line) for line in output.splitlines()]
    assert [started["event"], finished["event"]] == ["command_started", "command_finished"]
    assert (finished["exit_code"], process.returncode) == (143, 143)
    assert finished["trace_id"] == started["trace_id"]


def test_the_entry_point_execs_in_every_branch() -> None:
    """Row B18: a shell that stays as PID 1 swallows the signals."""
    script = (ROOT / "entrypoint.sh").read_text()
    branches = script[script.index("case ") :].split(";;")[:-1]
    assert len(branches) == 2
    assert all("exec " in branch for branch in branches)
    assert subprocess.run(["sh", "-n", ROOT / "entrypoint.sh"], check=False).returncode == 0


@contextmanager
def _answering(*answers: bytes) -> Iterator[str]:
    """The URL of a server that gives these answers, one a connection."""

    def serve() -> None:
        for answer in answers:
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"

"""Admin commands: what they print, what they return, what they refuse. Their events are tests/process' business."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator

from hola import settings as environment
from hola.admin_process import EX_INVALID, EX_OK, EX_RESTART
from hola.commands import cli

GOOD, OTHER, BAD = (
    '{"greeting": "A"}',
    '{"greeting": "B", "features": {"shout": true}}',
    '{"greeting": 5, "x": "S3NT1NEL"}',
)


class Console:
    """Runs a command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self._capsys, self._directory = capsys, directory

    def run(self, *arguments: str, **environ: str) -> tuple[int, Any]:
        """The exit code, and what was printed, which must be one line of JSON."""
        code = cli.main(list(arguments), standalone_mode=False, obj=environment.load(environ))
        (line,) = self._capsys.readouterr().out.splitlines()
        return code or EX_OK, json.loads(line)

    def file(self, name: str, content: str) -> str:
        (self._directory / name).write_text(content)
        return str(self._directory / name)


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Console:
    return Console(capsys, tmp_path)


def test_a_valid_document_is_told_with_its_revision(console: Console) -> None:
    code, report = console.run("config", "check", console.file("good.json", GOOD))
    assert (code, report["valid"]) == (EX_OK, True)
    assert len(report["files"][0]["revision"]) == 12


def test_an_invalid_document_is_told_by_pointers_and_never_by_values(console: Console) -> None:
    code, report = console.run("config", "check", console.file("good.json", GOOD), console.file("bad.json", BAD))
    assert (code, report["valid"], [file["valid"] for file in report["files"]]) == (EX_INVALID, False, [True, False])
    assert [fault["path"] for fault in report["files"][1]["errors"]] == ["/greeting", "/x"]
    assert "S3NT1NEL" not in str(report)


def test_a_document_is_compared_with_the_one_that_runs(console: Console) -> None:
    old = console.file("old.json", GOOD)
    code, report = console.run("config", "check", console.file("new.json", OTHER), "--against", old)
    assert (code, report["files"][0]["changed"]) == (EX_OK, ["/features/shout", "/greeting"])
    code, report = console.run(
        "config", "check", console.file("new.json", '{"static": {"workers": 9}}'), "--against", old
    )
    assert (code, report["files"][0]["restart_required"]) == (EX_RESTART, ["/static/workers"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["config", "check"],
        ["config", "check", "/nowhere/config.json"],
        ["config", "check", "/dev/null", "--against", "/nowhere/old.json"],
        ["config", "chekc"],
        ["config", "status", "--url", "file:///etc/passwd"],
        ["config", "status", "--url", "http://127.0.0.1:abc"],
        ["config", "status", "--url", "http://127.0.0.1:0"],
        ["config", "status", "--url", "http://[::1"],
        ["config", "status", "--url", "http://:5000"],
        ["config", "status", "--url", "http://a b"],
        ["config", "status", "--url", "http://me:S3NT1NEL@127.0.0.1"],
        ["config", "status", "--url", "http://127.0.0.1/?a=b"],
        ["config", "status", "--wait", "-1"],
        ["frobnicate"],
        ["settings", "--all"],
    ],
)
def test_a_wrong_command_is_a_misuse(console: Console, arguments: list[str]) -> None:
    with pytest.raises(click.UsageError):
        console.run(*arguments)


def test_an_invalid_document_is_nothing_to_compare_with(console: Console) -> None:
    with pytest.raises(click.UsageError) as caught:
        console.run("config", "check", console.file("good.json", GOOD), "--against", console.file("bad.json", BAD))
    assert "S3NT1NEL" not in str(caught.value)


def test_the_schema_is_one_and_takes_what_the_service_takes(console: Console) -> None:
    _code, schema = console.run("config", "schema")
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(json.loads(OTHER))
    assert not Draft202012Validator(schema).is_valid(json.loads(BAD))


def test_settings_are_shown_with_their_effective_values_and_no_secret(console: Console) -> None:
    _code, rows = console.run("settings", PORT="8080", OTEL_EXPORTER_OTLP_HEADERS="api-key=S3NT1NEL")
    values = {row["name"]: row["value"] for row in rows}
    assert (values["PORT"], values["OTEL_EXPORTER_OTLP_HEADERS"]) == (8080, "***")
    assert "S3NT1NEL" not in str(rows)


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help_names_every_command(console: Console, arguments: list[str]) -> None:
    _code, shown = console.run(*arguments)
    assert {"serve", "config check", "config schema", "config status", "settings", "help"} <= shown["commands"].keys()
    assert all(shown["commands"].values())


@pytest.mark.parametrize("group", ["config", "bucket"])
def test_help_of_a_group_is_its_part_of_the_table(console: Console, group: str) -> None:
    _code, table = console.run("help")
    expected = {name: does for name, does in table["commands"].items() if name.startswith(f"{group} ")}
    assert expected
    assert console.run(group, "--help") == (EX_OK, {"commands": expected})


@pytest.mark.parametrize("command", [["config", "check"], ["config", "push"], ["bucket", "ls"], ["help"]])
def test_help_of_one_command_is_json_as_well(console: Console, command: list[str]) -> None:
    code, shown = console.run(*command, "--help")
    _code, table = console.run("help")
    assert code == EX_OK
    assert (shown["command"], shown["does"]) == (" ".join(command), table["commands"][" ".join(command)])
    if command == ["config", "check"]:
        assert shown["arguments"] == "FILES..."
        assert shown["options"] == {"--against PATH": "report what differs from this document"}


def test_a_service_that_does_not_answer_is_told_at_once(console: Console) -> None:
    code, shown = console.run("config", "status", "--url", "http://127.0.0.1:1")
    assert code == 1
    assert "refused" in shown["error"]

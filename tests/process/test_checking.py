"""`config check --against`: what a document changes, and what of it only a restart can take on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support import run_command


def check(directory: Path, old: str, *new: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and the report of each new document."""
    (directory / "old.json").write_text(old)
    names = [f"new-{number}.json" for number in range(len(new))]
    for name, text in zip(names, new, strict=True):
        (directory / name).write_text(text)
    files = [str(directory / name) for name in names]
    code, lines, _ = run_command("config", "check", *files, "--against", str(directory / "old.json"))
    return code, lines[1].get("files", [lines[1]])


def test_a_restart_only_key_is_exit_3(tmp_path: Path) -> None:
    """Row 24 of live configuration: valid, and named, since nothing will happen until somebody restarts."""
    code, [report] = check(tmp_path, "{}", json.dumps({"static": {"workers": 8, "threads": 4}, "greeting": "Hi"}))
    assert (code, report["valid"]) == (3, True)
    assert report["restart_required"] == ["/static/workers", "/static/threads"]


def test_what_changes_while_it_runs_is_exit_0(tmp_path: Path) -> None:
    """The same restart-only keys as before ask for nothing."""
    static = {"static": {"workers": 8}}
    code, [report] = check(tmp_path, json.dumps(static), json.dumps(static | {"greeting": "Hi"}))
    assert (code, report["changed"], report["restart_required"]) == (0, ["/greeting"], [])


def test_an_invalid_document_counts_more_than_a_restart(tmp_path: Path) -> None:
    """contract: exit 4, whatever else is true of the other documents."""
    code, reports = check(tmp_path, "{}", '{"static": {"workers": 8}}', '{"static": {"workers": 0}}')
    assert (code, [report["valid"] for report in reports]) == (4, [True, False])


def test_nothing_is_compared_with_an_invalid_document(tmp_path: Path) -> None:
    """Wrong use is exit 64 with a line that names the file and its fault."""
    code, [line] = check(tmp_path, '{"greeting": 5}', "{}")
    assert (code, line["event"]) == (64, "command_misused")
    assert "old.json: nothing can be compared with an invalid document: /greeting" in line["message"]

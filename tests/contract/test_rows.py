"""tests/README.md against the tests: every row of live configuration is there, and what it names exists and says so."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support import ROOT

TESTS = ROOT / "tests"
TABLE = (TESTS / "README.md").read_text()
ROWS = {int(number): cells for number, cells in re.findall(r"^\| (\d+) \| (.*) \|$", TABLE, re.MULTILINE)}
NAMED = sorted(set(re.findall(r"`(\w+/\w+\.py::\w+)`", TABLE)))


@cache
def _docstrings(path: str) -> dict[str, str]:
    """The docstring of each test of a file."""
    tree = ast.parse((TESTS / path).read_text())
    return {node.name: ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.FunctionDef)}


def _names_row(text: str, row: int) -> bool:
    found = re.match(r"Rows? ([\d, and]+)", text)
    return found is not None and row in map(int, re.findall(r"\d+", found[1]))


def test_all_34_rows_are_there() -> None:
    assert list(ROWS) == list(range(1, 35))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    path, _, test = name.partition("::")
    assert test in _docstrings(path)


@pytest.mark.parametrize("row", range(1, 35))
def test_a_row_is_shown_by_a_test_that_names_it(row: int) -> None:
    named = re.findall(r"`(\w+/\w+\.py)::(\w+)`", ROWS[row])
    silent = [f"{path}::{test}" for path, test in named if not _names_row(_docstrings(path).get(test, ""), row)]
    assert named
    assert not silent


def test_a_test_that_names_a_row_stands_in_it() -> None:
    """The other direction, for the files that are about live configuration."""
    missing = [
        f"{row}: {test}"
        for path in sorted(TESTS.glob("process/test_config_*.py"))
        for test, text in _docstrings(f"process/{path.name}").items()
        for row in ROWS
        if _names_row(text, row) and test not in ROWS[row]
    ]
    assert not missing


LETTERED = re.findall(r"^\| ((?:[A-E]\d+(?:, )?)+) \| (.*) \|$", TABLE, re.MULTILINE)


def test_all_rows_of_workers_and_telemetry_are_there() -> None:
    rows = [row for cell, _ in LETTERED for row in cell.split(", ")]
    wanted = {"A": 16, "B": 24, "C": 13, "D": 14, "E": 5}
    assert sorted(rows) == sorted(
        f"{letter}{number}" for letter, most in wanted.items() for number in range(1, most + 1)
    )


@pytest.mark.parametrize(("rows", "cells"), [each for each in LETTERED if each[0][0] in "ACD" and "`" in each[1]])
def test_a_row_of_telemetry_is_named_by_its_tests(rows: str, cells: str) -> None:
    named = re.findall(r"`((?:process|lab)/\w+\.py)::(\w+)`", cells)
    said = " ".join(_docstrings(path).get(test, "") for path, test in named)
    assert not [row for row in rows.split(", ") if not re.search(rf"\b{row}\b", said) and row not in ("D6", "A13")]


def test_nothing_is_deployed_so_that_a_sidecar_could_signal() -> None:
    """Row 20: the app looks by itself, so no manifest shares process namespaces or adds a capability."""
    manifests = [*ROOT.glob("k8s/**/*.yaml"), ROOT / "compose.yaml"]
    asked = re.compile(
        r"shareProcessNamespace: *true|SYS_PTRACE|^\s*add:|cap_add|hostPID: *true|pid: *host", re.MULTILINE
    )
    assert len(manifests) > 5
    assert not [path.name for path in manifests if asked.search(path.read_text())]


def test_the_introduction_stays_short() -> None:
    assert TABLE[: TABLE.index("## Live configuration")].count("\n") <= 30

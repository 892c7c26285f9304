"""Dependencies are declared, pinned and hashed, and come from wherever the machine's own configuration says."""

from __future__ import annotations

import ast
import json
import re
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ["tests/bench/requirements-peer", "tests/bench/requirements-plot"]
TOOLS = [".ci/supply-chain", "tests/lab/requirements-checkov", "tests/lab/requirements-moto", *BENCH]
LOCKED = ["requirements.txt", "requirements-dev.txt", *(f"{name}.txt" for name in TOOLS)]
PINNED = re.compile(r"([a-z0-9][a-z0-9-]*)==([A-Za-z0-9.+!]+)((?: --hash=sha256:[0-9a-f]{64})+)")


@cache
def entries(file: str) -> list[str]:
    """The requirements of a file, one a string, comments and continuations resolved."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / file).read_text())
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def pins(file: str) -> dict[str, str]:
    matches = [PINNED.fullmatch(entry) for entry in entries(file)]
    return {match[1]: match[2] for match in matches if match}


def declared(file: str) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", entry) for entry in entries(file) if not entry.startswith("-"))
    return {name[0].lower() for name in names if name}


@pytest.mark.parametrize("file", LOCKED)
def test_every_requirement_is_pinned_and_hashed(file: str) -> None:
    assert entries(file)
    assert [entry[:60] for entry in entries(file) if not PINNED.fullmatch(entry)] == []


@pytest.mark.parametrize("file", [*LOCKED, "requirements.in", "requirements-dev.in", *(f"{name}.in" for name in TOOLS)])
def test_no_file_names_a_place_to_install_from(file: str) -> None:
    """Not a URL, an option or a host: a mirror is the machine's business."""
    text = (ROOT / file).read_text()
    assert re.findall(r"\S*(?:://|--(?:extra-)?index|--find-links|--trusted-host)\S*", text) == []
    assert re.findall(r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|io|net|dev|local|internal|svc)\b", text) == []


def test_the_one_package_of_npm_is_pinned_and_hashed_and_comes_from_nowhere_in_particular() -> None:
    """axe-core, which looks at the live page in the lab and is part of nothing that is built."""
    files = {file.name: file.read_text() for file in (ROOT / "tests/lab/axe").iterdir()}
    wanted, locked = json.loads(files["package.json"]), json.loads(files["package-lock.json"])["packages"]
    assert {"node_modules/" + name: version for name, version in wanted["dependencies"].items()} == {
        place: package["version"] for place, package in locked.items() if place
    }
    assert all(package["integrity"].startswith("sha512-") for place, package in locked.items() if place)
    assert [name for name, text in files.items() if "://" in text or '"resolved"' in text] == []


@pytest.mark.parametrize("file", ["requirements", "requirements-dev", *TOOLS])
def test_what_is_declared_is_locked(file: str) -> None:
    assert declared(f"{file}.in") <= pins(f"{file}.txt").keys()


def test_tests_run_on_the_versions_that_the_service_runs_on() -> None:
    service, development = pins("requirements.txt"), pins("requirements-dev.txt")
    shared = service.keys() & development.keys()
    assert shared
    assert {name: development[name] for name in shared} == {name: service[name] for name in shared}


def test_every_import_of_the_service_is_declared() -> None:
    provided = _providers()
    outside = {name for name in _imports() if name.partition(".")[0] not in {*sys.stdlib_module_names, "hola"}}
    assert "flask" in outside
    undeclared = {name: provided[name] for name in outside if provided[name] not in declared("requirements.in")}
    assert undeclared == {}


def test_what_is_declared_is_used() -> None:
    provided = _providers()
    assert declared("requirements.in") - {provided.get(name) for name in _imports()} == set()


@cache
def _imports() -> frozenset[str]:
    """The modules that hola imports, by their dotted names; `from a import b` may be of the module a.b."""
    nodes = [node for file in ROOT.glob("hola/**/*.py") for node in ast.walk(ast.parse(file.read_text()))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    named = {(f"{node.module}.{alias.name}", str(node.module)) for node in froms for alias in node.names}
    return frozenset(plain | {inner if inner in _providers() else outer for inner, outer in named})


@cache
def _providers() -> dict[str, str]:
    """Which installed distribution has a module: by its files, since several may share a namespace."""
    found = {}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        for file in distribution.files or []:
            if file.suffix in {".py", ".so"}:
                parts = file.parent.parts if file.stem == "__init__" else (*file.parent.parts, file.name.split(".")[0])
                found[".".join(parts)] = name
    return found

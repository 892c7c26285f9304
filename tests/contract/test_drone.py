"""The pipelines: what Drone's schema and its runner's linter would refuse, and what they miss."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

Pipeline = dict[str, Any]
PIPELINES: dict[str, Pipeline] = {p["name"]: p for p in yaml.safe_load_all((ROOT / ".drone.yml").read_text())}
STEPS = {step["name"]: step for pipeline in PIPELINES.values() for step in pipeline["steps"]}
EVENTS = {"push", "pull_request", "tag", "promote", "rollback", "cron", "custom"}
PRIVILEGES = {"privileged", "volumes", "network_mode", "devices", "dns", "dns_search", "extra_hosts"}
RESERVED = {"clone", "workspace", "_workspace", "_docker_socket"}
# What only the pipeline does: they ask a service outside, or change something there.
PIPELINES_OWN = {"audit", "sbom", "promote"}

each_pipeline = pytest.mark.parametrize("name", PIPELINES)


def linted(pipeline: Pipeline) -> Iterator[str]:
    """https://github.com/drone-runners/drone-runner-docker/blob/master/engine/linter/linter.go, and what it misses."""
    earlier = {"clone"}  # which Drone itself adds
    for step in pipeline["steps"]:
        name = step.get("name", "")
        if not name or name in earlier | RESERVED:
            yield f"name {name}"
        if step.get("image", "").partition(":")[2] in {"", "latest"}:
            yield f"{name}: image"
        yield from (f"{name}: {key}" for key in sorted(PRIVILEGES & step.keys()))
        # Once one step names its dependencies, all must: the others would start at once.
        if not step.get("depends_on") or not set(step["depends_on"]) <= earlier:
            yield f"{name}: depends_on"
        if not ("commands" in step) ^ ("settings" in step):
            yield f"{name}: a plugin has no commands, and they no settings"
        yield from (f"{name}: {fault}" for fault in _conditions(step.get("when", {})))
        earlier.add(name)
    yield from _conditions(pipeline["trigger"])


def _conditions(chosen: dict[str, Any]) -> Iterator[str]:
    yield from (f"event {event}" for event in sorted(set(chosen.get("event", [])) - EVENTS))
    if "branch" in chosen:
        yield "a condition on branch does not hold for tags, ref says the same for both"


@each_pipeline
def test_a_pipeline_fits_drones_schema(name: str, tmp_path: Path) -> None:
    assert fits_schema(PIPELINES[name], tmp_path) == 0


@each_pipeline
def test_a_pipeline_keeps_the_rules(name: str) -> None:
    assert list(linted(PIPELINES[name])) == []


@pytest.mark.parametrize("key", ["setings", "imag", "command"])
def test_the_schema_refuses_a_misspelt_key(key: str, tmp_path: Path) -> None:
    broken = copy.deepcopy(PIPELINES["default"])
    broken["steps"][0][key] = ["make check"]
    assert fits_schema(broken, tmp_path) == 1


BREAKS: list[tuple[str, Any]] = [
    ("name", "clone"),
    ("name", "check"),
    ("image", "python"),
    ("image", "python:latest"),
    ("privileged", True),
    ("volumes", [{"name": "docker", "path": "/var/run/docker.sock"}]),
    ("depends_on", ["tset"]),
    ("depends_on", []),
    ("settings", {}),
    ("when", {"event": ["pussh"]}),
    ("when", {"branch": ["main"]}),
]


@pytest.mark.parametrize(("key", "value"), BREAKS)
def test_the_rules_find_what_was_broken(key: str, value: Any) -> None:
    broken = copy.deepcopy(PIPELINES["default"])
    broken["steps"][1][key] = value
    assert list(linted(broken))


def test_steps_run_what_ci_runs_and_nothing_but_make_targets() -> None:
    called = {match[1] for match in (re.fullmatch(r"make ([a-z-]+)", command) for command in commands()) if match}
    assert len(called) == len(commands())
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in called)
    in_ci = set(re.findall(r"^make ([a-z-]+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    assert called - PIPELINES_OWN == in_ci - {"lab-setup"}


def test_images_are_built_from_the_dockerfile_and_named_by_commit() -> None:
    built = [step["settings"] for step in STEPS.values() if "dockerfile" in step.get("settings", {})]
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert len(built) == 2
    for settings in built:
        assert (ROOT / settings["dockerfile"]).is_file()
        assert settings["tags"] == ["${DRONE_COMMIT_SHA:0:8}"]
        assert {argument.partition("=")[0] for argument in settings["build_args"]} <= arguments


def test_what_is_promoted_is_what_was_published() -> None:
    assert STEPS["promote"]["environment"]["TAG"] == STEPS["publish"]["settings"]["tags"][0]
    promote = PIPELINES["promote"]
    assert promote["trigger"] == {"event": ["promote"], "target": ["staging", "production"]}
    assert promote["concurrency"] == {"limit": 1}


def test_secrets_are_given_to_what_publishes_and_never_on_a_pull_request() -> None:
    trusted = {name for name, step in STEPS.items() if "from_secret" in str(step)}
    assert trusted == {"publish", "publish-sbom", "promote"}
    for name in ("publish", "publish-sbom"):
        assert set(STEPS[name]["when"]["event"]) == {"push", "tag"}
        assert set(STEPS[name]["when"]["ref"]) == {"refs/heads/main", "refs/tags/v*"}
    assert {"check", "test", "audit", "sbom"} <= set(STEPS["publish"]["depends_on"])


def commands() -> list[str]:
    return [command for step in STEPS.values() for command in step.get("commands", [])]


def fits_schema(pipeline: Pipeline, directory: Path) -> int:
    """The exit code of the schema's check, which takes one document a file."""
    file = directory / "pipeline.yml"
    file.write_text(yaml.safe_dump(pipeline))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.drone-ci", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode

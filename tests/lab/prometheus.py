"""A real Prometheus that scrapes services of this machine every second and evaluates the shipped rules."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.lab.conftest import require_part
from tests.lab.parts import Part
from tests.support import ROOT, eventually, free_port

# Windows of hours and days, and how long an alert waits, in seconds that a test has; in the order of their length.
SECONDS = {"5m": 4, "15m": 8, "30m": 8, "1h": 12, "2h": 12, "6h": 16, "1d": 16, "3d": 20, "30d": 60}
LONG = {"3600": "1h", "21600": "6h", "86400": "1d", "259200": "3d"}  # a window in seconds, where a rate is multiplied


def shipped_rules() -> str:
    """As they are, but for the one group that takes its time."""
    return re.sub(r"interval: \w+", "interval: 1s", (ROOT / "dashboards/rules.yaml").read_text())


def hurried_rules() -> str:
    """The same rules with windows and patience of seconds."""
    text = re.sub(r"\[(\w+)\]", lambda match: f"[{SECONDS[match[1]]}s]", shipped_rules())
    text = re.sub(r"(for|keep_firing_for): \w+", r"\1: 2s", text)
    text = re.sub(r"(age_seconds\{[^}]*\}) > 120\b", r"\1 > 4", text)
    return re.sub(r"\* (3600|21600|86400|259200)\b", lambda match: f"* {SECONDS[LONG[match[1]]]}", text)


class Prometheus:
    """Use as a context manager.

    Args:
        targets: port → labels that the scrape adds.
        rules: the text of the rules' file.
    """

    def __init__(self, directory: Path, targets: Mapping[int, Mapping[str, str]], rules: str) -> None:
        self._binary = shutil.which("prometheus") or ""
        require_part("prometheus", bool(self._binary))
        self._directory = directory
        (directory / "rules.yaml").write_text(rules)
        groups = [{"targets": [f"127.0.0.1:{port}"], "labels": dict(labels)} for port, labels in targets.items()]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "hola", "static_configs": groups}],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._address = f"127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        options = [f"--config.file={self._directory}/prometheus.yml", f"--storage.tsdb.path={self._directory}/data"]
        command = [self._binary, *options, f"--web.listen-address={self._address}", "--log.level=warn"]
        self._part = Part(command, self._directory / "prometheus.log")
        eventually(self._is_ready, "Prometheus is ready", 30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._part.stop()
        print(self._part.log.read_text())

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an instant query returns now; nothing is an empty list."""
        return list(self._get(f"query?{urlencode({'query': expression})}")["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"}

    def _get(self, path: str) -> dict[str, Any]:
        with urlopen(f"http://{self._address}/api/v1/{path}", timeout=10) as response:
            return dict(json.load(response)["data"])

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://{self._address}/-/ready", timeout=1) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False

"""The canary's analyses on made-up series, by Prometheus' own tool: every edge that a query has to survive."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.lab.canary import FAILED, INCONCLUSIVE, SUCCESSFUL, analyses
from tests.lab.conftest import require_part

ARGUMENTS = {"namespace": "hola", "canary_hash": "new", "stable_hash": "old"}
Series = dict[str, str]


def requests(version: str, status: int, values: str, route: str = "/") -> Series:
    labels = f'namespace="hola", job="hola", rollouts_pod_template_hash="{version}", route="{route}", status="{status}"'
    return {f"http_requests_total{{{labels}}}": values}


def durations(version: str, fast: int, slow: int) -> Series:
    """So many requests a scrape below 50 ms, and between 500 ms and a second."""
    labels = f'namespace="hola", job="hola", rollouts_pod_template_hash="{version}", route="/"'
    buckets = {"0.05": fast, "0.5": fast, "1": fast + slow, "+Inf": fast + slow}
    found = {f'http_request_duration_seconds_bucket{{{labels}, le="{le}"}}': f"0+{n}x20" for le, n in buckets.items()}
    return found | {f"http_request_duration_seconds_count{{{labels}}}": f"0+{fast + slow}x20"}


def reloads(version: str, *pods: str) -> Series:
    labels = f'namespace="hola", job="hola", rollouts_pod_template_hash="{version}"'
    return {f'hola_config_last_reload_successful{{{labels}, pod="{n}"}}': values for n, values in enumerate(pods)}


# Analysis, what is there, the value (None: no result), the phase. A step is 15 s, so that the window is full.
CASES: dict[str, tuple[str, Series, float | None, str]] = {
    "all is well": ("success", requests("new", 200, "0+10x20"), 1, SUCCESSFUL),
    "one in 100 fails": (
        "success",
        requests("new", 200, "0+99x20") | requests("new", 503, "0+1x20"),
        0.99,
        SUCCESSFUL,
    ),
    "three in 100 fail": (
        "success",
        requests("new", 200, "0+97x20") | requests("new", 500, "0+3x20"),
        0.97,
        INCONCLUSIVE,
    ),
    "one in ten fails": ("success", requests("new", 200, "0+9x20") | requests("new", 500, "0+1x20"), 0.9, FAILED),
    "only errors": ("success", requests("new", 500, "0+10x20"), 0, FAILED),
    "what clients do wrong": ("success", requests("new", 404, "0+10x20"), 1, SUCCESSFUL),
    "the stable version fails": (
        "success",
        requests("new", 200, "0+10x20") | requests("old", 500, "0+90x20"),
        1,
        SUCCESSFUL,
    ),
    "no traffic": ("success", requests("new", 200, "5x20"), None, INCONCLUSIVE),
    "no canary at all": ("success", requests("old", 200, "0+10x20"), None, INCONCLUSIVE),
    "hardly any traffic": ("success", requests("new", 500, "0+1x20"), None, INCONCLUSIVE),
    "only probes": ("success", requests("new", 503, "0+10x20", "/readyz"), None, INCONCLUSIVE),
    "as fast": ("latency", durations("new", 10, 0) | durations("old", 10, 0), 1, SUCCESSFUL),
    "as slow": ("latency", durations("new", 10, 10) | durations("old", 10, 10), 1, SUCCESSFUL),
    "slower": ("latency", durations("new", 10, 10) | durations("old", 10, 0), 9.5, FAILED),
    "faster": ("latency", durations("new", 10, 0) | durations("old", 10, 10), 0.11, SUCCESSFUL),
    "a fast canary alone": ("latency", durations("new", 10, 0), 1, SUCCESSFUL),
    "a slow canary alone": ("latency", durations("new", 10, 10), 9.5, FAILED),
    "a slow canary, no traffic beside it": (
        "latency",
        durations("new", 10, 10) | durations("old", 0, 0),
        9.5,
        FAILED,
    ),
    "no traffic to be timed": ("latency", durations("new", 0, 0) | durations("old", 10, 0), None, INCONCLUSIVE),
    "nothing to be timed": ("latency", durations("old", 10, 0), None, INCONCLUSIVE),
    "taken on": ("config", reloads("new", "1x20", "1x20") | reloads("old", "1x20"), 1, SUCCESSFUL),
    "refused by one canary": ("config", reloads("new", "1x20", "1x12 0x8") | reloads("old", "1x20"), 0, FAILED),
    "refused by the first canary": ("config", reloads("new", "0x20"), 0, FAILED),
    "refused by both": ("config", reloads("new", "0x20") | reloads("old", "0x20"), None, INCONCLUSIVE),
    "refused by the stable alone": ("config", reloads("new", "1x20") | reloads("old", "0x20"), 1, SUCCESSFUL),
    "no canary to ask": ("config", reloads("old", "1x20"), None, INCONCLUSIVE),
}


@pytest.mark.parametrize("case", CASES)
def test_an_analysis_judges(case: str, tmp_path: Path) -> None:
    """What promtool computes is the value that stands here, and the phase of that value the one that stands here."""
    name, series, value, phase = CASES[case]
    analysis = analyses()[f"hola-{name}"]
    file = tmp_path / "test.yaml"
    expected = [] if value is None else [{"labels": "{}", "value": value}]
    query = f"round({analysis.query(**ARGUMENTS)}, 0.01)"
    promtool(file, series, query, expected)
    assert analysis.phase([] if value is None else [value]) == phase


def test_a_wrong_expectation_is_told(tmp_path: Path) -> None:
    """So the test above can fail."""
    query = analyses()["hola-success"].query(**ARGUMENTS)
    with pytest.raises(AssertionError, match="exp:"):
        promtool(tmp_path / "test.yaml", requests("new", 200, "0+10x20"), query, [])


def promtool(file: Path, series: Series, query: str, expected: list[dict[str, object]]) -> None:
    binary = shutil.which("promtool") or ""
    require_part("promtool", bool(binary))
    asked = {"expr": query, "eval_time": "5m", "exp_samples": expected}
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    tests = [{"interval": "15s", "input_series": inputs, "promql_expr_test": [asked]}]
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "15s", "tests": tests}))
    done = subprocess.run([binary, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""The shipped recording and alerting rules, read and evaluated by Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab.conftest import require_part
from tests.support import ROOT, Service

UNIT_TESTS = sorted((ROOT / "tests/rules").glob("*.yaml"))


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    promtool = shutil.which("promtool") or ""
    require_part("promtool", bool(promtool))
    return subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)


def test_promtool_accepts_the_rules_without_a_lint_finding() -> None:
    """What is shipped loads as it is: no syntax error, no duplicate rule, no unknown field."""
    done = _promtool("check", "rules", "--lint=all", "--lint-fatal", str(ROOT / "dashboards/rules.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_every_alert_fires_when_it_should_and_only_then(path: Path) -> None:
    """Each alert over hours and days of made-up samples: fires, just below, recovers, no data, low traffic."""
    done = _promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_is_noticed(tmp_path: Path) -> None:
    """That promtool agrees means something: with another threshold it does not."""
    rules = (ROOT / "dashboards/rules.yaml").read_text()
    assert rules.count("> 0.9\n") == 1
    (tmp_path / "rules.yaml").write_text(rules.replace("> 0.9\n", "> 0.95\n"))
    test = (ROOT / "tests/rules/instances.yaml").read_text()
    (tmp_path / "instances.yaml").write_text(test.replace("../../dashboards/rules.yaml", "rules.yaml"))
    done = _promtool("test", "rules", str(tmp_path / "instances.yaml"))
    assert done.returncode == 1
    assert "HolaWorkersSaturated" in done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_names_of_a_real_scrape(tmp_path: Path) -> None:
    """Base units, help texts, _total where it counts: Prometheus' own lint of the live exposition."""
    promtool = shutil.which("promtool") or ""
    require_part("promtool", bool(promtool))
    with Service(tmp_path, WEB_CONCURRENCY="1") as service:
        service.ready().get("/")
        text = service.get("/metrics").body
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")

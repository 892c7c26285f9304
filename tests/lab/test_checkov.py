"""checkov, with the repository's own configuration, over what is rendered and over the Dockerfile."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.conftest import require_part
from tests.lab.pods import rendered
from tests.support import ROOT

CHECKOV = Path("/usr/local/lib/hola-lab/checkov/bin/checkov")
BUILDS = ["k8s/overlays/dev", "k8s/overlays/staging", "k8s/overlays/prod", "k8s/jobs/prod", "k8s/argocd"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Everything that it is to look at."""
    require_part("checkov", CHECKOV.exists())
    for build in BUILDS:
        (tmp_path / f"{build.replace('/', '-')}.yaml").write_text(yaml.safe_dump_all(rendered(build)))
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    return tmp_path


def test_nothing_fails_and_every_framework_looked(directory: Path) -> None:
    """Without a finding; a file that cannot be parsed would be none, so that is looked at as well."""
    reports = scan(directory)
    assert {"kubernetes", "dockerfile"} <= reports.keys()
    print({kind: report["summary"] for kind, report in reports.items()})
    for report in reports.values():
        assert report["summary"]["failed"] == 0, report["results"]["failed_checks"]
        assert report["summary"]["parsing_errors"] == 0
    assert reports["kubernetes"]["summary"]["passed"] > 1000


def test_a_pod_that_may_do_more_is_found(directory: Path) -> None:
    """So the test above can fail."""
    file = directory / "k8s-overlays-prod.yaml"
    file.write_text(file.read_text().replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"))
    failed = scan(directory)["kubernetes"]["results"]["failed_checks"]
    assert {check["check_id"] for check in failed} == {"CKV_K8S_20"}


def scan(directory: Path) -> dict[str, dict[str, Any]]:
    """The report of each framework that had something to look at."""
    command = [str(CHECKOV), "--config-file", str(ROOT / ".checkov.yaml"), "-d", str(directory), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    return {report["check_type"]: report for report in (found if isinstance(found, list) else [found])}

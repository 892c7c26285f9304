"""docs/deploy.md and k8s/README.md against the repository: what a reader is told to type or to look at exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.manifests.render import build
from tests.support import ROOT

GUIDES = [ROOT / "docs/deploy.md", ROOT / "k8s/README.md", ROOT / "k8s/components/iam-role/README.md"]
GUIDE = GUIDES[0].read_text()
JOBS = {job["metadata"]["labels"]["command"] for job in build("jobs/prod").of("Job")}


def test_every_kustomization_that_is_applied_exists() -> None:
    paths = re.findall(r"-k (k8s/[\w/]+)", GUIDE)
    assert paths
    assert [path for path in paths if not (ROOT / path / "kustomization.yaml").is_file()] == []


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make ([a-z-]+)", GUIDE, re.MULTILINE)
    assert targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_every_job_is_named_and_exists() -> None:
    named = set(re.findall(r"job/hola-([a-z-]+)|-l command=([a-z-]+)", GUIDE))
    assert {first or second for first, second in named} <= JOBS
    (sentence,) = re.findall(r"^`settings`, .*$", GUIDE, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == JOBS


def test_the_table_of_analyses_is_what_the_templates_say() -> None:
    templates = {m["metadata"]["name"]: m["spec"]["metrics"][0] for m in build("overlays/prod").of("AnalysisTemplate")}
    rows = dict(re.findall(r"^\| `(hola-[a-z]+)` \| .* \| (.+? \| .+?) \|$", GUIDE, re.MULTILINE))
    assert rows.keys() == templates.keys()
    assert [metric["count"] for metric in templates.values()] == [5, 5, 5]
    assert [metric["interval"] for metric in templates.values()] == ["30s"] * 3
    assert limits(templates["hola-success"]) == ("0.99", "0.95")
    assert tuple(re.findall(r"\d+", rows["hola-success"])) == ("99", "95")
    assert limits(templates["hola-latency"]) == tuple(re.findall(r"[\d.]+", rows["hola-latency"]))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_link_within_the_repository_leads_somewhere(guide: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", guide.read_text())
    assert [target for target in targets if not (guide.parent / target).exists()] == []


def limits(metric: dict[str, str]) -> tuple[str, ...]:
    conditions = metric["successCondition"], metric["failureCondition"]
    return tuple(re.findall(r"result\[0\] [<>=]+ ([\d.]+)", " ".join(conditions)))

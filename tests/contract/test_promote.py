"""`make promote` on a repository of its own with a remote: what it commits, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.contract.manifests.render import kustomize
from tests.support import ROOT

TAG, DIGEST = "1a2b3c4d", "sha256:" + "0" * 64
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/hola"


class Repository:
    """A clone and its remote, both with the manifests of this repository."""

    def __init__(self, directory: Path) -> None:
        self.tree, self.remote = directory / "tree", directory / "remote.git"
        shutil.copytree(ROOT / "k8s", self.tree / "k8s")
        shutil.copytree(ROOT / ".ci", self.tree / ".ci")
        shutil.copy(ROOT / "Makefile", self.tree)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", ".")
        self.commit("first")
        self.git("clone", "--quiet", "--bare", ".", str(self.remote))
        self.git("remote", "add", "origin", str(self.remote))

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.tree, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str) -> None:
        self.git("-c", "user.name=ana", "-c", "user.email=ana@example.com", "commit", "--quiet", "-am", message)

    def promote(self, *variables: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "promote", *variables]
        return subprocess.run(command, cwd=self.tree, capture_output=True, text=True, check=False)

    def pushed(self) -> list[str]:
        """The subjects on the remote's main, newest first."""
        return self.git("--git-dir", str(self.remote), "log", "--format=%s", "main").splitlines()

    def images(self, overlay: str) -> set[str]:
        """What the overlay runs, by what was pushed."""
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "origin/main")
        rendered = yaml.safe_load_all(kustomize(self.tree / "k8s/overlays" / overlay))
        templates = [m["spec"]["template"] for m in rendered if m["kind"] in {"Deployment", "Job"}]
        return {container["image"] for template in templates for container in template["spec"]["containers"]}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.mark.parametrize(
    ("target", "overlay", "other"), [("production", "prod", "staging"), ("staging", "staging", "prod")]
)
def test_a_tag_is_committed_to_its_overlay_and_no_other(
    repository: Repository, target: str, overlay: str, other: str
) -> None:
    done = repository.promote(f"TARGET={target}", f"TAG={TAG}")
    assert (done.returncode, done.stderr) == (0, "")
    assert repository.pushed()[0] == f"{overlay}: hola {TAG} [CI SKIP]"
    assert repository.git("status", "--porcelain") == ""
    assert repository.images(overlay) == {f"{IMAGE}:{TAG}"}
    assert repository.images(other) == {f"{IMAGE}:00000000"}


def test_a_digest_takes_the_tags_place_and_a_tag_the_digests(repository: Repository) -> None:
    assert repository.promote("TARGET=production", f"TAG={TAG}", f"DIGEST={DIGEST}").returncode == 0
    assert repository.images("prod") == {f"{IMAGE}@{DIGEST}"}
    assert repository.promote("TARGET=production", "TAG=00000001").returncode == 0
    assert repository.images("prod") == {f"{IMAGE}:00000001"}


def test_what_runs_already_is_not_promoted_again(repository: Repository) -> None:
    for _ in range(2):
        assert repository.promote("TARGET=staging", f"TAG={TAG}").returncode == 0
    assert len(repository.pushed()) == 2


def test_what_somebody_else_pushed_stays(repository: Repository) -> None:
    """The clone is behind its remote, as a pipeline's is after a while."""
    (repository.tree / "Makefile").open("a").write("# changed meanwhile\n")
    repository.commit("somebody else's")
    repository.git("push", "--quiet", "origin", "main")
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    assert repository.promote("TARGET=staging", f"TAG={TAG}").returncode == 0
    assert repository.pushed()[1:] == ["somebody else's", "first"]


@pytest.mark.parametrize(
    "variables",
    [
        (),
        ("TARGET=dev", f"TAG={TAG}"),
        ("TARGET=production", "TAG=latest"),
        ("TARGET=production", "TAG="),
        ("TARGET=production", f"TAG={TAG}|e"),
        ("TARGET=production", f"TAG={TAG}", "DIGEST=sha256:12"),
        ("TARGET=production", f"TAG={TAG}", "DIGEST=; date"),
    ],
)
def test_what_is_no_reference_is_refused(repository: Repository, variables: tuple[str, ...]) -> None:
    done = repository.promote(*variables)
    assert "make promote TARGET=staging|production TAG=TAG [DIGEST=DIGEST]" in done.stderr
    assert done.returncode != 0
    assert len(repository.pushed()) == 1

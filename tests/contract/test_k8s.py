"""The manifests as they are rendered, held to every rule; test_k8s_rules.py shows that each rule can fail."""

from __future__ import annotations

import pytest
import yaml

from hola.commands import cli
from tests.contract.manifests.render import BUILDS, DEPLOYED, Build, build
from tests.contract.manifests.rules import ARGOCD_RULES, DEPLOYED_RULES, RULES
from tests.support import ROOT


@pytest.fixture(params=BUILDS)
def rendered(request: pytest.FixtureRequest) -> Build:
    return build(request.param)


@pytest.mark.parametrize("rule", RULES)
def test_manifests_keep_the_rule(rendered: Build, rule: str) -> None:
    assert list(RULES[rule](rendered)) == []


@pytest.mark.parametrize("name", DEPLOYED)
@pytest.mark.parametrize("rule", DEPLOYED_RULES)
def test_what_is_deployed_keeps_the_rule(name: str, rule: str) -> None:
    assert list(DEPLOYED_RULES[rule](build(name))) == []


@pytest.mark.parametrize("rule", ARGOCD_RULES)
def test_argo_cds_own_resources_keep_the_rule(rule: str) -> None:
    assert list(ARGOCD_RULES[rule](build("argocd"))) == []


def test_the_prometheus_rule_is_the_rules_of_the_dashboards() -> None:
    plain = yaml.safe_load((ROOT / "dashboards/rules.yaml").read_text())
    assert build("overlays/prod").one("PrometheusRule")["spec"] == plain, "make prometheusrule writes it"


def test_a_change_of_settings_is_a_rollout_and_one_of_the_document_is_not() -> None:
    names = [build(f"overlays/{overlay}").names("ConfigMap") for overlay in ("dev", "staging", "prod")]
    assert len({name for found in names for name in found if name.startswith("hola-env-")}) == 3
    assert all("hola-live" in found for found in names)


def test_every_command_has_a_job() -> None:
    """And what a Job says is a command."""
    groups = {name: group.commands for name, group in cli.commands.items() if hasattr(group, "commands")}
    commands: set[tuple[str, ...]] = {(name,) for name in cli.commands if name not in groups}
    commands |= {(name, sub) for name, group in groups.items() for sub in group}
    jobs = build("jobs/prod").of("Job")
    arguments = [tuple(job["spec"]["template"]["spec"]["containers"][0]["args"]) for job in jobs]
    assert {words[: 1 + (words[0] in groups)] for words in arguments} == commands


def test_the_sidecar_runs_the_line_that_the_lab_tests() -> None:
    """Option by option, but for where Consul is."""
    readme = (ROOT / "k8s/confd/README.md").read_text()
    documented = next(line for line in readme.splitlines() if line.startswith("confd -backend")).split()[1:]
    pairs = {f"{name}={value}" for name, value in zip(documented[::2], documented[1::2], strict=True)}
    (sidecar,) = build("component:confd").server["spec"]["initContainers"]
    assert {word for word in pairs ^ set(sidecar["args"]) if not word.startswith("-node=")} == set()
    assert sidecar["restartPolicy"] == "Always", "a native sidecar: hola starts after it and ends before it"

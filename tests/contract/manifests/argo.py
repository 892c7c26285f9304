"""What `kubectl argo rollouts lint` and Argo CD would say, and the references among Argo's resources."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promql_parser import parse

from tests.contract.manifests.render import Build, Manifest, build, walk
from tests.support import ROOT

HOOKS = {"PreSync", "Sync", "PostSync", "SyncFail", "Skip", "PreDelete", "PostDelete"}
ANNOTATION = "argocd.argoproj.io/"
METRIC = re.compile(r"\b((?:http|hola)_[a-z_]+)\{")


def wrong_rollouts(build: Build) -> Iterator[str]:
    """https://github.com/argoproj/argo-rollouts/blob/v1.9.1/pkg/apis/rollouts/validation/validation.go"""
    for rollout in build.of("Rollout"):
        spec = rollout["spec"]
        canary = spec["strategy"]["canary"]
        if "template" in spec or "selector" in spec:
            yield "workloadRef and template exclude each other"
        reference = spec["workloadRef"]
        found = [m for m in build.of(reference["kind"]) if m["metadata"]["name"] == reference["name"]]
        if [m["spec"].get("replicas") for m in found] != [0]:
            yield "the Deployment that it stands for is missing, or has pods of its own"
        services = {canary["canaryService"], canary["stableService"]}
        if len(services) != 2 or not services <= build.names("Service"):
            yield f"Services {sorted(services)}"
        if canary["maxUnavailable"] == canary["maxSurge"] == 0:
            yield "it could never move"
        yield from _wrong_steps(build, canary["steps"])


def _wrong_steps(build: Build, steps: list[Manifest]) -> Iterator[str]:
    weights = [step["setWeight"] for step in steps if "setWeight" in step]
    if weights != sorted(weights) or not all(0 < weight < 100 for weight in weights):
        yield f"weights {weights}"
    if not any("analysis" in step for step in steps):
        yield "nobody judges the canary"
    for step in steps:
        if len(step) != 1 or not step.keys() <= {"setWeight", "pause", "analysis"}:
            yield f"step {sorted(step)}"
        if not re.fullmatch(r"[1-9]\d*[smh]", step.get("pause", {}).get("duration", "1s")):
            yield f"pause {step['pause']}"
        if "analysis" in step:
            yield from _wrong_analysis(build, step["analysis"])


def _wrong_analysis(build: Build, analysis: Manifest) -> Iterator[str]:
    given = {argument["name"] for argument in analysis["args"]}
    known: set[str] = set()
    for template in analysis["templates"]:
        if template["templateName"] not in build.names("AnalysisTemplate"):
            yield f"no template {template['templateName']}"
            continue
        arguments = build.one("AnalysisTemplate", template["templateName"])["spec"]["args"]
        known |= {argument["name"] for argument in arguments}
        needed = {argument["name"] for argument in arguments if "value" not in argument}
        yield from (f"{template['templateName']} lacks {name}" for name in sorted(needed - given))
    yield from (f"nobody takes {name}" for name in sorted(given - known))
    yield from _clashes([m["spec"] for m in build.of("AnalysisTemplate")])


def _clashes(specs: list[Manifest]) -> Iterator[str]:
    """Templates that run together are merged: metrics must differ, and what has a value twice has the same."""
    names = [metric["name"] for spec in specs for metric in spec["metrics"]]
    yield from (f"two metrics are called {name}" for name in names if names.count(name) > 1)
    values: dict[str, str] = {}
    for argument in (argument for spec in specs for argument in spec["args"] if "value" in argument):
        if values.setdefault(argument["name"], argument["value"]) != argument["value"]:
            yield f"two values of {argument['name']}"


def wrong_templates(build: Build) -> Iterator[str]:
    """Arguments that exist, conditions that are guarded, queries that parse and ask for metrics that hola has."""
    documented = set(re.findall(r"`((?:http|hola)_[a-z_]+)`", (ROOT / "README.md").read_text()))
    for template in build.of("AnalysisTemplate"):
        name, spec = template["metadata"]["name"], template["spec"]
        declared = {argument["name"] for argument in spec["args"]}
        used = {argument for _, value in walk(spec) for argument in re.findall(r"\{\{args\.([\w-]+)\}\}", str(value))}
        yield from (f"{name}: argument {argument}" for argument in sorted(used ^ declared))
        for metric in spec["metrics"]:
            yield from (f"{name}: {fault}" for fault in _wrong_metric(metric, documented))


def _wrong_metric(metric: Manifest, documented: set[str]) -> Iterator[str]:
    for key in ("successCondition", "failureCondition"):
        if not metric.get(key, "").startswith("len(result) > 0 && !isNaN(result[0]) && "):
            yield f"{key}: no result is an error instead of inconclusive"
    if not metric.get("count") or metric.get("failureLimit", 0) >= metric["count"]:
        yield "it cannot fail"
    query = re.sub(r"\{\{args\.[\w-]+\}\}", "1m", metric["provider"]["prometheus"]["query"])
    try:
        parse(query.replace(">= 1m", ">= 1").replace("vector(1m)", "vector(1)").replace(" 1m\n", " 1\n"))
    except ValueError as error:
        yield f"query: {error}"
    asked = {re.sub(r"(_bucket|_count|_sum)$", "", name) for name in METRIC.findall(query)}
    yield from (f"hola has no metric {name}" for name in sorted(asked - documented))
    if query.count("rollouts_pod_template_hash=") != len(METRIC.findall(query)):
        yield "a selector is not of one version"


def wrong_hooks(build: Build) -> Iterator[str]:
    """A hook that is misspelt is an ordinary resource, and told by nobody."""
    for manifest in build.manifests:
        notes = manifest["metadata"].get("annotations", {})
        hook = notes.get(f"{ANNOTATION}hook")
        if hook is not None and hook not in HOOKS:
            yield f"hook {hook}"
        if hook is not None and notes.get(f"{ANNOTATION}hook-delete-policy") != "BeforeHookCreation":
            yield f"{manifest['metadata']['name']} meets the one of the last sync"


def wrong_monitors(build: Build) -> Iterator[str]:
    """The labels that rules, dashboards and analyses ask for come from the monitor."""
    for monitor in build.of("PodMonitor"):
        if monitor["spec"].get("jobLabel") != "app.kubernetes.io/name":
            yield "the job is not called hola"
        if "rollouts-pod-template-hash" not in monitor["spec"].get("podTargetLabels", []):
            yield "no metric says of which version it is"


def wrong_applications(argocd: Build) -> Iterator[str]:
    """Path, project, namespace and kinds of Argo CD's own resources, against what the overlays render."""
    project = argocd.one("AppProject")["spec"]
    allowed = {(kind["group"], kind["kind"]) for kind in project["namespaceResourceWhitelist"]}
    rendered: set[tuple[str, str]] = set()
    for application in argocd.of("Application"):
        spec, source = application["spec"], application["spec"]["source"]
        place = {"server": spec["destination"]["server"], "namespace": spec["destination"]["namespace"]}
        if spec["project"] not in argocd.names("AppProject") or place not in project["destinations"]:
            yield f"{application['metadata']['name']} is not in its project"
        if source["repoURL"] not in project["sourceRepos"] or source["targetRevision"] == "HEAD":
            yield f"source {source['repoURL']} {source['targetRevision']}"
        if not (ROOT / source["path"] / "kustomization.yaml").is_file() or source["path"].startswith("k8s/argocd"):
            yield f"path {source['path']}"
            continue
        synced = build(source["path"].removeprefix("k8s/"))
        (namespace,) = synced.of("Namespace")
        if namespace["metadata"]["name"] != place["namespace"]:
            yield f"{source['path']} is for {namespace['metadata']['name']}"
        managed = spec["syncPolicy"]["managedNamespaceMetadata"]["labels"]
        if {k: v for k, v in namespace["metadata"]["labels"].items() if k.startswith("pod-security")} != managed:
            yield f"the namespace of {source['path']} has other labels"
        rendered |= {_group_and_kind(manifest) for manifest in synced.manifests}
    yield from (f"{kind}" for kind in sorted(rendered ^ allowed ^ {("", "Namespace")}))


def _group_and_kind(manifest: Manifest) -> tuple[str, str]:
    group, _, version = manifest["apiVersion"].rpartition("/")
    return group if version else "", manifest["kind"]

"""Whether everything that a manifest names is there: what neither the schemas nor the API server check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.contract.manifests.render import Build, Manifest, containers


def unresolved_sources(build: Build) -> Iterator[str]:
    """Accounts, ConfigMaps and Secrets of pods; only an optional Secret may come from outside."""
    provided = {
        "ConfigMap": build.names("ConfigMap"),
        "Secret": build.names("Secret") | {m["spec"]["target"]["name"] for m in build.of("ExternalSecret")},
        "ServiceAccount": build.names("ServiceAccount") | {"default"},
    }
    for pod in build.pods:
        for kind, name, optional in _sources(pod):
            if name not in provided[kind] and not optional:
                yield f"{kind} {name}"


def _sources(pod: Manifest) -> Iterator[tuple[str, str, bool]]:
    spec = pod["spec"]
    yield "ServiceAccount", spec.get("serviceAccountName", "default"), False
    for volume in spec.get("volumes", []):
        for key, kind, name in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            if key in volume:
                yield kind, volume[key][name], volume[key].get("optional", False)
    for container in containers(pod):
        references = [*container.get("envFrom", []), *(e.get("valueFrom", {}) for e in container.get("env", []))]
        for reference in references:
            for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                for found in (reference.get(f"{key}Ref"), reference.get(f"{key}KeyRef")):
                    if found:
                        yield kind, found["name"], found.get("optional", False)


def unresolved_mounts(build: Build) -> Iterator[str]:
    """Mounts name volumes, volumes name keys, and no volume is left unmounted."""
    for pod in build.pods:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        mounted = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", [])}
        yield from (f"volume {name}" for name in sorted(mounted ^ volumes.keys()))
        for volume in volumes.values():
            source = volume.get("configMap", {})
            if source.get("name") in build.names("ConfigMap"):
                keys = build.one("ConfigMap", source["name"])["data"].keys()
                yield from (f"key {item['key']}" for item in source.get("items", []) if item["key"] not in keys)


def unresolved_ports(build: Build) -> Iterator[str]:
    """Every port that is named is one of a container, and the name is at most 15 characters long."""
    for pod in build.pods:
        for container in containers(pod):
            own = _ports([container])
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in own:
                    yield f"{container['name']}.{probe}: {port}"
    served = _ports(containers(build.server)) if build.of("Deployment") else set()
    for owner, port in _named_ports(build):
        if port not in served:
            yield f"{owner}: {port}"
    yield from (f"{port} is too long" for port in served if len(port) > 15)


def _ports(of: Iterable[Manifest]) -> set[str]:
    return {port["name"] for container in of for port in container.get("ports", [])}


def _named_ports(build: Build) -> Iterator[tuple[str, str]]:
    for service in build.of("Service"):
        for port in service["spec"]["ports"]:
            yield f"Service {service['metadata']['name']}", port["targetPort"]
    for monitor in build.of("PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            yield "PodMonitor", endpoint["port"]
    for policy in build.of("NetworkPolicy"):
        for rule in (*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])):
            for port in rule.get("ports", []):
                if isinstance(port["port"], str):
                    yield f"NetworkPolicy {policy['metadata']['name']}", port["port"]


def wrong_selectors(build: Build) -> Iterator[str]:
    """Who selects, selects the pods that serve, and no others; what a workload selects are its own."""
    for deployment in build.of("Deployment"):
        spec, labels = deployment["spec"], deployment["spec"]["template"]["metadata"]["labels"]
        if not _matches(spec["selector"]["matchLabels"], labels):
            yield "Deployment"
        for constraint in spec["template"]["spec"]["topologySpreadConstraints"]:
            if not _matches(constraint["labelSelector"]["matchLabels"], labels):
                yield f"spread over {constraint['topologyKey']}"
    for owner, selector in _selectors(build):
        kinds = [w["kind"] for w in build.workloads if _matches(selector, w["spec"]["template"]["metadata"]["labels"])]
        if kinds != ["Deployment"]:
            yield f"{owner} selects {kinds}"
    for policy in build.of("NetworkPolicy"):
        selector = policy["spec"]["podSelector"].get("matchLabels", {})
        is_for_jobs = selector.get("app.kubernetes.io/component") == "admin"
        labels = [pod["metadata"]["labels"] for pod in build.pods]
        if selector and not is_for_jobs and not any(_matches(selector, found) for found in labels):
            yield f"NetworkPolicy {policy['metadata']['name']} selects nothing"


def _selectors(build: Build) -> Iterator[tuple[str, dict[str, str]]]:
    for service in build.of("Service"):
        yield f"Service {service['metadata']['name']}", service["spec"]["selector"]
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        for manifest in build.of(kind):
            yield kind, manifest["spec"]["selector"]["matchLabels"]


def _matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def unresolved_scaling(build: Build) -> Iterator[str]:
    """What is scaled is there, sets no number of its own, and a disruption leaves at least one of the fewest."""
    for scaler in build.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        found = [m for m in build.of(target["kind"]) if m["metadata"]["name"] == target["name"]]
        if not found:
            yield f"{target['kind']} {target['name']}"
        yield from (f"{m['kind']} sets replicas" for m in found if "replicas" in m["spec"])
        names = {container["name"] for container in containers(build.server)}
        for metric in scaler["spec"]["metrics"]:
            if metric["containerResource"]["container"] not in names:
                yield f"container {metric['containerResource']['container']}"
        for budget in build.of("PodDisruptionBudget"):
            if budget["spec"]["maxUnavailable"] >= scaler["spec"]["minReplicas"]:
                yield "a disruption may take every pod"


def strayed_namespaces(build: Build) -> Iterator[str]:
    """Everything is in the namespace that comes with it, if one does, and never in `default`."""
    found = {m["metadata"].get("namespace", "default") for m in build.manifests if m["kind"] != "Namespace"}
    if len(found) != 1 or "default" in found or (build.of("Namespace") and found != build.names("Namespace")):
        yield f"{sorted(found)}"
    for namespace in build.of("Namespace"):
        if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "its pods are not restricted"

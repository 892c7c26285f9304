"""Each rule of the manifests, proven by breaking a manifest: a rule that cannot fail guards nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.manifests.pod_security import restricted_violations
from tests.contract.manifests.render import DEPLOYED, Manifest, build
from tests.contract.manifests.rules import ARGOCD_RULES, DEPLOYED_RULES, RULES

EVERY_RULE = RULES | DEPLOYED_RULES | ARGOCD_RULES
POD = "spec.template.spec"
SERVER = f"{POD}.containers.0"
CANARY = "spec.strategy.canary"
METRIC = "spec.metrics.0"
GONE = object()

# Rule, kind/name, path, the value put there (GONE takes away what is there).
BREAKS: list[tuple[str, str, str, Any]] = [
    ("known kinds", "Service/hola", "kind", "Servise"),
    ("known kinds", "HorizontalPodAutoscaler/hola", "apiVersion", "autoscaling/v2beta2"),
    ("kubernetes schemas", "Deployment/hola", "spec.minReadySecond", 5),
    ("kubernetes schemas", "Deployment/hola", f"{SERVER}.livenessProbe.timeoutSeconds", "2s"),
    ("kubernetes schemas", "NetworkPolicy/hola", "spec.podSelector", GONE),
    ("custom schemas", "Rollout/hola", f"{CANARY}.steps.0.setWeigth", 25),
    ("custom schemas", "Rollout/hola", "sepc", {}),
    ("custom schemas", "AnalysisTemplate/hola-success", f"{METRIC}.successConditon", "true"),
    ("custom schemas", "PodMonitor/hola", "spec.podTargetLabel", ["a"]),
    ("custom schemas", "PrometheusRule/hola", "spec.groups.0.rules.0.expresion", "up"),
    ("custom schemas", "ExternalSecret/hola-secrets", "spec.secretStoreRef.knd", "SecretStore"),
    ("schemas of Argo CD", "Application/hola-prod", "spec.syncPolicy.automated.selfheal", True),
    ("schemas of Argo CD", "AppProject/hola", "spec.destination", []),
    ("kinds of Argo CD", "AppProject/hola", "apiVersion", "argoproj.io/v1"),
    ("pod security", "Deployment/hola", f"{POD}.hostNetwork", True),
    ("sources", "Deployment/hola", f"{SERVER}.envFrom.0.configMapRef.name", "hola-envv"),
    ("sources", "Deployment/hola", f"{POD}.serviceAccountName", "holla"),
    ("sources", "ExternalSecret/hola-secrets", "spec.target.name", "hola-secret"),
    ("sources", "Job/hola-config-check", f"{POD}.volumes.1.configMap.name", "hola-candidates"),
    ("mounts and volumes", "Deployment/hola", f"{SERVER}.volumeMounts.0.name", "temp"),
    ("mounts and volumes", "Deployment/hola", f"{POD}.volumes.1.name", "dead"),
    ("ports", "Deployment/hola", f"{SERVER}.readinessProbe.httpGet.port", "htp"),
    ("ports", "Service/hola-canary", "spec.ports.0.targetPort", "web"),
    ("ports", "PodMonitor/hola", "spec.podMetricsEndpoints.0.port", "metrics"),
    ("ports", "NetworkPolicy/hola", "spec.ingress.0.ports.0.port", "https"),
    ("selectors", "Deployment/hola", "spec.template.metadata.labels", {"app.kubernetes.io/name": "hola"}),
    ("selectors", "Service/hola", "spec.selector", {"app.kubernetes.io/name": "hola"}),
    ("selectors", "PodDisruptionBudget/hola", "spec.selector.matchLabels", {"app": "hola"}),
    ("selectors", "PodMonitor/hola", "spec.selector.matchLabels", {}),
    ("selectors", "NetworkPolicy/hola", "spec.podSelector.matchLabels", {"app": "hola"}),
    ("scaling", "HorizontalPodAutoscaler/hola", "spec.scaleTargetRef.name", "holla"),
    ("scaling", "HorizontalPodAutoscaler/hola", "spec.metrics.0.containerResource.container", "app"),
    ("scaling", "PodDisruptionBudget/hola", "spec.maxUnavailable", 3),
    ("scaling", "Rollout/hola", "spec.replicas", 4),
    ("settings", "Job/hola-identity", f"{SERVER}.env", [{"name": "HOLA_BUKET", "value": "b"}]),
    ("settings", "Deployment/hola", f"{SERVER}.env", [{"name": "WEB_CONCURRENCY", "value": "four"}]),
    ("documents", "ConfigMap/hola-live", "data", {"config.json": '{"greting": "Hola!"}'}),
    ("documents", "ConfigMap/hola-live", "data", {"config.json": '{"static": {"workers": 5}}'}),
    ("documents", "ConfigMap/hola-candidate", "data", {"config.json": "{}"}),
    ("config maps", "ConfigMap/hola-live", "immutable", True),
    ("directories", "Deployment/hola", f"{SERVER}.volumeMounts.1.subPath", "config.json"),
    ("directories", "Deployment/hola", f"{SERVER}.volumeMounts.1.readOnly", False),
    ("directories", "Deployment/hola", f"{SERVER}.volumeMounts.1.mountPath", "/etc/hola"),
    ("directories", "Deployment/hola", f"{SERVER}.securityContext.readOnlyRootFilesystem", False),
    ("times", "Deployment/hola", f"{POD}.terminationGracePeriodSeconds", 27),
    ("times", "Deployment/hola", f"{SERVER}.lifecycle", {"preStop": {"sleep": {"seconds": 8}}}),
    ("times", "Deployment/hola", f"{SERVER}.startupProbe.failureThreshold", 30),
    ("probes", "Deployment/hola", f"{SERVER}.livenessProbe.httpGet.path", "/readyz"),
    ("probes", "Deployment/hola", f"{SERVER}.startupProbe", GONE),
    ("probes", "Deployment/hola", f"{SERVER}.ports.0.containerPort", 8080),
    ("updates", "Deployment/hola", "spec.strategy.rollingUpdate.maxUnavailable", 1),
    ("updates", "Deployment/hola", f"{POD}.topologySpreadConstraints.0.matchLabelKeys", ["pod-template-hash"]),
    ("resources", "Deployment/hola", f"{SERVER}.resources.limits.cpu", "1"),
    ("resources", "Job/hola-identity", f"{SERVER}.resources.limits", GONE),
    ("accounts", "Deployment/hola", f"{POD}.automountServiceAccountToken", True),
    ("accounts", "Deployment/hola", f"{POD}.enableServiceLinks", GONE),
    ("accounts", "ServiceAccount/hola", "metadata.annotations", {"eks.amazonaws.com/audience": "sts.amazonaws.com"}),
    ("jobs", "Job/hola-identity", f"{POD}.restartPolicy", "OnFailure"),
    ("jobs", "Job/hola-identity", "spec.podFailurePolicy.rules.0.onExitCodes.values", [64, 78]),
    ("jobs", "Job/hola-identity", "spec.podFailurePolicy.rules.0.onExitCodes.containerName", "job"),
    ("jobs", "Job/hola-identity", "spec.podFailurePolicy.rules.1", GONE),
    ("jobs", "Job/hola-identity", "spec.activeDeadlineSeconds", GONE),
    ("jobs", "Job/hola-config-check", f"{POD}.serviceAccountName", "hola"),
    ("rollouts", "Rollout/hola", "spec.workloadRef.name", "holla"),
    ("rollouts", "Deployment/hola", "spec.replicas", 1),
    ("rollouts", "Rollout/hola", f"{CANARY}.canaryService", "hola-stable"),
    ("rollouts", "Rollout/hola", f"{CANARY}.maxSurge", 0),
    ("rollouts", "Rollout/hola", f"{CANARY}.steps.0.setWeight", 125),
    ("rollouts", "Rollout/hola", f"{CANARY}.steps.1.pause.duration", "0s"),
    ("rollouts", "Rollout/hola", f"{CANARY}.steps.1.setWeight", 30),
    ("rollouts", "Rollout/hola", f"{CANARY}.steps.2.analysis.templates.0.templateName", "hola-sucess"),
    ("rollouts", "Rollout/hola", f"{CANARY}.steps.2.analysis.args.1", GONE),
    ("rollouts", "AnalysisTemplate/hola-success", f"{METRIC}.name", "latency-against-stable"),
    ("rollouts", "AnalysisTemplate/hola-success", "spec.args.3.value", "5m"),
    ("analysis", "AnalysisTemplate/hola-success", "spec.args.0.name", "name-space"),
    ("analysis", "AnalysisTemplate/hola-success", f"{METRIC}.successCondition", "result[0] >= 0.99"),
    ("analysis", "AnalysisTemplate/hola-success", f"{METRIC}.count", 0),
    ("analysis", "AnalysisTemplate/hola-success", f"{METRIC}.provider.prometheus.query", "sum(("),
    ("analysis", "AnalysisTemplate/hola-success", f"{METRIC}.provider.prometheus.query", "http_request_total{}"),
    ("hooks", "Job/hola-identity", "metadata.annotations", {"argocd.argoproj.io/hook": "Postsync"}),
    ("monitors", "PodMonitor/hola", "spec.podTargetLabels", []),
    ("monitors", "PodMonitor/hola", "spec.jobLabel", "app"),
    ("images", "Deployment/hola", f"{SERVER}.image", "registry.example.com:5000/hola"),
    ("images", "Deployment/hola", f"{SERVER}.image", "hola:latest"),
    ("images", "Job/hola-identity", f"{SERVER}.image", "hola:other"),
    ("namespaces", "Deployment/hola", "metadata.namespace", "default"),
    ("namespaces", "Namespace/hola", "metadata.name", "other"),
    ("applications", "Application/hola-prod", "spec.source.path", "k8s/overlays/production"),
    ("applications", "Application/hola-prod", "spec.destination.namespace", "default"),
    ("applications", "Application/hola-prod", "spec.source.targetRevision", "HEAD"),
    ("applications", "Application/hola-prod", "spec.syncPolicy.managedNamespaceMetadata.labels", {}),
    ("applications", "AppProject/hola", "spec.namespaceResourceWhitelist.0", GONE),
]


@pytest.mark.parametrize(("rule", "target", "path", "value"), BREAKS, ids=[f"{b[0]}-{b[1]}-{b[2]}" for b in BREAKS])
def test_a_rule_finds_what_was_broken(rule: str, target: str, path: str, value: Any) -> None:
    rendered = build("argocd" if rule in ARGOCD_RULES else "overlays/prod")
    assert list(EVERY_RULE[rule](rendered)) == []
    _break(rendered.one(*target.split("/")), path.split("."), value)
    assert list(EVERY_RULE[rule](rendered))


def test_every_rule_was_broken() -> None:
    assert {rule for rule, *_ in BREAKS} == EVERY_RULE.keys()


def test_a_setting_that_may_change_without_a_rollout_is_found() -> None:
    """What a merge in an overlay silently drops."""
    rendered = build("overlays/prod")
    settings = next(m for m in rendered.of("ConfigMap") if m["metadata"]["name"].startswith("hola-env-"))
    del settings["immutable"]
    assert list(RULES["config maps"](rendered)) == [f"{settings['metadata']['name']} is mutable"] * 3


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_deployed_pod_without_its_security_context_is_refused(name: str) -> None:
    rendered = build(name)
    for pod in rendered.pods:
        del pod["spec"]["securityContext"]
    assert len(list(RULES["pod security"](rendered))) >= 2 * len(rendered.pods)


OWN = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
PROBE = {"httpGet": {"path": "/", "port": 80, "host": "10.0.0.1"}}
REFUSED: list[tuple[str, Any]] = [
    ("hostPID", True),
    ("hostIPC", True),
    ("hostNetwork", True),
    ("volumes", [{"name": "v", "hostPath": {"path": "/"}}]),
    ("volumes", [{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
    ("securityContext.runAsNonRoot", False),
    ("securityContext.runAsNonRoot", GONE),
    ("securityContext.runAsUser", 0),
    ("securityContext.seccompProfile", GONE),
    ("securityContext.seccompProfile", {"type": "Unconfined"}),
    ("securityContext.appArmorProfile", {"type": "Unconfined"}),
    ("securityContext.seLinuxOptions", {"type": "spc_t"}),
    ("securityContext.seLinuxOptions", {"user": "root"}),
    ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    ("securityContext.windowsOptions", {"hostProcess": True}),
    ("containers.0.securityContext", {}),
    ("containers.0.securityContext.privileged", True),
    ("containers.0.securityContext.procMount", "Unmasked"),
    ("containers.0.securityContext.allowPrivilegeEscalation", GONE),
    ("containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}),
    ("containers.0.securityContext.capabilities.add", ["SYS_PTRACE"]),
    ("containers.0.securityContext.runAsUser", 0),
    ("containers.0.securityContext.runAsNonRoot", False),
    ("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}),
    ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}]),
    ("containers.0.livenessProbe", PROBE),
    ("containers.0.lifecycle", {"preStop": PROBE}),
    ("initContainers", [{"name": "i", "image": "i"}]),
    ("ephemeralContainers", [{"name": "e", "image": "e"}]),
]
ADMITTED: list[tuple[str, Any]] = [
    ("volumes", [{"name": "a"}, {"name": "b", "image": {"reference": "r"}}]),
    ("securityContext.sysctls", [{"name": "net.ipv4.tcp_rmem", "value": "1"}]),
    ("containers.0.securityContext.capabilities.add", ["NET_BIND_SERVICE"]),
    ("containers.0.ports", [{"containerPort": 80, "hostPort": 0}]),
    ("initContainers", [{"name": "i", "image": "i", "securityContext": OWN}]),
]


@pytest.mark.parametrize(("path", "value"), REFUSED)
def test_pod_security_refuses(path: str, value: Any) -> None:
    assert restricted_violations(_pod_with(path, value))


@pytest.mark.parametrize(("path", "value"), ADMITTED)
def test_pod_security_admits(path: str, value: Any) -> None:
    assert restricted_violations(_pod_with(path, value)) == []


def _pod_with(path: str, value: Any) -> Manifest:
    """A pod that would be admitted, but for this."""
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "c", "image": "i", "securityContext": {**OWN, "capabilities": {"drop": ["ALL"]}}}
    pod = {"spec": {"securityContext": context, "containers": [container]}}
    assert restricted_violations(pod) == []
    _break(pod["spec"], path.split("."), value)
    return pod


def _break(manifest: Any, path: list[str], value: Any) -> None:
    *way, last = (int(key) if key.isdecimal() else key for key in path)
    for key in way:
        manifest = manifest[key]
    if value is GONE:
        del manifest[last]
    else:
        manifest[last] = value

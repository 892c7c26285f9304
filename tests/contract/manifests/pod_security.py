"""Kubernetes' Pod Security Standards, profile "restricted", for a pod template.

A port of kubernetes/pod-security-admission, version 1.37; what "baseline" forbids is forbidden here as well.
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.contract.manifests.render import Manifest

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def restricted_violations(pod: Manifest) -> list[str]:
    """Each violation as the field and what is wrong with it; empty if the pod would be admitted."""
    return [*_of_pod(pod), *(fault for container in _all(pod) for fault in _of_container(container, pod["spec"]))]


def _all(pod: Manifest) -> list[Manifest]:
    keys = ("initContainers", "containers", "ephemeralContainers")
    return [container for key in keys for container in pod["spec"].get(key, [])]


def _of_pod(pod: Manifest) -> Iterator[str]:
    spec = pod["spec"]
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    for volume in spec.get("volumes", []):
        yield from (f"volume {volume['name']}: {key}" for key in sorted(volume.keys() - {"name"} - VOLUMES))
    security = spec.get("securityContext", {})
    yield from _of_context(security, "pod")
    yield from (f"sysctl {s['name']}" for s in security.get("sysctls", []) if s["name"] not in SYSCTLS)
    for name, profile in pod.get("metadata", {}).get("annotations", {}).items():
        if name.startswith(APPARMOR) and not profile.startswith(("runtime/default", "localhost/")):
            yield f"annotation {name}"


def _of_context(security: Manifest, owner: str) -> Iterator[str]:
    """What is judged alike for pods and containers: only what is set, for a container may leave it to its pod."""
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield f"{owner}: hostProcess"
    linux = security.get("seLinuxOptions", {})
    if linux.get("type", "") not in SELINUX_TYPES or linux.get("user") or linux.get("role"):
        yield f"{owner}: seLinuxOptions"
    for key in ("seccompProfile", "appArmorProfile"):
        if key in security and security[key].get("type") not in PROFILES:
            yield f"{owner}: {key}"
    if security.get("runAsUser") == 0:
        yield f"{owner}: runAsUser is 0"
    if security.get("runAsNonRoot") is False:
        yield f"{owner}: runAsNonRoot is false"


def _of_container(container: Manifest, spec: Manifest) -> Iterator[str]:
    name, own, pod = container["name"], container.get("securityContext", {}), spec.get("securityContext", {})
    yield from _of_context(own, name)
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield f"{name}: capabilities.drop has no ALL"
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities.add"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{name}: runAsNonRoot is not true"
    if "seccompProfile" not in own and "seccompProfile" not in pod:
        yield f"{name}: no seccompProfile"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name}: hostPort"
    yield from (f"{name}: {hook}.host" for hook, host in _hosts(container) if host)


def _hosts(container: Manifest) -> Iterator[tuple[str, Any]]:
    """The `host` of every probe and hook: with it kubelet could be made to ask anybody."""
    hooks = {key: container[key] for key in ("startupProbe", "readinessProbe", "livenessProbe") if key in container}
    hooks |= container.get("lifecycle", {})
    for name, hook in hooks.items():
        for action in ("httpGet", "tcpSocket"):
            yield name, hook.get(action, {}).get("host")

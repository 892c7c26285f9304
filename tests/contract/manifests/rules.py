"""Every rule by the name that a failing test shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.contract.manifests import argo, house, references, schemas
from tests.contract.manifests.pod_security import restricted_violations
from tests.contract.manifests.render import Build

Rule = Callable[[Build], Iterable[str]]


def _violations(build: Build) -> Iterable[str]:
    return [violation for pod in build.pods for violation in restricted_violations(pod)]


RULES: dict[str, Rule] = {
    "known kinds": schemas.unknown_kinds,
    "kubernetes schemas": schemas.built_in_faults,
    "custom schemas": schemas.custom_faults,
    "pod security": _violations,
    "sources": references.unresolved_sources,
    "mounts and volumes": references.unresolved_mounts,
    "ports": references.unresolved_ports,
    "selectors": references.wrong_selectors,
    "scaling": references.unresolved_scaling,
    "settings": house.wrong_settings,
    "documents": house.wrong_documents,
    "config maps": house.wrong_config_maps,
    "directories": house.wrong_mounts,
    "times": house.wrong_times,
    "probes": house.wrong_probes,
    "updates": house.wrong_rollouts,
    "resources": house.wrong_resources,
    "accounts": house.wrong_accounts,
    "jobs": house.wrong_jobs,
    "rollouts": argo.wrong_rollouts,
    "analysis": argo.wrong_templates,
    "hooks": argo.wrong_hooks,
    "monitors": argo.wrong_monitors,
}
# The base alone has neither a namespace nor a tag.
DEPLOYED_RULES: dict[str, Rule] = {
    "images": house.unpinned_images,
    "namespaces": references.strayed_namespaces,
}
ARGOCD_RULES: dict[str, Rule] = {
    "kinds of Argo CD": schemas.unknown_kinds,
    "schemas of Argo CD": schemas.custom_faults,
    "applications": argo.wrong_applications,
}

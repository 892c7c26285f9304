"""Whether each manifest fits the schema of its kind, and is of a kind that hola wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import kubernetes_validate
from jsonschema import Draft7Validator

from tests.contract.manifests.render import Build
from tests.support import ROOT

MINORS = ("1.33", "1.35", "1.37")
CUSTOM = {
    "argoproj.io/v1alpha1": ("AnalysisTemplate", "Application", "AppProject", "Rollout"),
    "external-secrets.io/v1": ("ExternalSecret",),
    "monitoring.coreos.com/v1": ("PodMonitor", "PrometheusRule"),
}
BUILT_IN = {
    "v1": ("ConfigMap", "Namespace", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment",),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "batch/v1": ("Job",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "policy/v1": ("PodDisruptionBudget",),
}


def unknown_kinds(build: Build) -> Iterator[str]:
    """The schema checkers pass what they do not know, so the kinds are listed."""
    for manifest in build.manifests:
        version, kind = manifest["apiVersion"], manifest["kind"]
        if kind not in (CUSTOM | BUILT_IN).get(version, ()):
            yield f"{version} {kind}"


def built_in_faults(build: Build) -> Iterator[str]:
    """By Kubernetes' own schemas of three minors, strictly: an unknown field is a fault."""
    for manifest in build.manifests:
        if manifest["apiVersion"] in CUSTOM:
            continue
        for minor in MINORS:
            try:
                kubernetes_validate.validate(manifest, minor, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{manifest['kind']} {manifest['metadata']['name']} in {minor}: {error.message}"


def custom_faults(build: Build) -> Iterator[str]:
    """By the schemas of their CRDs, which know every field."""
    for manifest in build.manifests:
        if manifest["apiVersion"] in CUSTOM:
            for error in _validator(manifest["kind"], manifest["apiVersion"]).iter_errors(manifest):
                yield f"{manifest['kind']} {error.json_path}: {error.message[:200]}"


@cache
def _validator(kind: str, api_version: str) -> Draft7Validator:
    version = api_version.rpartition("/")[2]
    file = ROOT / f"tests/contract/schemas/{kind.lower()}_{version}.json"
    return Draft7Validator(json.loads(file.read_text()) | {"additionalProperties": False})

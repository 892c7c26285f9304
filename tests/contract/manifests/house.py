"""What hola has decided about its pods and Jobs, beyond what Kubernetes asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hola import settings
from hola.errors import DocumentRejected, SettingsError
from hola.live_config import document as documents
from hola.server.lifecycle import FLUSH_SECONDS
from tests.contract.manifests.render import Build, Manifest, containers, hola_container

PINNED = re.compile(r"[^@:]+(:[0-9]+/[^@:]+)?(:[\w][\w.-]*|@sha256:[0-9a-f]{64})")
WRONG_INPUT = {4, 64, 78}
ROLE = "eks.amazonaws.com/role-arn"


def unpinned_images(build: Build) -> Iterator[str]:
    """By tag or digest, never latest; all of hola's own containers run the same."""
    images = {container["image"] for pod in build.pods for container in containers(pod)}
    yield from (image for image in images if not PINNED.fullmatch(image) or image.endswith(":latest"))
    own = {hola_container(pod)["image"] for pod in build.pods}
    if len(own) > 1:
        yield f"different images: {sorted(own)}"


def wrong_settings(build: Build) -> Iterator[str]:
    """hola itself reads the environment of every container: no fault, no variable that it does not know."""
    for pod in build.pods:
        env = build.env(hola_container(pod))
        try:
            settings.load(env)
        except SettingsError as error:
            yield str(error)
        yield from settings.unknown(env)


def wrong_documents(build: Build) -> Iterator[str]:
    """hola accepts the live document, which was written for these settings; the one to check is the one to apply."""
    maps = {m["metadata"]["name"]: m for m in build.of("ConfigMap")}
    values = settings.load(build.env(hola_container(build.server)))
    text = maps["hola-live"]["data"]["config.json"]
    try:
        static = documents.parse(text.encode()).static
    except DocumentRejected as error:
        yield str(error)
        return
    if (static.workers or values.workers, static.threads or values.threads) != (values.workers, values.threads):
        yield "static is not what the settings are"
    if "hola-candidate" in maps and maps["hola-candidate"]["data"]["config.json"] != text:
        yield "the candidate is another document"


def wrong_config_maps(build: Build) -> Iterator[str]:
    """Startup settings are hashed and immutable, so that a change is a rollout; the live document is neither."""
    for container in (hola_container(pod) for pod in build.pods):
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"]
            if not re.fullmatch(r"hola-env-[a-z0-9]{10}", name):
                yield f"{name} has no hash"
            if build.one("ConfigMap", name).get("immutable") is not True:
                yield f"{name} is mutable"
    if "immutable" in build.one("ConfigMap", "hola-live"):
        yield "hola-live is immutable"


def wrong_mounts(build: Build) -> Iterator[str]:
    """Whole directories where the settings look, and nothing writable but /tmp; a subPath would never see an update."""
    for pod in build.pods:
        for container in containers(pod):
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            yield from (f"subPath {path}" for path, m in mounts.items() if {"subPath", "subPathExpr"} & m.keys())
            writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
            allowed = {"/opt/hola"} if container["name"] == "confd" else {"/tmp"}
            yield from (f"{container['name']} may write {path}" for path in sorted(writable - allowed))
            if container["securityContext"].get("readOnlyRootFilesystem") is not True:
                yield f"{container['name']} has a writable root"
    server = hola_container(build.server)
    values, paths = settings.load(build.env(server)), {mount["mountPath"] for mount in server["volumeMounts"]}
    wanted = {str(values.config_dir), str(values.secrets_dir), str(values.state_dir.parent)}
    yield from (f"nothing is mounted at {path}" for path in sorted(wanted - paths))


def wrong_times(build: Build) -> Iterator[str]:
    """A stop has time for its hook, the drain, requests in flight and telemetry; a start for its first document."""
    server = hola_container(build.server)
    values = settings.load(build.env(server))
    hooks = [container.get("lifecycle", {}).get("preStop", {}) for container in containers(build.server)]
    needed = max(hook.get("sleep", {}).get("seconds", 0) for hook in hooks) + FLUSH_SECONDS
    needed += values.drain_seconds + values.graceful_seconds
    granted = build.server["spec"]["terminationGracePeriodSeconds"]
    if granted < needed:
        yield f"a stop takes {needed} s and gets {granted} s"
    startup = server["startupProbe"]
    if startup["periodSeconds"] * startup["failureThreshold"] <= values.config_boot_timeout_seconds:
        yield "kubelet kills a pod that still waits for its document"


def wrong_probes(build: Build) -> Iterator[str]:
    """Readiness may fail for many reasons; liveness asks nobody else, or one lost dependency restarts every pod."""
    server = hola_container(build.server)
    wanted = {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe, path in wanted.items():
        if server.get(probe, {}).get("httpGet", {}).get("path") != path:
            yield probe
    if [port["containerPort"] for port in server["ports"]] != [settings.load(build.env(server)).port]:
        yield "the port is not PORT"


def wrong_rollouts(build: Build) -> Iterator[str]:
    """A rolling update takes nobody away before somebody else serves."""
    for deployment in build.of("Deployment"):
        update = deployment["spec"]["strategy"].get("rollingUpdate", {})
        if update.get("maxUnavailable") != 0 or not update.get("maxSurge"):
            yield "an update takes pods away first"
        spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        for constraint in spread:
            if set(constraint["matchLabelKeys"]) != {"pod-template-hash", "rollouts-pod-template-hash"}:
                yield f"{constraint['topologyKey']} counts the pods of other versions"


def wrong_resources(build: Build) -> Iterator[str]:
    """Requests for both, a limit for memory alone: one for the processor would throttle in the middle of a request."""
    for pod in build.pods:
        for container in containers(pod):
            resources = container.get("resources", {})
            if (set(resources.get("requests", {})), set(resources.get("limits", {}))) != (
                {"cpu", "memory"},
                {"memory"},
            ):
                yield container["name"]


def wrong_accounts(build: Build) -> Iterator[str]:
    """No token of Kubernetes in any pod; the role that the account gets is the one that hola expects."""
    for pod in build.pods:
        if pod["spec"].get("automountServiceAccountToken") is not False:
            yield "a pod gets a token"
        if pod["spec"].get("enableServiceLinks") is not False:
            yield "a pod gets variables of Services"
    env = build.env(hola_container(build.server))
    for account in build.of("ServiceAccount"):
        notes = account["metadata"].get("annotations", {})
        if notes and notes.get(ROLE) != env.get("HOLA_EXPECTED_ROLE_ARN"):
            yield f"the account has {notes.get(ROLE)}, hola expects {env.get('HOLA_EXPECTED_ROLE_ARN')}"


def wrong_jobs(build: Build) -> Iterator[str]:
    """A Job ends: wrong input is not tried again, nothing runs for ever, what is done goes away."""
    for job in build.of("Job"):
        name, spec = job["metadata"]["name"], job["spec"]
        yield from (f"{name}: {fault}" for fault in _faults_of_job(spec))
        hook = job["metadata"].get("annotations", {}).get("argocd.argoproj.io/hook")
        if hook == "PreSync" and ("serviceAccountName" in spec["template"]["spec"] or "hola-env-" in str(spec)):
            yield f"{name}: before the first sync there is no account and no ConfigMap"


def _faults_of_job(spec: Manifest) -> Iterator[str]:
    pod = spec["template"]["spec"]
    if pod["restartPolicy"] != "Never":
        yield "a pod failure policy needs restartPolicy Never"
    rules = {rule["action"]: rule for rule in spec["podFailurePolicy"]["rules"]}
    codes = rules.get("FailJob", {}).get("onExitCodes", {})
    if set(codes.get("values", [])) != WRONG_INPUT or codes.get("operator") != "In":
        yield "wrong input is tried again"
    if codes.get("containerName") not in {container["name"] for container in pod["containers"]}:
        yield "the policy names no container"
    if "Ignore" not in rules:
        yield "a drained node counts as a failure"
    limits = ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    yield from (f"no {key}" for key in limits if key not in spec)

"""The pods that the overlay `prod` renders, run from the real image: what serves, and the admin commands."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.conftest import require_part
from tests.lab.pods import UID, Manifest, Pod, one, played, rendered
from tests.lab.test_image import build, call
from tests.process.volume import Volume
from tests.support import eventually, free_port

OVERLAY = rendered("k8s/overlays/prod")
TEMPLATE: Manifest = one(OVERLAY, "Deployment")["spec"]["template"]
SERVER = TEMPLATE["spec"]["containers"][0]
JOBS = rendered("k8s/jobs/prod")
CODES = {"config-check": 0, "config-schema": 0, "settings": 0, "help": 0, "config-status": 1, "config-push": 1}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    require_part("a container engine (podman)", call("engine version").returncode == 0)
    with build("pods") as tag:
        yield tag


@pytest.fixture
def pod(image: str, tmp_path: Path) -> Iterator[Pod]:
    """It runs, and its startup probe has passed in the time that kubelet gives it."""
    with played(TEMPLATE, OVERLAY, image, tmp_path, free_port()) as running:
        probe = SERVER["startupProbe"]
        limit = probe["periodSeconds"] * probe["failureThreshold"]
        eventually(lambda: running.passes(probe), "the startup probe", limit)
        yield running


def test_the_probes_pass_and_the_settings_are_the_overlays(pod: Pod) -> None:
    """As the manifest has them: path, port and time."""
    assert all(pod.passes(SERVER[probe]) for probe in ("readinessProbe", "livenessProbe"))
    status, _, about = pod.get("/")
    assert (status, about["environment"], about["pod"], about["node"]) == (200, "prod", "hola-0", "lab")
    (ready,) = pod.events("server_ready")
    assert (ready["port"], ready["settings"]["workers"]) == (SERVER["ports"][0]["containerPort"], 4)
    assert pod.events("settings_unknown") == []


def test_it_is_read_only_without_rights_and_of_any_user(pod: Pod) -> None:
    """What the manifest asks for is in force, and enough."""
    status = dict(line.split(":\t", 1) for line in pod.read("cat /proc/1/status").splitlines())
    assert [int(status[granted], 16) for granted in ("CapEff", "CapPrm", "CapBnd")] == [0, 0, 0]
    assert (status["NoNewPrivs"], status["Uid"].split()) == ("1", [str(UID)] * 4)
    prune = "find / ( -path /proc -o -path /sys ) -prune -o"
    found = pod.read(f"{prune} ( -type d -o -type f ) -writable -print -prune").split()
    assert {"/tmp"} <= set(found) <= {"/tmp", "/dev/shm", "/dev/mqueue"}
    assert pod.get("/config/history")[0] == 401, "the mounted api_token protects it"


def test_an_update_of_the_mounted_document_is_taken_on(pod: Pod) -> None:
    """The ConfigMap's volume, swapped as kubelet does; a bad document changes nothing and takes no readiness."""
    volume = Volume(pod.volumes["live"])
    volume.swap({"config.json": '{"greeting": "Hola again!"}'})
    eventually(lambda: greetings(pod) == {"Hola again!"}, "all workers serve the new document", 5)
    volume.swap({"config.json": '{"greeting": 5}'})
    eventually(lambda: pod.events("config_rejected"), "the bad document is told", 5)
    assert greetings(pod) == {"Hola again!"}
    assert pod.passes(SERVER["readinessProbe"])
    assert [worker["current"] for worker in pod.get("/config/status")[2]["workers"]] == [True] * 4


def test_term_drains_within_the_grace_period(pod: Pod) -> None:
    """Not ready at once, still serving, what is in flight is finished, exit 0 before kubelet would kill it."""
    grace = TEMPLATE["spec"]["terminationGracePeriodSeconds"]
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(pod.get, "/delay/3")
        eventually(lambda: pod.metric("http_requests_in_progress") >= 1, "a request in flight", 5)
        started = time.monotonic()
        stopping = pool.submit(call, f"engine stop --time {grace} {pod.container}", timeout_seconds=60)
        eventually(lambda: pod.get("/readyz")[0] == 503, "readiness goes", 3)
        status, headers, _ = pod.get("/")
        assert (status, headers["Connection"]) == (200, "close")
        assert slow.result()[0] == 200
        assert stopping.result().returncode == 0
    seconds = time.monotonic() - started
    print(f"ended {seconds:.1f} s after TERM, of {grace} s")
    assert seconds < grace
    assert pod.events("server_draining")[0]["in_flight"] >= 1, "a probe may be in flight as well"
    assert (pod.state()["ExitCode"], pod.lines()[-1]["event"]) == (0, "server_stopped")


@pytest.mark.parametrize("name", CODES)
def test_a_job_runs_its_command_and_ends(image: str, tmp_path: Path, name: str) -> None:
    """As the Job says it, but for how long; with neither a Service nor Consul there, what asks them ends with 1."""
    template = job(name)
    container = template["spec"]["containers"][0]
    container["args"] = [word.replace("--wait=60", "--wait=1") for word in container["args"]]
    with played(template, JOBS, image, tmp_path) as pod:
        assert pod.exit_code(60) == CODES[name]
        assert pod.lines()[0]["event"] == "command_started"
        assert pod.events("command_finished")[0]["exit_code"] == CODES[name]


@pytest.mark.parametrize(
    ("arguments", "value", "code"), [(["config", "chek"], "4", 64), (["settings"], "four", 78)], ids=["64", "78"]
)
def test_wrong_input_ends_a_job_for_good(
    image: str, tmp_path: Path, arguments: list[str], value: str, code: int
) -> None:
    """With a code that the Job's failure policy does not try again, and one clear line."""
    template = job("settings")
    template["spec"]["containers"][0]["args"] = arguments
    others = [m | {"data": {"WEB_CONCURRENCY": value}} if m["kind"] == "ConfigMap" else m for m in JOBS]
    with played(template, others, image, tmp_path) as pod:
        assert pod.exit_code(30) == code
        clear = [line for line in pod.lines() if line["level"] in {"error", "critical"} and "message" in line]
    assert len(clear) == 1
    assert code in one(JOBS, "Job", "hola-settings")["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]


def test_an_invalid_document_ends_the_check_before_a_sync(image: str, tmp_path: Path) -> None:
    """Exit 4, which is not tried again: Argo CD stops before anything is applied."""
    broken = [m | {"data": {"config.json": '{"greting": 1}'}} if m["kind"] == "ConfigMap" else m for m in JOBS]
    with played(job("config-check"), broken, image, tmp_path) as pod:
        assert pod.exit_code(30) == 4
        assert "/greting" in pod.log()


def job(name: str) -> Manifest:
    return copy.deepcopy(one(JOBS, "Job", f"hola-{name}")["spec"]["template"])


def greetings(pod: Pod) -> set[str]:
    """What twenty connections are greeted with."""
    return {pod.get("/")[2]["greeting"] for _ in range(20)}

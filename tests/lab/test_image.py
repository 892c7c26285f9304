"""The container image, built from the Dockerfile and run as a cluster runs it: read-only, without rights, as any uid.

It knows the image only from outside: through the container engine, over HTTP and by the log.
"""

from __future__ import annotations

import http.client
import json
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import require_part
from tests.support import eventually

CONTAINER = Path(__file__).with_name("container.sh")
REVISION, LATER_REVISION = uuid.uuid4().hex, uuid.uuid4().hex
CONFINED = "--read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges --user 12345:12345 --memory 256m"
WRITABLE = "( -type d -o -type f ) -writable -print -prune"
OCI = "org.opencontainers.image"


def call(command: str, *arguments: str, timeout_seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Call container.sh with the words of `command` and then `arguments`, whatever its exit code."""
    words = [str(CONTAINER), *shlex.split(command), *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout_seconds, check=False)


def run_once(image: str, options: str, command: str = "") -> subprocess.CompletedProcess[str]:
    """Run `command` (empty: the image's own) in a container that is gone afterwards."""
    return call(f"run --rm --network host {options}", image, *shlex.split(command))


def inspect(image: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(call(f"engine image inspect {image}").stdout)[0]["Config"]
    return config


@dataclass(frozen=True)
class Container:
    """A running container, by its name."""

    name: str

    def log(self) -> str:
        log = call(f"engine logs {self.name}")
        return log.stdout + log.stderr

    def lines(self) -> list[dict[str, Any]]:
        """Return the log's lines; one that is not JSON is an error."""
        return [json.loads(line) for line in self.log().splitlines()]

    def port(self) -> int:
        """Return the port of `server_ready`, 0 before it."""
        return next((line["port"] for line in self.lines() if line["event"] == "server_ready"), 0)

    def get(self, path: str) -> tuple[int, Any]:
        """Return the status and the document of GET `path`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.load(answer)

    def read(self, command: str) -> str:
        return call(f"engine exec {self.name} {command}").stdout


@contextmanager
def serve(image: str, config: Path) -> Iterator[Container]:
    """Run the service with `config` mounted, ready at the start of the block, gone at its end."""
    container = Container(f"hola-lab-{uuid.uuid4().hex[:8]}")
    # Podman alone would make more of a read-only container writable than a cluster does.
    strict = "--read-only-tmpfs=false" if "podman" in call("engine --version").stdout else ""
    settings = "--env PORT=0 --env HOLA_DRAIN_SECONDS=1"
    options = f"--detach --name {container.name} --network host {CONFINED} {strict} {settings}"
    try:
        started = call(f"run {options}", "--volume", f"{config}:/opt/hola:ro", image)
        assert started.returncode == 0, started.stderr
        eventually(container.port, "server_ready in the container's log", within_seconds=30)
        yield container
    finally:
        print(container.log())
        call(f"engine rm --force {container.name}")


@contextmanager
def build(revision: str) -> Iterator[str]:
    """Build the image of `revision` and keep it until the block ends."""
    tag = f"hola-lab:{revision}"
    built = call(f"build {tag} --build-arg REVISION={revision}", timeout_seconds=600)
    assert built.returncode == 0, built.stdout + built.stderr
    try:
        yield tag
    finally:
        call(f"engine rmi --force {tag}")


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    require_part("a container engine (podman)", call("engine version").returncode == 0)
    with build(REVISION) as tag:
        yield tag


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as a cluster mounts it, readable by a uid that this machine does not know."""
    directory = tmp_path_factory.mktemp("config")
    (directory / "config.json").write_text('{"greeting": "Hola from the lab!"}')
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def container(image: str, config: Path) -> Iterator[Container]:
    with serve(image, config) as running:
        yield running


def test_image_serves_read_only_without_rights_as_any_user(container: Container) -> None:
    """Within 256 MiB, too: a worker that the kernel killed for its memory would be in the log."""
    assert [container.get(path)[0] for path in ("/", "/readyz")] == [200, 200]
    assert container.get("/version")[1]["commit"] == REVISION
    assert "worker_exited" not in [line["event"] for line in container.lines()]


def test_gunicorn_is_pid_1(container: Container) -> None:
    """It gets the signals itself: no shell stays between it and the engine."""
    words = container.read("cat /proc/1/cmdline").split("\0")
    assert "gunicorn" in [Path(word).name for word in words[:2]]


def test_service_has_no_capabilities_and_can_gain_none(container: Container) -> None:
    """What the restricted profile asks for is in force, and enough."""
    status = dict(line.split(":\t", 1) for line in container.read("cat /proc/1/status").splitlines())
    assert [int(status[granted], 16) for granted in ("CapEff", "CapPrm", "CapBnd")] == [0, 0, 0]
    assert status["NoNewPrivs"] == "1"


def test_nothing_but_scratch_space_is_writable(container: Container) -> None:
    """Nothing but memory is: a cluster has to give a /tmp and no more."""
    found = container.read(f"find / ( -path /proc -o -path /sys ) -prune -o {WRITABLE}").split()
    assert {"/tmp"} <= set(found) <= {"/tmp", "/dev/shm", "/dev/mqueue"}


def test_sources_and_packages_are_read_only_even_on_a_writable_root(image: str) -> None:
    """The image keeps its own code from being changed, also where nobody said --read-only."""
    found = run_once(image, "--user 12345:12345 --entrypoint find", f"/app /usr /etc /opt {WRITABLE}")
    assert found.stdout == ""


def test_image_has_no_setuid_program_and_no_cache(image: str) -> None:
    """Nothing in it raises rights, and nothing that only the build needed is left."""
    search = "/ -xdev ( -type f -perm /6000 -o -name .cache -o -path /tmp/* ) -print"
    found = run_once(image, "--user 0 --entrypoint find", search)
    assert (found.returncode, found.stdout) == (0, "")


def test_image_says_what_it_is(image: str) -> None:
    """User, signal, command and labels are those of this build, and GET /version shows no other."""
    content = inspect(image)
    assert (content["User"], content["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert (content["Entrypoint"], content["Cmd"]) == (["/app/entrypoint.sh"], ["serve"])
    assert list(content["ExposedPorts"]) == ["5000/tcp"]
    labels = content["Labels"]
    assert (labels[f"{OCI}.title"], labels[f"{OCI}.revision"]) == ("hola", REVISION)
    assert labels[f"{OCI}.version"] not in {"", "unknown"}
    assert datetime.fromisoformat(labels[f"{OCI}.created"]).tzinfo is not None
    assert {f"HOLA_COMMIT={REVISION}", f"HOLA_BUILD_TIME={labels[f'{OCI}.created']}"} <= set(content["Env"])


@pytest.mark.usefixtures("image")
def test_cached_build_names_its_own_commit() -> None:
    """A build that finds its layers in the cache does not carry the commit of the build that made them."""
    with build(LATER_REVISION) as later:
        assert inspect(later)["Labels"][f"{OCI}.revision"] == LATER_REVISION


def test_stop_is_graceful(image: str, config: Path) -> None:
    """SIGTERM ends it with exit code 0, `server_stopped` is its last word, and every line of its log is JSON."""
    with serve(image, config) as stopping:
        call(f"engine stop -t 20 {stopping.name}")
        state = json.loads(call(f"engine container inspect {stopping.name}").stdout)[0]["State"]
        assert (state["ExitCode"], stopping.lines()[-1]["event"]) == (0, "server_stopped")


def test_wrong_setting_ends_the_container_with_78(image: str) -> None:
    """A pod with a typing error says so and stops, rather than serve something else."""
    ended = run_once(image, f"{CONFINED} --env PORT=abc")
    assert ended.returncode == 78
    assert "PORT" in ended.stdout + ended.stderr

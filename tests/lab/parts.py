"""Real parts around hola, each on free ports of loopback and in a directory of its own, ended with their block."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.lab.conftest import require_part
from tests.support import ROOT, clean_environment, eventually, free_port, run_command

KEY = "hola/config.json"
INTERVAL_SECONDS = 1
_CONFDIR = ROOT / "k8s/confd"


class Part:
    """A program that runs; what it says goes to `log`."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=clean_environment()
            )

    def stop(self) -> None:
        """End it, by force if it does not end by itself; more than once does no harm."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()


class Consul:
    """An agent in development mode: one server, all data in memory. `token` is the one that may do everything."""

    def __init__(self, directory: Path, options: str = "", token: str = "") -> None:
        self.directory = directory
        self._log = directory / "consul.log"
        self._ports = {name: free_port() for name in ("http", "server", "serf-lan")}
        self._options = f"disable_update_check = true {options}"
        self._token = token
        self._part: Part | None = None
        self.node = f"127.0.0.1:{self._ports['http']}"

    def start(self) -> None:
        """Start it without any data, on the same ports as before, and wait until it takes writes."""
        ports = [
            f"-{name}-port={port}" for name, port in {**self._ports, "dns": -1, "grpc": -1, "serf-wan": -1}.items()
        ]
        binary = shutil.which("consul") or ""
        require_part("consul", bool(binary))
        local = ["-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn"]
        self._part = Part([binary, "agent", "-dev", *local, *ports, f"-hcl={self._options}"], self._log)
        eventually(self._takes_writes, "Consul has a leader", 20)

    def stop(self) -> None:
        if self._part:
            self._part.stop()
        self._part = None

    def ask(self, method: str, path: str, body: str | bytes | None = None) -> tuple[int, bytes]:
        """Status and content of a request to its API, by whoever may do everything."""
        connection = http.client.HTTPConnection(self.node, timeout=10)
        try:
            connection.request(method, f"/v1/{path}", body, {"X-Consul-Token": self._token} if self._token else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def put(self, value: str, key: str = KEY) -> None:
        """Write by hand, past `config push`."""
        assert self._does("PUT", key, value.encode())

    def delete(self, path: str = KEY) -> None:
        assert self._does("DELETE", path)

    def entry(self, key: str = KEY) -> dict[str, Any] | None:
        """What stands under `key`, with its indexes; None if nothing does."""
        status, body = self.ask("GET", f"kv/{key}")
        return dict(json.loads(body)[0]) if status == 200 else None

    def show_log(self) -> None:
        print(self._log.read_text() if self._log.exists() else "consul never started")

    def _takes_writes(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self._does("PUT", "lab/started", b"yes")
        return False

    def _does(self, method: str, path: str, body: bytes | None = None) -> bool:
        status, said = self.ask(method, f"kv/{path}", body)
        return (status, said.strip()) == (200, b"true")


class Confd:
    """confd with the resource and the template that hola ships, but for the place it writes to and its interval."""

    def __init__(self, directory: Path, node: str, config_dir: Path) -> None:
        confdir = shutil.copytree(_CONFDIR, directory / "confd")
        resource = confdir / "conf.d/hola.toml"
        shipped = resource.read_text()
        assert shipped.count('"/opt/hola/config.json"') == 1
        resource.write_text(shipped.replace("/opt/hola/config.json", str(config_dir / "config.json")))
        binary = shutil.which("confd") or ""
        require_part("confd", bool(binary))
        options = ["-backend", "consul", "-node", node, "-interval", str(INTERVAL_SECONDS), "-log-level", "warn"]
        self._part = Part([binary, *options, "-confdir", str(confdir)], directory / "confd.log")

    def errors(self) -> int:
        """How many rounds it has complained about so far; a round that changes nothing says nothing."""
        return self._part.log.read_text().count("ERROR")

    def stop(self) -> None:
        self._part.stop()

    def show_log(self) -> None:
        print(self._part.log.read_text())


@contextmanager
def ending(*parts: Consul | Confd) -> Iterator[None]:
    """End the parts with the block and print what they said, for the report of a test that failed."""
    try:
        yield
    finally:
        for part in parts:
            part.stop()
            part.show_log()


def document(greeting: str) -> str:
    return json.dumps({"greeting": greeting}) + "\n"


def push(consul: Consul, text: str, node: str = "", **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the result of `config push`."""
    file = consul.directory / "pushed.json"
    file.write_text(text)
    environment["CONSUL_HTTP_ADDR"] = f"http://{node or consul.node}"
    code, lines, errors = run_command("config", "push", str(file), within_seconds=30, **environment)
    assert (errors, len(lines)) == ("", 3)
    return code, lines[1]


def pushed(consul: Consul, greeting: str) -> dict[str, Any]:
    code, report = push(consul, document(greeting))
    assert (code, report["written"]) == (0, True), report
    return report

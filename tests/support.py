"""What tests share: waiting, a real service in a process of its own, a collector of spans. Imports nothing of hola."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

Found = TypeVar("Found")
ROOT = Path(__file__).parent.parent
SAMPLE = (ROOT / "config" / "config.json").read_text()
_PORTS = iter(random.sample(range(20_000, 32_000), 12_000))


def eventually(check: Callable[[], Found], what: str, within_seconds: float) -> Found:
    """Return the first truthy answer of `check`; the only way to wait in a test."""
    deadline = time.monotonic() + within_seconds
    while True:
        if found := check():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s: {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """The real `entrypoint.sh serve` on a free port; what it wrote is printed when a test fails.

    Use as a context manager. `lines` are its events so far; `raw` what it wrote, byte for byte.
    """

    root: Path | None = None  # another checkout to start

    def __init__(self, directory: Path, document: str | None = SAMPLE, **environment: str) -> None:
        self.config_dir = directory / "config"
        self.config_dir.mkdir()
        if document is not None:
            (self.config_dir / "config.json").write_text(document)
        self.environment = clean_environment() | {
            "PORT": "0",
            "HOLA_CONFIG_DIR": str(self.config_dir),
            "HOLA_SECRETS_DIR": str(directory / "secrets"),
            "HOLA_STATE_DIR": str(directory / "state"),
            "HOLA_DRAIN_SECONDS": "0.2",
            "POD_NAME": "hola-test",
            **environment,
        }
        self.raw: list[bytes] = []
        self.errors: list[bytes] = []
        self.port = 0

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [(self.root or ROOT) / "entrypoint.sh", "serve"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the tests must not reach it past its master
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in ((self.process.stdout, self.raw), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
            self.process.wait()
        with suppress(ProcessLookupError):  # workers that a killed master left
            os.killpg(self.process.pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(5)
        if error is not None:
            sys.stdout.write(b"".join(self.raw + self.errors).decode("utf-8", "replace"))

    def ready(self, within_seconds: float = 30) -> Self:
        """Wait until all workers are ready and remember the port."""
        event = self.wait_for("server_ready", within_seconds)
        self.port = event["port"]
        return self

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.raw)]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]

    def wait_for(self, name: str, within_seconds: float = 10, **fields: Any) -> dict[str, Any]:
        """The first line of this event with these fields."""

        def find() -> list[dict[str, Any]]:
            return [line for line in self.events(name) if fields.items() <= line.items()]

        return eventually(find, f"the event {name} {fields or ''}", within_seconds)[0]

    def get(self, path: str = "/", method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own."""
        return self.get_within(30, path, method, body, **headers)

    def get_within(
        self, seconds: float, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """The same with a time limit (TimeoutError)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get_many(self, number: int, connections: int, path: str = "/") -> list[Answer]:
        """So many requests over so many kept-alive connections at once."""
        shares = [number // connections + (n < number % connections) for n in range(connections)]
        with ThreadPoolExecutor(connections) as pool:
            answers = pool.map(lambda share: self._get_share(share, path), shares)
            return [answer for share in answers for answer in share]

    def _get_share(self, number: int, path: str) -> list[Answer]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        answers = []
        for _ in range(number):
            connection.request("GET", path)
            response = connection.getresponse()
            answers.append(Answer(response.status, dict(response.getheaders()), response.read()))
        connection.close()
        return answers

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels, as the text format writes them."""
        text = self.get("/metrics").body.decode()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def total(self, prefix: str) -> float:
        return sum(value for name, value in self.metrics().items() if name.startswith(prefix))

    def put(self, document: str) -> None:
        """Change the live document as confd does, by a rename."""
        new = self.config_dir / ".config.json.new"
        new.write_text(document)
        new.replace(self.config_dir / "config.json")

    def workers(self) -> list[dict[str, Any]]:
        workers: list[dict[str, Any]] = self.get("/config/status").json()["workers"]
        return workers

    def stop(self, within_seconds: float = 15) -> int:
        """TERM, and the exit code."""
        self.process.terminate()
        code = self.process.wait(within_seconds)
        for reader in self._readers:
            reader.join(5)
        return code

    def _read(self, stream: Any, into: list[bytes]) -> None:
        with stream:
            into.extend(stream)


def free_port() -> int:
    """A port of loopback that nobody listens on: no other call's, and below those that the kernel hands out itself."""
    for port in _PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("every port has been given out")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change a service."""
    strange = (
        "HOLA_",
        "AWS_",
        "OTEL_",
        "POD_",
        "GUNICORN_",
        "PROMETHEUS_",
        "FORWARDED_",
        "WEB_CONC",
        "PORT",
        "TRACEPARENT",
    )
    return {name: value for name, value in os.environ.items() if not name.startswith(strange)}


def run_command(*arguments: str, within_seconds: float = 30, **environment: str) -> tuple[int, list[Any], str]:
    """Run an admin command: its exit code, its lines of stdout parsed, its stderr."""
    done = subprocess.run(
        [ROOT / "entrypoint.sh", *arguments],
        env=clean_environment() | environment,
        capture_output=True,
        timeout=within_seconds,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


@contextmanager
def changed_environment(**values: str) -> Iterator[None]:
    """os.environ with these values, for the time of a block."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

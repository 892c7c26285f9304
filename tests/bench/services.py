"""A contender that runs: started on a free port of loopback, asked, ended, with nothing left behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.bench.contenders import DOCUMENT, PATH, Contender
from tests.support import eventually

_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # metric files wait for no disk


class ServiceFailed(Exception):
    """The service of this name does not do what is asked of it, so there is nothing to measure."""

    def __init__(self, name: str, reason: object) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


@dataclass(frozen=True)
class Running:
    """A service that runs."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    directory: Path
    contender: Contender

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    def get(self, path: str) -> tuple[int, bytes]:
        """(status, body); status 0 as long as nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def wait_for_answer(self, path: str = PATH) -> None:
        try:
            eventually(lambda: self.get(path)[0] == 200, f"an answer to {path}", 60)
        except AssertionError as error:
            raise ServiceFailed(self.name, error) from None

    def wait_for_workers(self) -> None:
        """Until every worker serves: hola says so itself, the others by a file each."""
        if self.contender.kind == "hola":
            self.wait_for_answer("/readyz")
            return
        try:
            eventually(lambda: len([*self.directory.glob("ready-*")]) >= self.contender.workers, "all workers", 60)
        except AssertionError as error:
            raise ServiceFailed(self.name, error) from None

    def require(self, path: str) -> bytes:
        """The body of an answer that has to be 200.

        Raises:
            ServiceFailed: it is not.
        """
        status, body = self.get(path)
        if status != 200:
            raise ServiceFailed(self.name, f"{path} answers {status}")
        return body

    def status(self) -> dict[str, Any]:
        """What hola's workers run."""
        return dict(json.loads(self.require("/config/status")))

    def change(self) -> None:
        """Put another live document into its place, as confd does."""
        new = self.directory / "config/.new"
        new.write_text(DOCUMENT.replace("!", f" {time.monotonic_ns()}!"))
        new.rename(self.directory / "config/config.json")

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def running(contender: Contender, receiver: str) -> Iterator[Running]:
    """Run `contender`, its spans going to `receiver` and its lines through a pipe, as in a container."""
    port = _free_port()
    with tempfile.TemporaryDirectory(dir=_MEMORY) as directory, _last_lines(contender.name) as lines:
        process = subprocess.Popen(
            contender.command(port),
            cwd=directory,  # not the repository, whose gunicorn.conf.py everybody would take for its own
            env=contender.environment(Path(directory), receiver),
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Running(contender.name, process, port, Path(directory), contender)
        finally:
            _end(process)


@contextmanager
def _last_lines(name: str) -> Iterator[IO[bytes]]:
    """A pipe with a reader in a process of its own, which shows the last lines if the service of this name failed."""
    reader = subprocess.Popen(["tail", "-c", "4000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdin is not None
    has_failed = False
    try:
        yield reader.stdin
    except ServiceFailed as error:
        has_failed = error.name == name
        raise
    finally:
        lines = reader.communicate()[0].decode("utf-8", "replace")
        print(lines if has_failed else "", end="", file=sys.stderr)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
    with suppress(ProcessLookupError):  # whatever is left of its group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

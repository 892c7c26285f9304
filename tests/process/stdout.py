"""The stdout of a service that a test holds itself: read, read slowly, not read at all, or broken."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

from tests.support import SAMPLE, Service, clean_environment, eventually, free_port


def pipe() -> tuple[FileIO, FileIO]:
    """The reader's and the writer's end; like a socket's, each may be closed twice."""
    reader, writer = os.pipe()
    return FileIO(reader, "r"), FileIO(writer, "w")


class Stream:
    """A service whose stdout the test holds itself: a pipe or a socket, read or not."""

    def __init__(self, code: Path, directory: Path, out: FileIO | socket.socket, **environment: str) -> None:
        (directory / "config").mkdir()
        (directory / "config/config.json").write_text(SAMPLE)
        self.client = Service.__new__(Service)
        self.client.port = free_port()
        given = {
            "PORT": str(self.client.port),
            "HOLA_CONFIG_DIR": str(directory / "config"),
            "HOLA_SECRETS_DIR": str(directory / "secrets"),
            "HOLA_STATE_DIR": str(directory / "state"),
            "HOLA_DRAIN_SECONDS": "0.5",
        }
        self.process = subprocess.Popen(
            [code / "entrypoint.sh"],
            env=clean_environment() | given | environment,
            stdout=out.fileno(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Stream:
        eventually(lambda: _status(self.client, "/readyz") == 200, "the service", 20)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> float:
        """TERM; the seconds until it is gone, with exit code 0."""
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(15) == 0
        return time.monotonic() - began


class SlowReader:
    """Reads a descriptor a little at a time, and all of it at the end."""

    def __init__(self, stream: FileIO | socket.socket, bytes_a_second: int) -> None:
        self._descriptor, self._step = stream.fileno(), bytes_a_second // 100
        self._hurry = threading.Event()
        self._parts: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def lines(self) -> list[bytes]:
        """All of them, after the writers have gone."""
        self._hurry.set()
        self._thread.join(30)
        return b"".join(self._parts).splitlines(keepends=True)

    def _run(self) -> None:
        while data := os.read(self._descriptor, 1 << 20 if self._hurry.is_set() else self._step):
            self._parts.append(data)
            self._hurry.wait(0.01)


def _status(client: Service, path: str) -> int | None:
    with suppress(OSError):
        return client.get(path).status
    return None

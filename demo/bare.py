"""A hola of the demo's own, without containers: the real entrypoint.sh, its document a file, its log another."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.target import ROOT, Json, NotShown
from demo.waiting import until

BOOT_SECONDS = 30
STOP_SECONDS = 30
_STRANGE = ("HOLA_", "OTEL_", "GUNICORN_", "PROMETHEUS_", "POD_", "WEB_CONCURRENCY")


class Bare:
    """Use as a context manager.

    Args:
        directory: is emptied; holds the document, hola's state and its log, also afterwards.
    """

    def __init__(self, directory: Path, first: Json) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        self._directory = directory
        self._document = directory / "config/config.json"
        self._document.parent.mkdir(parents=True)
        self._log = directory / "hola.log"
        self.url = ""
        self.publish(first)

    @property
    def opening(self) -> str:
        return f"hola starts; its log: {self.log}"

    @property
    def log(self) -> str:
        return os.path.relpath(self._log)

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [ROOT / "entrypoint.sh", "serve"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is the demo's, which then ends it
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        with suppress(ProcessLookupError):  # whatever a master left that had to be killed
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def start(self) -> None:
        """Wait until all its workers are ready."""
        until(lambda: self._events("server_ready") or self._process.poll() is not None, "hola is ready", BOOT_SECONDS)
        if self._process.poll() is not None:
            raise NotShown(f"hola does not start: see {self.log}")
        self.url = f"http://127.0.0.1:{self._events('server_ready')[0]['port']}"

    def publish(self, document: Json) -> None:
        self._put(json.dumps(document, indent=2))

    def slip_in(self, text: str) -> str:
        self._put(text)
        return "written as an editor would"

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def terminate(self) -> None:
        self._process.terminate()

    def account(self) -> tuple[int, Json]:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        stopped = self._events("server_stopped")
        if self._process.returncode is None or not stopped:
            raise NotShown(f"no account of its end: see {self.log}")
        return self._process.returncode, stopped[0]

    def alert(self, name: str) -> str | None:
        return None

    def _put(self, text: str) -> None:
        """By a rename, so that nobody reads half of it."""
        new = self._document.with_name(".config.json.new")
        new.write_text(text)
        new.replace(self._document)

    def _events(self, name: str) -> list[Json]:
        lines = [line for line in self._log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(_STRANGE)}
        return (
            {"PORT": "0"}
            | own
            | {
                "HOLA_ENVIRONMENT": "demo",
                "HOLA_CONFIG_DIR": str(self._document.parent),
                "HOLA_STATE_DIR": str(self._directory / "state"),
                "HOLA_SECRETS_DIR": str(self._directory / "secrets"),
                "HOLA_DRAIN_SECONDS": "2",
            }
        )

"""What unit tests share: the process-global log captured in a file, a scoreboard, a mounted directory, a WSGI call."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import hypothesis
import pytest

from hola.scoreboard import Scoreboard
from hola.telemetry.lines import LineWriter
from hola.telemetry.logs import LOGS
from hola.telemetry.metrics import Metrics
from hola.telemetry.request import Application, Environ

hypothesis.settings.register_profile("unit", max_examples=40, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("unit")

NOWHERE = LineWriter(-1)  # between tests; its descriptor stays open, or a later file would get the lines
BASE = {"service": "hola", "version": "1.2.3", "pod": "pod-1"}


class Lines:
    """The lines written since the test began."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def raw(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    @property
    def parsed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw]

    @property
    def names(self) -> list[str]:
        return [line["event"] for line in self.parsed]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.parsed if line["event"] == name]

    def clear(self) -> None:
        os.truncate(self.path, 0)


@pytest.fixture(autouse=True)
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    """LOGS, which is one a process, writes to a file of this test; the interpreter's hooks are given back at once."""
    path = tmp_path_factory.mktemp("lines") / "stdout"
    root, stderr, hooks = logging.getLogger(), sys.stderr, (sys.excepthook, threading.excepthook, sys.unraisablehook)
    with path.open("wb") as file:
        LOGS.configure(BASE, "json", LineWriter(file.fileno()))
    LOGS.set_level("info")
    ours = root.handlers[-1]
    sys.stderr, (sys.excepthook, threading.excepthook, sys.unraisablehook) = stderr, hooks
    yield Lines(path)
    os.close(LOGS.writer._fd)
    LOGS.writer = NOWHERE
    logging.captureWarnings(False)
    root.removeHandler(ours)


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard()


@pytest.fixture
def metrics(tmp_path: Path, board: Scoreboard) -> Metrics:
    """The metrics of slot 3, in files under `tmp_path`."""
    return Metrics(tmp_path, 3, board.rows[3])


def call(app: Application, path: str = "/", **environ: Any) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body of one request to a WSGI application, read to its end and closed."""
    request: Environ = {"PATH_INFO": path, "REMOTE_ADDR": "192.0.2.1", **environ}
    setup_testing_defaults(request)
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        assert not started or exc_info, "start_response was called twice"
        started[:] = [status, dict(headers)]

    body = app(request, start_response)
    try:
        return_body = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    return started[0], started[1], return_body

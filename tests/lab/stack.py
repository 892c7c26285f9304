"""The services of compose.yaml as programs of this machine: its commands and configurations, at other addresses.

What a container has at a fixed port or path is put on a free port of loopback or into a directory of the test.
"""

from __future__ import annotations

import http.client
import json
import os.path
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.lab.conftest import require_part
from tests.lab.parts import Part
from tests.support import ROOT, eventually, free_port

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


class Native:
    """The program `binary` as the service `name` starts it. Use as a context manager.

    Args:
        addresses: what stands in its configuration, such as hola:5000 → where that is here.
    """

    def __init__(self, name: str, binary: str, directory: Path, addresses: Mapping[str, str]) -> None:
        self._binary = shutil.which(binary) or ""
        require_part(name, bool(self._binary))
        self._root = directory / name
        self._log = directory / f"{name}.log"
        self.address = f"127.0.0.1:{free_port()}"
        self._command = [self._place(word) for word in SERVICES[name]["command"]]
        for volume in SERVICES[name]["volumes"]:
            source, place, _mode = volume.split(":")
            _copy(ROOT / source, Path(self._place(place)), addresses)

    def __enter__(self) -> Self:
        command = [self._binary, *self._command, f"--web.listen-address={self.address}", "--log.level=warn"]
        self._part = Part(command, self._log)
        try:
            eventually(lambda: self.ask("/-/ready") is not None, f"{self._binary} is ready", 30)
        except AssertionError:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def ask(self, path: str) -> Any:
        """What it answers, parsed where it is JSON; None unless it is a 200."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        with suppress(OSError):
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status == 200:
                return json.loads(text) if text.startswith(("{", "[")) else text
        return None

    def _end(self) -> None:
        self._part.stop()
        print(self._part.log.read_text())

    def _place(self, word: str) -> str:
        """An option's or a mount's path inside the test's directory."""
        option, equals, value = word.rpartition("=")
        return f"{option}{equals}{self._root}{os.path.normpath(value)}" if value.startswith("/") else word


def _copy(source: Path, target: Path, addresses: Mapping[str, str]) -> None:
    """The files of a directory, not those of directories in it, with other addresses."""
    target.mkdir(parents=True)
    for file in (path for path in source.iterdir() if path.is_file()):
        text = file.read_text()
        for there, here in addresses.items():
            text = text.replace(there, here)
        (target / file.name).write_text(text)

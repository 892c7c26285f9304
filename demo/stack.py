"""A hola that runs elsewhere, with Consul and confd before it and perhaps a Prometheus behind: that of compose.yaml."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.answers import ask
from demo.target import ROOT, Json, NotShown, Skipped
from demo.traffic import LOST
from demo.waiting import until

KEY = "hola/config.json"
START_SECONDS = 120
PUSH_SECONDS = 30
EX_INVALID = 4


class Stack:
    """Use as a context manager: the document that was there before is there again afterwards.

    Args:
        directory: for the document that is being pushed.
        prometheus: its URL, or empty for none.
    """

    def __init__(self, url: str, consul: str, prometheus: str, directory: Path) -> None:
        self.url = url.rstrip("/")
        self._consul = (consul if "://" in consul else f"http://{consul}").rstrip("/")  # as Consul's tools allow
        self._prometheus = prometheus.rstrip("/")
        self._file = directory / "pushed.json"
        self._before: bytes | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def opening(self) -> str:
        return (
            f"no hola is started: that at {self.url} is used, its document changed in Consul at {self._consul}"
            f"; of compose.yaml, its log: {self.log}"
        )

    @property
    def log(self) -> str:
        return "docker compose logs hola"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is not None:
            self._write(self._before)

    def start(self) -> None:
        """Wait until it is ready, and remember its document."""
        until(self._is_ready, f"{self.url} is ready", START_SECONDS)
        found = self._ask_consul("GET")
        self._before = found if found else None

    def publish(self, document: Json) -> None:
        code, report = self._push(json.dumps(document, indent=2))
        if code != 0:
            raise NotShown(f"config push says: {report}")

    def slip_in(self, text: str) -> str:
        code, report = self._push(text)
        if code != EX_INVALID:
            raise NotShown(f"config push does not refuse it: {report}")
        self._write(text.encode())
        return "refused by `config push`, so written to Consul by hand"

    def kill(self, pid: int) -> None:
        raise Skipped(
            f"worker {pid} is in a container: docker compose exec hola python3 -c 'import os; os.kill({pid}, 9)'"
        )

    def terminate(self) -> None:
        raise Skipped("TERM goes to the container: docker compose stop hola, then docker compose logs --tail 1 hola")

    def account(self) -> tuple[int, Json]:
        raise Skipped("it runs on")

    def alert(self, name: str) -> str | None:
        if not self._prometheus:
            return None
        alerts = ask(f"{self._prometheus}/api/v1/alerts").json()["data"]["alerts"]
        states = {alert["state"] for alert in alerts if alert["labels"]["alertname"] == name}
        return "firing" if "firing" in states else "pending" if states else "inactive"

    def _push(self, text: str) -> tuple[int, Json]:
        """The exit code of `config push` and its report."""
        self._file.write_text(text)
        done = subprocess.run(
            [ROOT / "entrypoint.sh", "config", "push", self._file, "--consul", self._consul, "--key", KEY],
            stdout=subprocess.PIPE,
            timeout=PUSH_SECONDS,
            check=False,
        )
        reports = [line for line in map(json.loads, done.stdout.splitlines()) if "event" not in line]
        return done.returncode, reports[0] if reports else {}

    def _write(self, value: bytes) -> None:
        if self._ask_consul("PUT", value).strip() != b"true":
            raise NotShown(f"{self._consul} does not take {KEY}")

    def _ask_consul(self, method: str, body: bytes | None = None) -> bytes:
        """What stands under the key, or what Consul says of a change; no such key is empty."""
        token = os.environ.get("CONSUL_HTTP_TOKEN")
        headers = {"X-Consul-Token": token} if token else {}
        try:
            answer = ask(f"{self._consul}/v1/kv/{KEY}{'?raw' if method == 'GET' else ''}", method, body, headers)
        except LOST as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotShown(
                f"{self._consul}: {why.lower()}; Consul is needed there, to change hola's document;"
                " --consul names another URL"
            ) from None
        return answer.body if answer.status == 200 else b""

    def _is_ready(self) -> bool:
        try:
            return ask(f"{self.url}/readyz").status == 200
        except LOST:
            return False

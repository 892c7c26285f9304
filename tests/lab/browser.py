"""A page in a real browser, driven over Chromium's own DevTools protocol. Imports nothing of hola.

Messages are JSON and a NUL, through a pair of pipes; when these close, Chromium ends: no killed run leaves one behind.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support import eventually

_ALONE = ("disable-background-networking", "disable-component-update", "disable-sync", "no-first-run", "disable-quic")
_FLAGS = ("headless", "no-sandbox", "disable-gpu", *_ALONE, "window-size=1280,1600", "remote-debugging-pipe")
WIDE, PHONE = 1280, 360  # CSS pixels; the narrower one is the least that phones have


class Page:
    """The one tab of a browser, made by `browsing`. https://chromedevtools.github.io/devtools-protocol/"""

    def __init__(self, questions: int, answers: int) -> None:
        self._questions = questions
        self._messages: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        threading.Thread(target=self._read, args=(answers,), daemon=True).start()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for `method` and return its result; an error fails the test."""
        number = next(self._numbers)
        question = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._questions, json.dumps(question).encode() + b"\0")
        answer = eventually(lambda: self._messages_with("id", number), f"an answer to {method}", 20)[0]
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def open(self, url: str) -> None:
        """Load `url`, and keep from its first request on what the tab reports: requests, console, complaints."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        eventually(lambda: self.reports("Page.loadEventFired"), f"{url} loaded", 20)

    def reports(self, method: str) -> list[dict[str, Any]]:
        """What the tab reported under this name so far."""
        return [event["params"] for event in self._messages_with("method", method)]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON has it; of a promise, what it is settled with."""
        outcome = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in outcome, outcome["exceptionDetails"]
        return outcome["result"].get("value")

    def show_as(self, scheme: str, width: int, scale: float = 1) -> None:
        """Show it to a person who prefers `scheme` (light or dark) and no motion, in a window of this width."""
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in wishes.items()])
        metrics = {"width": width, "height": 800, "deviceScaleFactor": scale, "mobile": width == PHONE}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def press_tab(self) -> None:
        """One press of the key that moves the focus on."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    def save_screenshot(self, file: Path, height: float | None = None) -> None:
        """The whole page as PNG, not only what a window shows of it; or as much of it as `height` says."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(answer["data"]))

    def _read(self, answers: int) -> None:
        rest = b""
        while data := os.read(answers, 1 << 16):
            *messages, rest = (rest + data).split(b"\0")
            self._messages += map(json.loads, messages)
        os.close(answers)

    def _messages_with(self, key: str, value: object) -> list[dict[str, Any]]:
        return [message for message in list(self._messages) if message.get(key) == value]


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Page]:
    """Run Chromium with a new profile, for the time of a block."""
    (its_questions, questions), (answers, its_answers) = os.pipe(), os.pipe()
    ends = f"3</proc/self/fd/{its_questions} 4>/proc/self/fd/{its_answers}"  # the descriptors that it looks for
    command = [program, *(f"--{flag}" for flag in _FLAGS), f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$0" "$@" {ends} </dev/null >/dev/null 2>&1', *command],
        pass_fds=(its_questions, its_answers),
        start_new_session=True,
    )
    for end in (its_questions, its_answers):
        os.close(end)
    try:
        yield Page(questions, answers)
    finally:
        os.close(questions)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):  # its helpers are of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

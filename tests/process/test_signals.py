"""docs/signals.md, row by row: each signal is sent, and the lines that follow are the ones it promises."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support import ROOT, Service, eventually

ROWS = re.findall(r"^\| (`\w+`[^|]*) \|[^|]*\| `([^`]+)` \|([^|]*)\|$", (ROOT / "docs/signals.md").read_text(), re.M)


def test_the_page_has_every_signal() -> None:
    promised = {"TERM", "INT", "QUIT", "HUP", "USR2", "TTIN", "TTOU", "USR1", "KILL"}
    assert {re.findall(r"`(\w+)`", name)[0] for name, _, _ in ROWS} == promised


@pytest.mark.parametrize(("name", "command", "events"), ROWS, ids=[name.replace("`", "") for name, _, _ in ROWS])
def test_a_signal_is_followed_by_its_lines(tmp_path: Path, name: str, command: str, events: str) -> None:
    """The command of the row, with the real pid in the place of PID or WORKER."""
    promised = re.findall(r"`(\w+)`", events)
    with Service(tmp_path, HOLA_DRAIN_SECONDS="1") as service:
        service.ready()
        before = len(service.lines)
        for number, whom in re.findall(r"kill -(\w+) (\w+)", command):
            pid = service.process.pid if whom == "PID" else service.workers()[0]["pid"]
            os.kill(pid, signal.Signals[f"SIG{number}"])
        eventually(lambda: _is_in_order(promised, [line["event"] for line in service.lines[before:]]), command, 20)
        if "USR2" in name:
            os.kill(service.events("server_ready")[-1]["pid"], signal.SIGQUIT)
            service.wait_for("server_stopped")
        elif "server_stopped" not in promised:
            assert service.get("/").status == 200


def _is_in_order(promised: list[str], seen: list[str]) -> bool:
    """True if the promised events come in this order among those seen."""
    rest = iter(seen)
    return all(event in rest for event in promised)

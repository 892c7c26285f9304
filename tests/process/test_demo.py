"""`make demo` on a hola of its own: every step shows what it says it shows, and one that cannot is told."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from demo.steps import STEPS
from tests.support import ROOT, Service, clean_environment, free_port

SECONDS = 120
COLOUR = re.compile(r"\033\[[0-9;]*[mK]")
SEEN = {
    "Traffic": r"(\d+) answers by 4 workers, .*; 0 with 5xx, 0 without an answer",
    "A change": r"4 workers took [0-9a-f]{12} → [0-9a-f]{12} on in \d+ ms; 0 with 5xx, 0 without an answer",
    "A wrong": r"/greeting string_type, /fautls unknown_key; [0-9a-f]{12} stayed in force, and ready",
    "A worker": r"slot 0: \d+ → \d+ in \d+\.\d s; \d requests lost with it",
    "Faults": r"\d\d+ times demo-errors \(status 503\), \d\d+ times demo-slow .*; trace [0-9a-f]{32}",
    "An alert": r"HolaErrorBudgetBurn is true by /metrics: \d+ of \d+ requests failed .* over with the fault",
    "A drain": r"/readyz 503 and everything served, exit 0; in_flight_at_start [1-9]\d*, drained [1-9]\d*, aborted 0",
}


def command(directory: Path) -> list[str]:
    return [sys.executable, "-m", "demo", "--dwell", "0.3", "--directory", str(directory)]


def shown(output: str) -> list[tuple[str, str]]:
    """The verdict and the rest of each row of the table at the end."""
    lines = COLOUR.sub("", output).replace("\r", "").partition("What was shown")[2].strip().splitlines()
    found = [re.fullmatch(r" *(shown|skipped|NOT SHOWN) +[\d.]+ s  (.*)", line) for line in lines]
    return [(match[1], match[2]) for match in found if match]


def test_every_step_is_shown_to_a_person_at_a_terminal(tmp_path: Path) -> None:
    """With colours and a progress that moves; its log is left to be looked at."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(tmp_path / "demo"), cwd=ROOT, env=clean_environment(), stdout=theirs)
    os.close(theirs)
    output = read(ours)
    assert process.wait(10) == 0, output
    table = shown(output)
    assert [verdict for verdict, _ in table] == ["shown"] * len(STEPS)
    for (_, row), (title, pattern) in zip(table, SEEN.items(), strict=True):
        assert row.startswith(title)
        assert re.search(pattern, row), row
    assert "\033[K" in output
    assert len(re.findall(r"\[#*-*\] +[\d.]+ s  \d+ answers", output)) > len(STEPS)
    told = {json.loads(line)["event"] for line in (tmp_path / "demo/hola.log").read_text().splitlines()}
    assert {step.event for step in STEPS} <= told


def test_what_is_not_shown_is_told_and_fails(tmp_path: Path) -> None:
    """hola dies under the demo: exit 1, every row says so, and there is no colour where there is no terminal."""
    directory = tmp_path / "demo"
    with subprocess.Popen(command(directory), cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout
        next(line for line in process.stdout if line.startswith(b"1/"))
        master = json.loads((directory / "hola.log").read_text().splitlines()[0])["pid"]
        os.killpg(master, signal.SIGKILL)
        output = process.communicate(timeout=SECONDS)[0].decode()
    assert process.returncode == 1
    assert {verdict for verdict, _ in shown(output)} == {"NOT SHOWN"}
    assert "\033" not in output


def test_a_hola_that_does_not_start_is_told_in_one_line(tmp_path: Path) -> None:
    """Exit 69, and where the reason stands."""
    environment = clean_environment() | {"PORT": "no port"}
    done = subprocess.run(
        command(tmp_path / "demo"), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (69, "")
    assert re.search(r"NOT SHOWN: hola does not start: see \S+hola.log", done.stdout)


def test_a_hola_without_consul_is_told_what_it_needs(service: Service, tmp_path: Path) -> None:
    """`make demo URL=…` of a `make run`: exit 69; nothing was started, and Consul does not answer."""
    hola, consul = f"http://127.0.0.1:{service.port}", f"http://127.0.0.1:{free_port()}"
    options = [*command(tmp_path / "demo"), "--url", hola, "--consul", consul]
    done = subprocess.run(
        options, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (69, "")
    opening, end = done.stdout.splitlines()
    assert opening.startswith(f"no hola is started: that at {hola} is used")
    assert end.startswith(f"NOT SHOWN: {consul}: connection refused; Consul is needed there")


def read(descriptor: int) -> str:
    """Everything until the other side of the terminal is closed."""
    parts = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:  # how Linux says that nobody has it open any more
        pass
    finally:
        os.close(descriptor)
    return b"".join(parts).decode()

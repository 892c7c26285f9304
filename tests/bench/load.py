"""Load from a process of its own: wrk where it is installed, else the small generator beside this file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Load:
    """What a round of load brought. Latencies in seconds; `failed` are answers other than 200 and lost connections."""

    requests: int
    requests_a_second: float
    p50_seconds: float
    p99_seconds: float
    failed: int


def generator_name() -> str:
    return "wrk" if shutil.which("wrk") else "the generator in Python (wrk is not installed)"


def put_on(url: str, seconds: int, connections: int) -> Load:
    """Ask for `url` over so many kept-alive connections, each as fast as it is answered."""
    wrk = shutil.which("wrk")
    if wrk:
        command = [wrk, "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--latency", url]
    else:
        command = [sys.executable, "-m", "tests.bench.generator", url, str(seconds), str(connections)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 30)
    if done.returncode != 0:  # nobody listens
        return Load(0, 0.0, 0.0, 0.0, failed=connections)
    return _from_wrk(done.stdout) if wrk else Load(**json.loads(done.stdout))


def _from_wrk(text: str) -> Load:
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    other_answers = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failures = [*(socket_errors.groups() if socket_errors else ()), *(other_answers.groups() if other_answers else ())]
    return Load(
        requests=int(_only(r"(\d+) requests in", text)[0]),
        requests_a_second=float(_only(r"Requests/sec:\s+([\d.]+)", text)[0]),
        p50_seconds=_duration(r"50%\s+([\d.]+)(\w+)", text),
        p99_seconds=_duration(r"99%\s+([\d.]+)(\w+)", text),
        failed=sum(map(int, failures)),
    )


def _duration(pattern: str, text: str) -> float:
    number, unit = _only(pattern, text)
    return float(number) * _UNITS[unit]


def _only(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk wrote something else than expected:\n{text}")
    return tuple(found.groups())

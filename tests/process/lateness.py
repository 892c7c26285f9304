"""How late a busy machine is, measured beside what is timed: what the service is not to be blamed for."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

_PROBE = """
import select, sys, time
late = []
while not select.select([sys.stdin], [], [], 0.005)[0]:
    started, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < 0.002:
        pass
    late.append(time.monotonic() - started - 0.002)
print(sorted(late)[int(len(late) * 0.95)] if late else 0.0)
"""


class Lateness:
    """A process that wants 2 ms of a processor every 5 ms; `p95_seconds` is how much longer it had to wait for that."""

    p95_seconds = 0.0

    def __enter__(self) -> Self:
        self._probe = subprocess.Popen(
            [sys.executable, "-c", _PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        output, _ = self._probe.communicate("\n", timeout=10)
        self.p95_seconds = float(output)

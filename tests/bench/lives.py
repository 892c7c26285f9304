"""A life of each service, alone on the machine: how soon it is there, what it holds, how it goes."""

from __future__ import annotations

import time

from tests.bench import load, process_tree
from tests.bench.contenders import Contender
from tests.bench.measures import FIRST_ANSWER, IDLE, PSS, READY, STOP, Measure, Results
from tests.bench.services import Running, running

WARM_UP_SECONDS = 1
IDLE_SECONDS = 10


def measure(contenders: list[Contender], receiver: str, lives: int, connections: int, results: Results) -> None:
    """Lives in turn, so that a noisy minute of the machine hits all of them alike."""
    for number in range(lives):
        for contender in contenders:
            is_last = number == lives - 1  # an idle look takes its time, and once is enough
            results.add(contender.name, _live(contender, receiver, connections, is_last))


def _live(contender: Contender, receiver: str, connections: int, looks_idle: bool) -> dict[Measure, float]:
    """Start it, let it work for a second, leave it alone, end it."""
    started = time.monotonic()
    with running(contender, receiver) as service:
        service.wait_for_answer()
        values = {FIRST_ANSWER: time.monotonic() - started}
        service.wait_for_workers()
        values[READY] = time.monotonic() - started
        load.put_on(service.url, WARM_UP_SECONDS, connections)
        values[PSS] = process_tree.pss_bytes(service.process.pid)
        if looks_idle:
            values[IDLE] = _idle(service)
        asked_to_stop = time.monotonic()
        service.stop()
        return values | {STOP: time.monotonic() - asked_to_stop}


def _idle(service: Running) -> float:
    """The share of a core that the whole tree takes while nobody asks for anything."""
    time.sleep(2 * WARM_UP_SECONDS)  # the last spans and lines of the warm-up leave
    before, since = process_tree.exact_cpu_seconds(service.process.pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (process_tree.exact_cpu_seconds(service.process.pid) - before) / (time.monotonic() - since)

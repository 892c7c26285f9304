"""Rounds of load: all services stand side by side and are asked in turn, undisturbed and disturbed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.bench import load, process_tree
from tests.bench.contenders import Contender
from tests.bench.lives import WARM_UP_SECONDS
from tests.bench.measures import CPU, P50, P99, RATE, Measure, Results
from tests.bench.services import Running, ServiceFailed, running

EVERY_SECONDS = 1.0
Disturbance = Callable[[Running], object]


def measure(contenders: list[Contender], receiver: str, rounds: int, seconds: int, connections: int) -> Results:
    """Load for each scene, round after round; the one that comes first changes, so that nobody always follows another.

    Raises:
        ServiceFailed: a request failed, so that the figures would not be comparable.
    """
    results = Results()
    with ExitStack() as stack:
        services = [stack.enter_context(running(contender, receiver)) for contender in contenders]
        for service in services:
            service.wait_for_workers()
            load.put_on(service.url, WARM_UP_SECONDS, connections)
        scenes = [scene for service in services for scene in _scenes(service)]
        for number in range(rounds):
            first = number % len(scenes)
            for name, service, disturb in scenes[first:] + scenes[:first]:
                with _disturbing(service, disturb):
                    results.add(name, round_of_load(service, seconds, connections))
    return results


def round_of_load(service: Running, seconds: int, connections: int) -> dict[Measure, float]:
    """One round, with the CPU time of the whole process tree."""
    before = process_tree.cpu_seconds(service.process.pid)
    done = load.put_on(service.url, seconds, connections)
    cpu_seconds = process_tree.cpu_seconds(service.process.pid) - before
    if done.failed or not done.requests:
        raise ServiceFailed(service.name, f"{done.failed} requests failed beside {done.requests} that did not")
    return {
        CPU: cpu_seconds / done.requests,
        RATE: done.requests_a_second,
        P50: done.p50_seconds,
        P99: done.p99_seconds,
    }


def _scenes(service: Running) -> list[tuple[str, Running, Disturbance | None]]:
    """A service as it is; the one that stands for production also while it is scraped, and while it is changed."""
    scenes: list[tuple[str, Running, Disturbance | None]] = [(service.name, service, None)]
    if service.name == "hola 0.1":
        scenes.append((f"{service.name}, scraped each second", service, lambda it: it.require("/metrics")))
        scenes.append((f"{service.name}, changed each second", service, lambda it: it.change()))
    return scenes


@contextmanager
def _disturbing(service: Running, disturb: Disturbance | None) -> Iterator[None]:
    """Disturb at once and then every second, for the time of a block."""
    over = threading.Event()

    def go_on() -> None:
        while disturb is not None:
            disturb(service)
            if over.wait(EVERY_SECONDS):
                return

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

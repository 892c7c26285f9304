"""Throughput over workers and connections: whether hola's curve has bare Flask's shape."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from tests.bench import load
from tests.bench.contenders import Contender
from tests.bench.lives import WARM_UP_SECONDS
from tests.bench.measures import Measure, Results
from tests.bench.services import Running, running

ROUNDS = 5
WORKERS = (1, 2, 4, 8)
CONNECTIONS = (1, 4, 16, 64, 200, 500)
RATES = tuple(Measure(f"{connections} connections") for connections in CONNECTIONS)
FAILED = Measure("failed")  # timeouts and lost connections: at this end of the curve they are a result
COLUMNS = (*RATES, FAILED)


def measure(contenders: list[Contender], receiver: str, seconds: int, results: Results) -> None:
    """Requests a second of each with so many workers and connections; side by side and in turn, as under load."""
    for workers in WORKERS:
        with ExitStack() as stack:
            services = [
                stack.enter_context(running(replace(contender, workers=workers), receiver)) for contender in contenders
            ]
            for service in services:
                service.wait_for_workers()
                load.put_on(service.url, WARM_UP_SECONDS, 16)
            _measure(services, workers, seconds, results)


def _measure(services: list[Running], workers: int, seconds: int, results: Results) -> None:
    place = f"{workers} worker{'s' * (workers > 1)}"
    failed = dict.fromkeys((service.name for service in services), 0)
    for number in range(ROUNDS):
        for column, connections in zip(RATES, CONNECTIONS, strict=True):
            for service in services[::-1] if number % 2 else services:
                done = load.put_on(service.url, seconds, connections)
                results.add(f"{service.name}, {place}", {column: done.requests_a_second})
                failed[service.name] += done.failed
    for name, number in failed.items():
        results.add(f"{name}, {place}", {FAILED: number})

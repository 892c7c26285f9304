"""Throughput over workers and connections: whether hola's curve has bare Flask's shape."""

from __future__ import annotations

from dataclasses import replace

from tests.bench import load
from tests.bench.contenders import Contender
from tests.bench.lives import WARM_UP_SECONDS
from tests.bench.measures import Measure, Results
from tests.bench.services import running

WORKERS = (1, 2, 4, 8)
CONNECTIONS = (1, 4, 16, 64, 200, 500)
RATES = tuple(Measure(f"{connections} connections") for connections in CONNECTIONS)
FAILED = Measure("failed")  # timeouts and lost connections: at this end of the curve they are a result
COLUMNS = (*RATES, FAILED)


def measure(contenders: list[Contender], receiver: str, seconds: int, results: Results) -> None:
    """Requests a second of each, alone on the machine, with so many workers and connections."""
    for workers in WORKERS:
        for contender in contenders:
            _measure_one(replace(contender, workers=workers), receiver, seconds, results)


def _measure_one(contender: Contender, receiver: str, seconds: int, results: Results) -> None:
    name = f"{contender.name}, {contender.workers} worker{'s' * (contender.workers > 1)}"
    with running(contender, receiver) as service:
        service.wait_for_workers()
        load.put_on(service.url, WARM_UP_SECONDS, 16)
        failed = 0
        for column, connections in zip(RATES, CONNECTIONS, strict=True):
            done = load.put_on(service.url, seconds, connections)
            results.add(name, {column: done.requests_a_second})
            failed += done.failed
        results.add(name, {FAILED: failed})

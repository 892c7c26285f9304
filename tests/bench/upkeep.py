"""What hola does beside requests: a scrape, a change of the document; fresh and after many replaced workers."""

from __future__ import annotations

import os
import signal
import sys
import time

from tests.bench.contenders import Contender
from tests.bench.measures import CHANGE, SCRAPE_SIZE, SCRAPE_TIME, Measure, Results
from tests.bench.services import Running, running
from tests.support import eventually

SCRAPES, CHANGES = 50, 20
# Every route that answers without a cloud, with several statuses: more series than most services ever have.
PATHS = (
    *("/", "/version", "/livez", "/healthz", "/readyz", "/metrics", "/config", "/config/status", "/config/history"),
    *("/headers", "/delay/0", "/stream/2", "/openapi.json", "/static/hola.css", "/static/hola.js", "/nowhere"),
    *(f"/status/{code}" for code in (200, 204, 301, 400, 403, 404, 409, 418, 429, 500, 502, 503, 504)),
)


def measure(contender: Contender, receiver: str, replacements: int, results: Results) -> None:
    """A service with all its routes in use, before and after so many of its workers were killed."""
    with running(contender, receiver) as service:
        service.wait_for_workers()
        for path in PATHS * 4:
            service.get(path)
        _look(service, f"{contender.name}, fresh", results)
        if replacements:
            _replace(service, replacements)
            _look(service, f"{contender.name}, {replacements} workers later", results)


def _look(service: Running, name: str, results: Results) -> None:
    for _ in range(SCRAPES):
        results.add(name, _scrape(service))
    for _ in range(CHANGES):
        results.add(name, {CHANGE: _change(service)})


def _scrape(service: Running) -> dict[Measure, float]:
    started = time.monotonic()
    body = service.require("/metrics")
    return {SCRAPE_TIME: time.monotonic() - started, SCRAPE_SIZE: len(body)}


def _change(service: Running) -> float:
    """From the rename of a new document to the first answer that shows it on every worker."""
    before, started = service.status()["generation"], time.monotonic()
    service.change()
    eventually(lambda: _is_everywhere(service, before + 1), "the change on every worker", 10)
    return time.monotonic() - started


def _is_everywhere(service: Running, generation: int) -> bool:
    return all(worker["generation"] >= generation for worker in service.status()["workers"])


def _replace(service: Running, number: int) -> None:
    """Kill the oldest worker and wait for the next, again and again."""
    for count in range(1, number + 1):
        workers = service.status()["workers"]
        oldest = min(workers, key=lambda worker: str(worker["started_at"]))
        os.kill(oldest["pid"], signal.SIGKILL)
        eventually(lambda: _has_successor(service, oldest["slot"], oldest["pid"]), "a successor", 20)  # noqa: B023 - called at once
        if count % 100 == 0:
            print(f"{count} of {number} workers replaced", file=sys.stderr, flush=True)
    service.wait_for_workers()


def _has_successor(service: Running, slot: int, pid: int) -> bool:
    workers = service.status()["workers"]
    return any((each["slot"], each["state"]) == (slot, "ready") and each["pid"] != pid for each in workers)

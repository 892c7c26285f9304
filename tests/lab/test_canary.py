"""The canary's analyses on a live Prometheus that scrapes live services, each a version with its own behaviour."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.canary import FAILED, INCONCLUSIVE, SUCCESSFUL, Analysis, Prometheus, analyses
from tests.support import Service

WINDOW = "10s"
BROKEN = '{"faults": [{"id": "broken", "route": "/", "percent": 30, "status": 500}]}'
HOPELESS = '{"faults": [{"id": "hopeless", "route": "/", "status": 503}]}'
SLOW = '{"faults": [{"id": "slow", "route": "/", "percent": 50, "delay_ms": 400}]}'
VERSIONS = {"stable": "{}", "healthy": "{}", "broken": BROKEN, "hopeless": HOPELESS, "slow": SLOW, "silent": "{}"}
REFUSING = ("refusing", "refusing-too")

# Canary, stable, and the verdicts of success, latency and configuration.
RUNS = {
    "healthy": ("healthy", "stable", SUCCESSFUL, SUCCESSFUL, SUCCESSFUL),
    "injected errors": ("broken", "stable", FAILED, SUCCESSFUL, SUCCESSFUL),
    "only errors": ("hopeless", "stable", FAILED, SUCCESSFUL, SUCCESSFUL),
    "slow": ("slow", "stable", SUCCESSFUL, FAILED, SUCCESSFUL),
    "no traffic": ("silent", "stable", INCONCLUSIVE, INCONCLUSIVE, SUCCESSFUL),
    "refuses the document": ("refusing", "stable", SUCCESSFUL, SUCCESSFUL, FAILED),
    "both refuse the document": ("refusing", "refusing-too", SUCCESSFUL, SUCCESSFUL, INCONCLUSIVE),
    "no such canary": ("absent", "stable", INCONCLUSIVE, INCONCLUSIVE, INCONCLUSIVE),
}
Phases = dict[str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phases]:
    """Each run's measurements by each analysis, taken side by side while clients ask all but the silent."""
    directory = tmp_path_factory.mktemp("canary")
    with ExitStack() as stack:
        versions = {name: start(stack, directory / name, text) for name, text in VERSIONS.items()}
        versions |= {name: start(stack, directory / name, "{}") for name in REFUSING}
        for name in REFUSING:
            versions[name].put('{"greting": "Hola!"}')
            versions[name].wait_for("config_rejected")
        prometheus = Prometheus(directory, {name: service.port for name, service in versions.items()})
        stack.callback(prometheus.stop)
        stack.enter_context(Clients([service for name, service in versions.items() if name != "silent"]))
        for _ in range(int(WINDOW.removesuffix("s")) + 2):
            prometheus.next_scrape()
        yield measure(prometheus, analyses())


@pytest.mark.parametrize("run", RUNS)
def test_a_canary_is_judged_by_what_it_does(judged: Phases, run: str) -> None:
    """Errors fail it, slowness fails it, a refused document fails it, no traffic is for a person to decide."""
    verdicts = {name: analysis.verdict(judged[run][name]) for name, analysis in analyses().items()}
    assert [verdicts[f"hola-{name}"] for name in ("success", "latency", "config")] == list(RUNS[run][2:]), judged[run]


def start(stack: ExitStack, directory: Path, document: str) -> Service:
    directory.mkdir()
    return stack.enter_context(Service(directory, document, WEB_CONCURRENCY="1")).ready()


def measure(prometheus: Prometheus, templates: dict[str, Analysis]) -> Phases:
    """As often as the templates say, a scrape apart."""
    phases: Phases = {run: {name: [] for name in templates} for run in RUNS}
    for _ in range(max(analysis.count for analysis in templates.values())):
        prometheus.next_scrape()
        for run, (canary, stable, *_) in RUNS.items():
            for name, analysis in templates.items():
                query = analysis.query(namespace="hola", canary_hash=canary, stable_hash=stable, window=WINDOW)
                phases[run][name].append(analysis.phase(prometheus.ask(query)))
    return phases


class Clients:
    """Two clients for each service, which ask it all the time, but for a moment between two requests."""

    def __init__(self, services: list[Service]) -> None:
        self._services = services * 2
        self._is_over = threading.Event()

    def __enter__(self) -> None:
        self._pool = ThreadPoolExecutor(len(self._services))
        for service in self._services:
            self._pool.submit(self._ask, service)

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._pool.shutdown()

    def _ask(self, service: Service) -> None:
        while not self._is_over.wait(0.05):
            service.get("/")

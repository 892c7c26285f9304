"""Alerts on a real Prometheus with windows of seconds: what the runbook says provokes them does, and ends them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab.prometheus import Prometheus, hurried_rules
from tests.process.cloud import ROLE, Cloud, cloud, web_identity
from tests.support import Service, eventually

WITHIN_SECONDS = 60
GOOD: dict[str, Any] = {"greeting": "Hola!"}


# What is put into the live document to provoke an alert.
FAULTS: dict[str, list[dict[str, Any]]] = {
    "HolaErrorBudgetBurn HolaErrorBudgetBurnSlow": [{"percent": 30, "status": 503}, {"percent": 30, "exception": True}],
    "HolaLatencyBudgetBurn HolaLatencyBudgetBurnSlow": [{"delay_ms": 300}],
    "HolaWorkersDying": [{"exit_worker": True}],
    "HolaWorkersSaturated": [{"route": "/version", "cpu_ms": 1500}],
    "HolaLogLinesDropped": [{"log_lines": 1000}],
}


class Paused(Service):
    """A service whose stdout is read only while `reading` is set."""

    def __init__(self, directory: Path, document: str, **environment: str) -> None:
        super().__init__(directory, document, **environment)
        self.reading = threading.Event()
        self.reading.set()

    def _read(self, stream: Any, into: list[bytes]) -> None:
        with stream:
            for line in stream:
                into.append(line)
                self.reading.wait()


@dataclass
class Drill:
    """Two pods, one of them under traffic, and what a person does to them."""

    prometheus: Prometheus
    one: Paused
    other: Paused
    background: ThreadPoolExecutor
    aws: Cloud
    stopped: list[int] = field(default_factory=list)

    def publish(self, **keys: Any) -> None:
        """The same document for both."""
        for pod in (self.one, self.other):
            pod.put(json.dumps(GOOD | keys))

    def provoke(self, alerts: str) -> None:
        if alerts in FAULTS:
            self.inject(alerts)
        if act := ACTS.get(alerts):
            act(self)

    def inject(self, alerts: str) -> None:
        name, until = alerts.lower().split()[0], datetime.now(UTC) + timedelta(seconds=WITHIN_SECONDS)
        always = {"route": "/", "until": until.isoformat()}
        self.publish(faults=[{"id": f"{name}-{n}", **always, **fault} for n, fault in enumerate(FAULTS[alerts])])
        self.other.wait_for("fault_started", fault_id=f"{name}-0")

    def mend(self) -> None:
        while self.stopped:
            os.kill(self.stopped.pop(), signal.SIGCONT)
        self.one.reading.set()
        self.publish()
        if self.aws.faults:
            self.aws.faults.clear()
            eventually(lambda: self.one.get("/aws/identity").json()["ok"], "the right role", 20)
        self._torn().unlink(missing_ok=True)

    def reject(self) -> None:
        self.one.put("{")

    def part_ways(self) -> None:
        self.one.put(json.dumps(GOOD | {"greeting": "Hallo!"}))

    def lose_the_source(self) -> None:
        (self.one.config_dir / "config.json").unlink()

    def stop_a_worker_and_publish(self) -> None:
        self.stopped.append(self.one.workers()[-1]["pid"])
        os.kill(self.stopped[0], signal.SIGSTOP)
        self.publish(greeting="Hej!")

    def stop_a_worker_that_boots(self) -> None:
        os.kill(self.one.workers()[0]["pid"], signal.SIGKILL)
        booting = eventually(lambda: [each for each in self.one.workers() if each["state"] == "booting"], "a boot", 10)
        self.stopped.append(booting[0]["pid"])
        os.kill(self.stopped[0], signal.SIGSTOP)

    def let_the_token_expire(self) -> None:
        self.aws.faults["sts"] = "expired"
        assert self.one.get("/aws/identity").json()["verdict"] == "token_expired"

    def tear_a_metric_file(self) -> None:
        self._torn().write_bytes(b"something else")

    def _torn(self) -> Path:
        return self.one.config_dir.parent / "metrics/counter_99.db"  # of a slot that no worker has

    def ask_from_everywhere(self) -> None:
        for _ in range(16):
            self.background.submit(self.other.get, "/version")

    def stop_reading(self) -> None:
        self.one.reading.clear()


# What is done beside that, or instead.
ACTS: dict[str, Callable[[Drill], None]] = {
    "HolaWorkersSaturated": Drill.ask_from_everywhere,
    "HolaLogLinesDropped": Drill.stop_reading,
    "HolaConfigRejected": Drill.reject,
    "HolaConfigSkewed": Drill.part_ways,
    "HolaConfigSourceLost": Drill.lose_the_source,
    "HolaConfigWorkersBehind": Drill.stop_a_worker_and_publish,
    "HolaWorkersNotReady": Drill.stop_a_worker_that_boots,
    "HolaIdentityWrong": Drill.let_the_token_expire,
    "HolaMetricsDegraded": Drill.tear_a_metric_file,
}


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    directory = tmp_path_factory.mktemp("drill")
    with (
        cloud() as aws,
        _pod(directory / "one", **web_identity(aws, directory), HOLA_EXPECTED_ROLE_ARN=ROLE) as one,
        _pod(directory / "other", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as other,
        ThreadPoolExecutor(16) as background,
    ):
        targets = {pod.ready().port: {"namespace": "lab"} for pod in (one, other)}
        ended = threading.Event()
        background.submit(_visit, one, ended)
        with Prometheus(directory, targets, hurried_rules()) as prometheus:
            eventually(lambda: prometheus.query("hola_workers"), "a scrape", 30)
            yield Drill(prometheus, one, other, background, aws)
        ended.set()


@pytest.mark.parametrize("alerts", dict.fromkeys([*FAULTS, *ACTS]))
def test_an_alert_fires_when_it_is_provoked_and_ends_when_it_is_mended(drill: Drill, alerts: str) -> None:
    """What the runbook's Provoke does, seen by Prometheus; nobody is told for longer than it lasts."""
    wanted = set(alerts.split())
    assert not wanted & drill.prometheus.firing()
    drill.provoke(alerts)
    try:
        eventually(lambda: wanted <= drill.prometheus.firing(), f"{alerts} fires", WITHIN_SECONDS)
    finally:
        drill.mend()
    eventually(lambda: not wanted & drill.prometheus.firing(), f"{alerts} ends", WITHIN_SECONDS)


def test_spans_that_no_collector_takes_are_told(drill: Drill) -> None:
    """The other pod's collector does not exist; a person sees it without a request being slower."""
    drill.other.get_many(50, 2)
    eventually(lambda: "HolaSpansDropped" in drill.prometheus.firing(), "HolaSpansDropped fires", WITHIN_SECONDS)


def test_a_source_that_nobody_looks_at_is_told(tmp_path: Path) -> None:
    """HolaConfigSourceStale: ten minutes between two looks; a file event is a look, so a change ends it."""
    with _pod(tmp_path / "pod", HOLA_CONFIG_POLL_SECONDS="600") as pod:
        port = pod.ready().port
        with Prometheus(tmp_path, {port: {"namespace": "lab"}}, hurried_rules()) as prometheus:
            wanted = {"HolaConfigSourceStale"}
            eventually(lambda: wanted <= prometheus.firing(), "HolaConfigSourceStale fires", WITHIN_SECONDS)
            pod.put(json.dumps(GOOD | {"greeting": "Hei!"}))
            eventually(lambda: not wanted & prometheus.firing(), "HolaConfigSourceStale ends", WITHIN_SECONDS)


def test_a_prometheus_without_any_pod_says_so(tmp_path: Path) -> None:
    """What no pod can tell: HolaAbsent."""
    with Prometheus(tmp_path, {}, hurried_rules()) as prometheus:
        eventually(lambda: "HolaAbsent" in prometheus.firing(), "HolaAbsent fires", WITHIN_SECONDS)


def test_a_pod_that_is_gone_is_told(drill: Drill) -> None:
    """The last test of this file: the pod does not come back."""
    assert drill.other.stop() == 0
    eventually(lambda: "HolaDown" in drill.prometheus.firing(), "HolaDown fires", WITHIN_SECONDS)


def _pod(directory: Path, **settings: str) -> Paused:
    directory.mkdir()
    fixed = {"WEB_CONCURRENCY": "2", "HOLA_THREADS": "4", "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics")}
    return Paused(directory, json.dumps(GOOD), **fixed, **settings)


def _visit(pod: Service, ended: threading.Event) -> None:
    """About ten requests a second."""
    while not ended.wait(0.1):
        with suppress(OSError, http.client.HTTPException):
            pod.get("/")

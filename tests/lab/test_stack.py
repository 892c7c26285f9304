"""compose.yaml without containers: its commands and configurations, run by real programs around a real hola."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collector import Collector, collecting
from tests.lab.conftest import require_part
from tests.lab.parts import Confd, Consul, document, ending, pushed
from tests.lab.stack import Native
from tests.support import ROOT, Service, eventually

DEMO_SECONDS = 150


@dataclass(frozen=True)
class Stack:
    """What runs."""

    hola: Service
    consul: Consul
    prometheus: Native
    alertmanager: Native
    spans: Collector


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("stack")
    consul = Consul(directory)
    with (
        collecting() as spans,
        ending(consul),
        Service(directory, None, OTEL_EXPORTER_OTLP_ENDPOINT=spans.endpoint, HOLA_DRAIN_SECONDS="2") as hola,
    ):
        consul.start()
        with ending(Confd(directory, consul.node, hola.config_dir)):
            pushed(consul, "first")
            hola.ready()
            with _watching(directory, hola) as (prometheus, alertmanager):
                yield Stack(hola, consul, prometheus, alertmanager, spans)


def test_prometheus_scrapes_hola_and_runs_the_rules(stack: Stack) -> None:
    """Its command and configuration of compose.yaml, in Debian's Prometheus."""
    eventually(lambda: _healths(stack) == ["up"], "hola is up", 30)
    [target] = stack.prometheus.ask("/api/v1/targets")["data"]["activeTargets"]
    assert (target["labels"]["job"], target["labels"]["namespace"]) == ("hola", "compose")
    files = {group["file"] for group in stack.prometheus.ask("/api/v1/rules")["data"]["groups"]}
    assert [file.endswith("/dashboards/rules.yaml") for file in files] == [True]
    recorded = "/api/v1/query?query=namespace_job:http_requests:rate5m"
    eventually(lambda: stack.prometheus.ask(recorded)["data"]["result"], "a recorded rate", 30)


def test_an_exemplar_leads_to_a_span(stack: Stack) -> None:
    """What Grafana follows: the exemplar's trace_id is that of a span which was exported."""
    stack.hola.get_many(20, 2)
    query = "/api/v1/query_exemplars?query=http_request_duration_seconds_bucket&start=0&end=4000000000"
    found = eventually(lambda: stack.prometheus.ask(query)["data"], "an exemplar", 30)
    traces = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    eventually(lambda: traces & {span.trace_id for span in stack.spans.spans}, "its span", 10)


def test_the_demo_shows_everything_on_it_that_it_can(stack: Stack, tmp_path: Path) -> None:
    """`make demo URL=…`: documents go by `config push` through Consul and confd; a container's worker is not killed."""
    address, prometheus = f"http://127.0.0.1:{stack.hola.port}", f"http://{stack.prometheus.address}"
    options = ["--url", address, "--consul", f"http://{stack.consul.node}", "--prometheus", prometheus]
    command = [sys.executable, "-m", "demo", *options, "--dwell", "0.3", "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    table = done.stdout.partition("What was shown")[2].splitlines()[1:]
    assert [row.split()[0] for row in table] == ["shown"] * 3 + ["skipped"] + ["shown"] * 2 + ["skipped"], done.stdout
    assert "refused by `config push`" in table[2]
    assert "in Prometheus" in table[5]
    assert stack.consul.ask("GET", "kv/hola/config.json?raw")[1] == document("first").encode(), "as it was before"


def test_an_alert_reaches_alertmanager(stack: Stack) -> None:
    """The last test here: three workers die, and who would be told is told, by severity."""
    for _ in range(3):
        before = len(stack.hola.events("worker_ready"))
        os.kill(stack.hola.workers()[0]["pid"], signal.SIGKILL)
        eventually(lambda before=before: len(stack.hola.events("worker_ready")) > before, "a successor", 20)  # type: ignore[misc]
        eventually(lambda: len(stack.hola.workers()) == 4, "four workers", 10)
    alert = eventually(lambda: _received(stack, "HolaWorkersDying"), "HolaWorkersDying arrives", 60)
    assert [receiver["name"] for receiver in alert["receivers"]] == ["ticket"]


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("promtool", "check config compose/prometheus/prometheus.yml"),
        ("amtool", "check-config compose/alertmanager/alertmanager.yml"),
        ("haproxy", "-c -f compose/engine/haproxy.cfg"),
    ],
)
def test_a_configuration_is_taken_by_its_own_checker(program: str, arguments: str) -> None:
    """As it is in the repository."""
    require_part(program, bool(shutil.which(program)))
    command = [program, *arguments.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _watching(directory: Path, hola: Service) -> Iterator[tuple[Native, Native]]:
    with Native("alertmanager", "prometheus-alertmanager", directory, {}) as alertmanager:
        addresses = {"hola:5000": f"127.0.0.1:{hola.port}", "alertmanager:9093": alertmanager.address}
        with Native("prometheus", "prometheus", directory, addresses) as prometheus:
            yield prometheus, alertmanager


def _healths(stack: Stack) -> list[str]:
    return [target["health"] for target in stack.prometheus.ask("/api/v1/targets")["data"]["activeTargets"]]


def _received(stack: Stack, name: str) -> dict[str, list[dict[str, str]]]:
    alerts = stack.alertmanager.ask("/api/v2/alerts") or []
    return next((alert for alert in alerts if alert["labels"]["alertname"] == name), {})

"""README's tables against what a run really emits, in both directions: events, metrics, span attributes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.collector import Collector, collecting
from tests.process.checkout import with_more_routes
from tests.process.volume import told
from tests.support import ROOT, Service, eventually, run_command

README = (ROOT / "README.md").read_text()
# What takes a disaster that other tests make: the file that shows it, or why none does.
ELSEWHERE = {
    "server_reload_rejected": "test_reloading.py",
    "worker_stuck": "test_hung_handlers.py",
    "request_refusal_unsent": "a client that leaves at the very moment",
    "config_held": "test_config_telling.py",
    "config_restart_required": "test_config_telling.py",
    "config_boot_failed": "test_starting.py",
    "config_not_saved": "test_config_boot.py",
    "config_not_adopted": "takes a worker of another version beside",
    "config_watch_degraded": "test_config_convergence.py",
    "config_watch_failed": "../unit/test_watcher.py",
    "settings_invalid": "test_workers.py",
    "settings_unknown": "test_starting.py",
    "command_failed": "a defect in a command",
    "line_injected": "test_faults.py",
    "worker_exit_injected": "test_faults.py",
    "exception_uncaught": "../unit/test_logs_of_others.py",
    "message_logged": "../unit/test_logs_of_others.py",
    "log_lines_dropped": "test_lines_of_four.py",
    "metrics_degraded": "../lab/test_prometheus.py",
    "metrics_file_broken": "../unit/test_metric_reader.py",
    "metrics_recovered": "../unit/test_metric_values.py",
    "span_export_failed": "test_spans_lost.py",
    "span_export_recovered": "../unit/test_traces_end.py",
    "stderr_written": "../unit/test_logs_of_others.py",
}
OF_TESTS = {"user_bound", "line_written"}


def _section(begin: str) -> str:
    return README.split(begin)[1].split("\n\n**")[0].split("\n## ")[0]


def _names(text: str) -> set[str]:
    """The names in code quotes in the first column of a table."""
    first = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in first for name in re.findall(r"`(\w+)`", cell)}


EVENTS = _names(_section("**Lines**"))
METRICS = _names(_section("**Metrics**"))
ATTRIBUTES = set(re.findall(r"`([a-z_.]+\.[a-z_.]+)`", _section("**Spans**")))


class Run:
    """What one eventful life of a service emitted."""

    def __init__(self, service: Service, collector: Collector) -> None:
        self.events: set[str] = set()
        self.metrics = {name.split("{")[0] for name in service.metrics()}
        self.attributes = {key for span in collector.spans if span.kind == 2 for key in span.attributes}
        self.collector = collector


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("run")
    (directory / "secrets").mkdir()
    (directory / "secrets/api_token").write_text("an-example")
    with collecting() as collector:
        running = Service(directory, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, AWS_EC2_METADATA_DISABLED="true")
        running.root = with_more_routes(directory / "checkout")
        with running as service:
            _live(service.ready(), directory)
            eventually(lambda: len(collector.spans) > 10, "spans", 10)
            found = Run(service, collector)
            service.stop()
            found.events = {line["event"] for line in service.lines}
        said = run_command("help")[1] + run_command("nonsense")[1]
        found.events |= {line["event"] for line in said if "event" in line}
    return found


def _live(service: Service, directory: Path) -> None:
    """All that a service meets in an eventful life."""
    for path in ("/", "/nowhere", "/status/503", "/test/fail/10", "/version", "/aws/identity"):
        service.get(path)
    service.get("/", "BREW")
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"no http\r\n\r\n")
        client.recv(1000)
    (directory / "secrets/.new").write_text("another")
    (directory / "secrets/.new").rename(directory / "secrets/api_token")
    service.wait_for("secret_rotated")
    fault = {"id": "drill", "route": "/version", "percent": 100, "delay_ms": 1}
    service.put(json.dumps({"faults": [fault]}))
    eventually(lambda: told(service, "config_applied") == 2, "the fault's document", 10)
    service.get("/version")
    good = (service.config_dir / "config.json").read_text()
    service.put("{")
    service.wait_for("config_rejected")
    service.put(good)
    service.wait_for("config_recovered")
    (service.config_dir / "config.json").unlink()
    service.wait_for("config_source_lost")
    service.put(good)
    service.wait_for("config_source_found")
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: told(service, "worker_exited") == 4, "the reload", 30)
    os.kill(service.workers()[0]["pid"], signal.SIGKILL)
    eventually(lambda: told(service, "worker_exited") == 5, "a death", 10)
    (directory / "secrets/api_token").unlink()
    service.wait_for("secret_removed")
    service.put("{}")
    service.wait_for("fault_ended")


def test_every_event_of_a_run_is_documented(run: Run) -> None:
    """Lines: nothing undocumented."""
    assert run.events - EVENTS - OF_TESTS == set()


def test_every_documented_event_happens_or_is_shown_elsewhere(run: Run) -> None:
    """Lines: nothing documented that does not exist."""
    assert EVENTS - run.events - ELSEWHERE.keys() == set()
    shown = {name: file for name, file in ELSEWHERE.items() if file.endswith(".py")}
    assert [name for name, file in shown.items() if name not in (ROOT / "tests/process" / file).read_text()] == []


def test_metrics_of_a_run_and_documented_ones_are_the_same(run: Run) -> None:
    """Metrics: both directions."""
    families = {re.sub(r"_(bucket|count|sum)$", "", name) if name not in METRICS else name for name in run.metrics}
    assert families == METRICS


def test_attributes_of_server_spans_and_documented_ones_are_the_same(run: Run) -> None:
    """Spans: both directions."""
    assert run.attributes == ATTRIBUTES

"""What no linter sees: a misspelt metric is valid PromQL and shows nothing. So all queries are asked for real."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collector import collecting
from tests.lab.prometheus import Prometheus, shipped_rules
from tests.promql import ALERTS, BOARDS, RECORDED, filled, selectors, targets
from tests.support import Service, eventually

WITHIN_SECONDS = 90
# What a machine without a cluster or a role cannot show, and why.
UNSHOWN = {
    "hola_aws_identity_ok": "it is measured where a role is expected, and there is none here",
}
DOCUMENT = {
    "greeting": "Hola!",
    "faults": [{"id": "drill", "route": "/version", "percent": 50, "delay_ms": 300, "status": 503}],
}


@dataclass
class Lab:
    """Two pods of one rollout under traffic, seen by a Prometheus."""

    prometheus: Prometheus
    pods: dict[str, Service]


class Traffic(threading.Thread):
    """Requests of every kind to all pods, again and again until it is stopped."""

    def __init__(self, pods: list[Service]) -> None:
        super().__init__(daemon=True)
        self.pods = pods
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.2):
            for pod in self.pods:
                with suppress(OSError):
                    for path in ("/", "/version", "/status/503", "/delay/0.3", "/nowhere", "/readyz"):
                        pod.get(path)
                    _send(pod.port, b"NONSENSE\r\n\r\n")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("live")
    with collecting() as collector:
        stable = _pod(directory / "stable", collector.endpoint)
        canary = _pod(directory / "canary", collector.endpoint)
        with stable, canary:
            pods = {"stable": stable.ready(), "canary": canary.ready()}
            labels = {pod.port: {"namespace": "lab", "rollouts_pod_template_hash": name} for name, pod in pods.items()}
            traffic = Traffic(list(pods.values()))
            traffic.start()
            with Prometheus(directory, labels, shipped_rules()) as prometheus:
                yield Lab(prometheus, pods)
                traffic.stopped.set()
                traffic.join(30)


def test_every_query_of_every_dashboard_shows_something(lab: Lab) -> None:
    """After a change, a rejected one and a killed worker, with everything chosen, no panel is empty."""
    eventually(lambda: lab.prometheus.query("hola_workers"), "a scrape", 30)
    _change_and_break(lab)
    pending = {str(target): filled(target.expr, "10s") for target in targets() if not _is_unshown(target.expr)}
    left = _ask(lab, pending)
    assert not left, json.dumps(left, indent=1)


def test_every_recorded_series_exists_and_every_selector_of_an_alert_finds_its_series(lab: Lab) -> None:
    """An alert on a series that does not exist would never fire, and nobody would notice."""
    found = {
        f"{alert['alert']}: {selector.prettify()}": selector.prettify()
        for alert in ALERTS
        for selector in selectors(alert["expr"])
        if selector.name not in UNSHOWN
    }
    left = _ask(lab, found | {name: name for name in RECORDED})
    assert not left, json.dumps(left, indent=1)


def test_every_rule_is_evaluated_without_an_error(lab: Lab) -> None:
    """Prometheus itself says of each rule that it is healthy."""
    names = {rule.get("record") or rule["alert"] for rule in ALERTS} | RECORDED
    eventually(lambda: all(rule["health"] == "ok" for rule in lab.prometheus.rules()), "all rules are healthy", 30)
    assert {rule["name"] for rule in lab.prometheus.rules()} == names
    assert not [rule for rule in lab.prometheus.rules() if rule.get("lastError")]


def test_the_values_of_every_variable_are_there_to_choose_from(lab: Lab) -> None:
    """The list of a variable is a query, too."""
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                inner, label = variable["definition"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
                values = {series["metric"].get(label) for series in lab.prometheus.query(filled(inner))}
                assert values - {None}, variable["name"]


def test_a_misspelt_metric_and_a_misspelt_label_show_nothing(lab: Lab) -> None:
    """That all others show something means something."""
    assert lab.prometheus.query('hola_workers{state="ready"}')
    assert not lab.prometheus.query('hola_worker{state="ready"}')
    assert not lab.prometheus.query('hola_workers{stat="ready"}')


def test_what_is_not_asked_for_is_really_not_there(lab: Lab) -> None:
    """The list of exceptions holds nothing that this machine could show."""
    used = {selector.name for target in targets() for selector in selectors(target.expr)}
    assert UNSHOWN.keys() <= used
    assert not [name for name in UNSHOWN if lab.prometheus.query(f"{name} > 0")]


def _pod(directory: Path, endpoint: str) -> Service:
    (directory / "secrets").mkdir(parents=True)
    (directory / "secrets/api_token").write_text("an-example")
    settings = {"WEB_CONCURRENCY": "2", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "POD_NAME": directory.name}
    return Service(directory, json.dumps(DOCUMENT), HOLA_COMMIT="0123456", **settings)


def _change_and_break(lab: Lab) -> None:
    for pod in lab.pods.values():
        pod.put(json.dumps(DOCUMENT | {"greeting": "Changed!"}))
        pod.wait_for("config_applied", 10, generation=2)
        pod.put("{")
        pod.wait_for("config_rejected", 10)
        os.kill(pod.workers()[0]["pid"], signal.SIGKILL)
        pod.wait_for("worker_exited", 10, reason="killed")


def _ask(lab: Lab, queries: dict[str, str]) -> dict[str, str]:
    """Those that show nothing within the time."""
    left = dict(queries)

    def all_show_something() -> bool:
        for name, query in list(left.items()):
            if lab.prometheus.query(query):
                del left[name]
        return not left

    with suppress(AssertionError):
        eventually(all_show_something, "every query shows something", WITHIN_SECONDS)
    return left


def _is_unshown(query: str) -> bool:
    return any(selector.name in UNSHOWN for selector in selectors(query))


def _send(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        connection.recv(4096)

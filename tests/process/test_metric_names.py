"""The names that dashboards and rules use against a real scrape, for machines without a Prometheus to ask."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.promql import GROUPED, RECORDED, matchers, selectors, targets
from tests.support import Service, eventually

SAMPLE = re.compile(r"^(\w+)(?:{(.*)})? \S+$", re.MULTILINE)
# What Prometheus adds at the scrape.
ADDED = {"namespace", "job", "instance", "rollouts_pod_template_hash"}
ELSEWHERE = {
    "up": "Prometheus' own",
    "hola_aws_identity_ok": "exported where a role is expected",
}
DOCUMENT = '{"faults": [{"id": "drill", "route": "/version", "percent": 100}]}'


def test_every_metric_and_label_that_a_query_names_is_in_a_real_scrape(tmp_path: Path) -> None:
    """A misspelt name is valid PromQL; after one request of each kind everything that counts has counted."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/api_token").write_text("an-example")
    with Service(tmp_path, DOCUMENT, WEB_CONCURRENCY="2") as service:
        service.ready()
        service.get("/version")
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(b"NONSENSE\r\n\r\n")
            client.recv(4096)
        eventually(lambda: service.total("http_requests_rejected_total"), "the refusal is counted", 10)
        exported = _exported(service.get("/metrics").body.decode())
    unknown = [
        f"{selector.name}{{{label}}}"
        for query in [target.expr for target in targets()] + [rule["expr"] for rule in GROUPED]
        for selector in selectors(query)
        if selector.name not in ELSEWHERE.keys() | RECORDED
        for label in [*matchers(selector), ""]
        if selector.name not in exported or label not in exported[selector.name] | ADDED | {""}
    ]
    assert not unknown


def _exported(text: str) -> dict[str, set[str]]:
    """Name → labels."""
    return {name: set(re.findall(r'(\w+)="', labels)) for name, labels in SAMPLE.findall(text)}

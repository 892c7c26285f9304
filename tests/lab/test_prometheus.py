"""A real Prometheus scrapes a real hola: clean by its linter, exemplars stored; and a file system without room."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.collector import Collector, collecting
from tests.lab.conftest import require_part
from tests.lab.parts import Part
from tests.process.volume import start_through
from tests.support import Service, eventually, free_port

FULL = """mount -t tmpfs -o size={size} tmpfs {directory} && exec "$@" """


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as receiver:
        yield receiver


class Prometheus:
    """One that scrapes a service each second and keeps exemplars."""

    def __init__(self, directory: Path, target: int) -> None:
        binary = shutil.which("prometheus") or ""
        require_part("prometheus", bool(binary))
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "hola", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))
        options = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
        options += [f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage"]
        self._part = Part([binary, *options], directory / "prometheus.log")

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API; None while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
            return json.loads(connection.getresponse().read())["data"]
        except (OSError, ValueError, KeyError):
            return None
        finally:
            connection.close()

    def stop(self) -> None:
        self._part.stop()


def test_prometheus_keeps_exemplars_that_lead_to_spans(tmp_path: Path, collector: Collector) -> None:
    """Rows A14, D13: 400 requests with every trace sampled; its API returns trace ids, each of an exported span."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready().get_many(400, 40)
        prometheus = Prometheus(tmp_path, service.port)
        try:
            query = {"query": "http_request_duration_seconds_bucket", "start": "0", "end": "9999999999"}
            found = eventually(lambda: prometheus.ask("query_exemplars", **query), "exemplars", 30)
            total = eventually(
                lambda: prometheus.ask("query", query='sum(http_requests_total{route="/"})')["result"], "sum", 10
            )
        finally:
            prometheus.stop()
        ids = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
        assert ids
        eventually(lambda: ids <= set(collector.trace_ids), "a span for each exemplar", 10)
        assert float(total[0]["value"][1]) == 400


def test_promtool_has_nothing_to_say_of_the_metrics(service: Service) -> None:
    """Names, types, units and help, by Prometheus' own linter."""
    promtool = shutil.which("promtool") or ""
    require_part("prometheus", bool(promtool))
    service.get("/delay/0")
    text = service.get("/metrics").body
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30)
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")


@pytest.mark.parametrize("size", ["16k", "900k"])
def test_a_full_file_system_costs_neither_a_request_nor_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    """Row A7: no room from the start, or for one worker more; 200, no worker dies of it, and it is told."""
    files = tmp_path / "files"
    files.mkdir()
    can_mount = os.geteuid() == 0 and not subprocess.run(["unshare", "-m", "true"], check=False, timeout=10).returncode
    require_part("a mount namespace (root)", can_mount)
    mount = FULL.format(size=size, directory=files)
    start_through(monkeypatch, tmp_path, "unshare", "-m", "sh", "-c", mount, "sh")
    with Service(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(files)) as service:
        service.ready()
        _fill(Path(f"/proc/{service.workers()[0]['pid']}/root{files}"))
        os.kill(service.workers()[2]["pid"], signal.SIGKILL)
        eventually(lambda: _ready(service) == 4, "the replacement, which finds its files", 20)
        service.process.send_signal(signal.SIGTTIN)
        eventually(lambda: _ready(service) == 5, "one worker more, which finds no room", 20)
        pids = {worker["pid"] for worker in service.workers()}
        assert {answer.status for answer in service.get_many(200, 16)} == {200}
        assert service.metrics()["hola_metrics_degraded"] > 0
        told = service.events("metrics_degraded")
        assert {line["reason"] for line in told} == {"no space left on device"}
        assert len(told) == (6 if size == "16k" else 1)
        assert {worker["pid"] for worker in service.workers()} == pids
        assert len(service.events("worker_exited")) == 1
        (Path(f"/proc/{service.workers()[0]['pid']}/root{files}") / "ballast").unlink()
        if size != "16k":
            eventually(lambda: service.metrics()["hola_metrics_degraded"] == 0, "room again", 10)
            assert service.total('http_requests_total{method="GET",route="/",') == 200


def _ready(service: Service) -> float:
    return service.metrics()['hola_workers{state="ready"}']


def _fill(directory: Path) -> None:
    ballast = os.open(directory / "ballast", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(ballast, b"\0" * 4096)
    os.close(ballast)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service")) as running:
        yield running.ready()

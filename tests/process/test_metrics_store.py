"""Metrics of four processes that come and go: every scrape answers, nothing falls, nothing grows."""

from __future__ import annotations

import http.client
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.collector import Collector
from tests.process.checkout import checkout
from tests.process.volume import told
from tests.support import Service, eventually

REPLACEMENTS = int(os.environ.get("LAB_REPLACEMENTS", "40"))
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
METHODS = ("GET", "HEAD", "PUT", "DELETE", "BREW", "PROPFIND")


class Scraper:
    """Scrapes without a pause, notes how long each took, and that no counter is lower than before."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._seen: dict[str, float] = {}
        self.seconds: list[float] = []
        self.sizes: list[int] = []
        self.faults: list[str] = []
        self.lost = 0

    def scrape(self) -> None:
        began = time.perf_counter()
        try:
            answer = self._service.get("/metrics")
        except (OSError, http.client.HTTPException):  # of the very worker that was killed
            self.lost += 1
            return
        self.seconds.append(time.perf_counter() - began)
        self.sizes.append(len(answer.body))
        if answer.status != 200:
            self.faults.append(f"answered {answer.status}")
        lines = (line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#"))
        now = {name: float(value) for name, value in lines if is_counter(name)}
        self.faults += [
            f"{name} fell from {was} to {now.get(name)}" for name, was in self._seen.items() if now.get(name, 0) < was
        ]
        self._seen = now

    def scrape_often(self) -> None:
        for _ in range(60):
            self.scrape()

    def __str__(self) -> str:
        return f"{statistics.median(self.seconds) * 1000:.1f} ms, {self.sizes[-1]} bytes"

    @contextmanager
    def all_the_while(self) -> Iterator[None]:
        end = threading.Event()

        def run() -> None:
            while not end.wait(0.02):
                self.scrape()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


def is_counter(name: str) -> bool:
    return name.split("{", maxsplit=1)[0].endswith(("_total", "_bucket", "_count", "_sum"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("way", ["recycled", "killed"])
def test_replacing_workers_again_and_again_leaves_nothing_behind(tmp_path: Path, way: str) -> None:
    """Rows A1, A3, A4, A5: under load; every scrape is 200, no counter falls, nothing grows, totals are exact."""
    files, recycling = tmp_path / "metrics", "--max-requests 20" if way == "recycled" else ""
    with Service(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(files), GUNICORN_CMD_ARGS=recycling) as service:
        service.ready().get_many(40, 8)
        _ready_pids(service)
        service.metrics()
        fresh, scraper, after = Scraper(service), Scraper(service), Scraper(service)
        fresh.scrape_often()
        named = sorted(path.name for path in files.iterdir())
        with scraper.all_the_while():
            sent = 40 + (_recycle(service) if way == "recycled" else _kill(service))
        eventually(lambda: service.metrics()['hola_workers{state="ready"}'] == 4, "four workers", 20)
        after.scrape_often()
        ended = service.metrics()[f'hola_worker_exits_total{{reason="{way}"}}']
        print(f"{ended:.0f} {way}, {len(scraper.seconds)} scrapes meanwhile; fresh {fresh}; after {after}")
        assert fresh.faults + scraper.faults + after.faults == []
        assert scraper.lost <= (REPLACEMENTS / 4 if way == "killed" else 0)
        # a worker that has served its 20 answers once more each of the seven other clients that it has then
        assert ended >= REPLACEMENTS * (20 / 27 if way == "recycled" else 0.9)
        assert sorted(path.name for path in files.iterdir()) == named
        assert after.sizes[-1] < fresh.sizes[-1] * 1.1
        assert service.total('http_requests_total{method="GET",route="/",') == sent


def _recycle(service: Service) -> int:
    """Ask until so many workers have served their 20 requests; the number of requests, all of them answered."""
    number = 20 * REPLACEMENTS
    assert {answer.status for answer in service.get_many(number, 8)} == {200}
    return number


def _kill(service: Service) -> int:
    victim = 0
    for number in range(1, REPLACEMENTS + 1):  # a death is told an instant before its row is free
        victim = random.choice([pid for pid in _ready_pids(service) if pid != victim])
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: told(service, "worker_exited") == number, "the death told", 20)  # noqa: B023 - called at once
        eventually(lambda: len(_ready_pids(service)) >= 3, "enough workers", 20)
    return 0


def _ready_pids(service: Service) -> list[int]:
    return [worker["pid"] for worker in service.workers() if worker["state"] == "ready"]


def test_no_counter_falls_while_masters_follow_each_other(tmp_path: Path) -> None:
    """Row A8: USR2 and TERM to the old, twice, under scrapes of all workers: no counter of any kind falls or flips."""
    with Service(tmp_path) as service:
        service.ready().get_many(40, 8)
        os.kill(_ready_pids(service)[0], signal.SIGKILL)
        eventually(lambda: told(service, "worker_exited") == 1, "the death told", 20)
        scraper, pid = Scraper(service), service.process.pid
        with scraper.all_the_while():
            for number in (1, 2):
                os.kill(pid, signal.SIGUSR2)
                eventually(lambda: told(service, "server_ready") == 1 + number, "the next master", 60)  # noqa: B023
                _scrape_more(scraper)
                os.kill(pid, signal.SIGTERM)
                eventually(lambda: told(service, "server_stopped") == number, "the end of the old", 60)  # noqa: B023
                _scrape_more(scraper)
                pid = service.events("server_ready")[-1]["pid"]
        figures = service.metrics()
        os.kill(pid, signal.SIGQUIT)
        eventually(lambda: told(service, "server_stopped") == 3, "the last one's end", 20)
    assert scraper.faults == []
    assert figures['hola_worker_exits_total{reason="killed"}'] == 1
    assert figures['hola_config_reloads_total{result="applied"}'] == 3, "one a master"


def test_metrics_of_a_module_count_in_the_slots_files(tmp_path: Path) -> None:
    """Row A1: a counter and a summary made at import, as any copier would, through a death and a reload."""
    files, code = tmp_path / "metrics", checkout(tmp_path / "code")
    with (code / "hola/views/tools.py").open("a") as tools:
        tools.write(_ORDERS)
    service = Service(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(files))
    service.root = code
    with service:
        service.ready()
        os.kill(_ready_pids(service)[0], signal.SIGKILL)
        eventually(lambda: told(service, "worker_ready") == 5, "its replacement", 20)
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: told(service, "worker_exited") == 5, "the old workers' ends", 30)
        figures = service.metrics()
        kinds = ("counter", "summary", "histogram")
        slots = range(8)  # a reload has two generations alive
        assert {path.stem for path in files.glob("*.db")} == {f"{kind}_{slot}" for kind in kinds for slot in slots}
    assert figures["shop_orders_total"] == 9, "one at each worker's start"
    assert (figures["shop_basket_sum"], figures["shop_basket_count"]) == (27, 9)


_ORDERS = """
from prometheus_client import Counter, Summary

Counter("shop_orders", "Orders.").inc()
Summary("shop_basket", "Baskets.").observe(3)
"""


def _scrape_more(scraper: Scraper) -> None:
    enough = len(scraper.seconds) + 20
    eventually(lambda: len(scraper.seconds) > enough, "scrapes", 30)


def test_files_that_come_torn_and_go_cost_no_scrape(tmp_path: Path) -> None:
    """Rows A3, A6: files of another making appear empty, torn and whole, and vanish, while it is scraped."""
    files = tmp_path / "metrics"
    with Service(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(files)) as service:
        service.ready().get_many(40, 8)
        whole, scraper = (files / "counter_0.db").read_bytes(), Scraper(service)
        with scraper.all_the_while():
            for number in range(150):
                path = files / f"histogram_{200 + number % 3}.db"
                path.write_bytes((b"", whole[: 40 + number], b"\xff" * 64)[number % 3])
                service.get("/livez")
                if number % 10 == 0:  # these at least are there for a whole scrape, the others come and go
                    scrapes = len(scraper.seconds)
                    eventually(lambda: len(scraper.seconds) > scrapes + 1, "scrapes", 10)  # noqa: B023 - called at once
                path.unlink()
        assert [fault for fault in scraper.faults if fault.startswith("answered")] == []
        assert service.total('http_requests_total{method="GET",route="/",') == 40
        assert service.total("hola_metrics_file_errors_total") > 0


def test_a_whole_pod_killed_leaves_no_live_figures(tmp_path: Path) -> None:
    """Row A10: SIGKILL for all, with requests in flight; the next life in the same directory begins at none."""
    files = str(tmp_path / "metrics")
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with Service(tmp_path / "first", PROMETHEUS_MULTIPROC_DIR=files) as service:
        service.ready()
        clients = [threading.Thread(target=_ask_and_lose, args=(service,)) for _ in range(3)]
        for client in clients:
            client.start()
        eventually(lambda: service.metrics()["http_requests_in_progress"] >= 3, "requests in flight", 10)
        os.killpg(service.process.pid, signal.SIGKILL)
        for client in clients:
            client.join()
    with Service(tmp_path / "second", PROMETHEUS_MULTIPROC_DIR=files) as service:
        service.ready()
        figures = service.metrics()
        assert figures["http_requests_in_progress"] <= 1, "the scrape itself at most"
        assert 'http_requests_total{method="GET",route="/delay/{seconds}",status="200"}' not in figures


def _ask_and_lose(service: Service) -> None:
    with pytest.raises((OSError, EOFError)):
        service.get("/delay/20")


def test_a_scrape_is_answered_while_every_thread_is_busy(tmp_path: Path) -> None:
    """Row A15: 32 of 32 threads taken; /metrics within a second, and it says so."""
    with Service(tmp_path) as service:
        service.ready()
        clients = [threading.Thread(target=service.get, args=("/delay/3",)) for _ in range(32)]
        for client in clients:
            client.start()
        eventually(lambda: service.total("hola_worker_threads_busy") >= 32, "all threads busy", 10)
        began = time.monotonic()
        figures = service.metrics()
        assert time.monotonic() - began < 1
        assert figures["http_requests_in_progress"] >= 32
        for client in clients:
            client.join()


def test_random_paths_and_methods_make_a_constant_number_of_series(service: Service) -> None:
    """Row A16: 5 000 random paths and methods move the number of series by a constant."""
    numbers = random.Random(7)
    for method in METHODS:
        service.get("/nowhere", method)
    own = 'http_requests_total{method="GET",route="/metrics",status="200"}'
    eventually(lambda: own in service.metrics(), "the series of the scrapes themselves", 10)
    before = len(service.metrics())
    paths = [f"/{numbers.getrandbits(64):x}/{numbers.getrandbits(32):x}?q={number}" for number in range(5000)]
    for path in paths:
        service.get(path, numbers.choice(METHODS))
    assert len(service.metrics()) - before <= 2


def test_every_bucket_has_the_trace_id_of_a_span_that_was_exported(tmp_path: Path, collector: Collector) -> None:
    """Rows A14, D13: 400 requests to four workers, all sampled; exemplars whichever worker is asked."""
    with Service(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        service.ready()
        service.get_many(400, 40)
        for seconds in ("0.03", "0.3"):
            service.get(f"/delay/{seconds}")
        found: dict[str, str] = {}
        for _ in range(8):
            answer = service.get("/metrics", Accept=OPENMETRICS)
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert answer.body.endswith(b"# EOF\n")
            lines = [line.split(" # ") for line in answer.body.decode().splitlines() if " # {" in line]
            found |= {name: text.split('"')[1] for name, text in lines}
        assert len(found) >= 3
        assert all(name.startswith("http_request_duration_seconds_bucket") for name in found)
        eventually(lambda: set(found.values()) <= set(collector.trace_ids), "every exemplar's span", 10)

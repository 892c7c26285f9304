"""Every metric that exists, its store and its exposition.

Counters and histograms are prometheus-client's, their numbers in one file a kind and worker *slot*
(metric_values.py): a slot's next worker goes on counting in the same file, so files never grow in
number and counters never fall. Gauges need no files: they are read from the scoreboard at scrape
time, so a dead worker leaves none behind. Fork: make `Metrics` in the worker, after the fork.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hola.scoreboard import EXIT_REASONS, FREE, LEVELS, SLOW, STATES, Row, Scoreboard
from hola.telemetry.metric_reader import SlotFiles
from hola.telemetry.metric_text import Text
from hola.telemetry.metric_values import RequestSeries, count_in

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
QUEUE_SECONDS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
APPLY_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
MOST_FORMATS = 8  # remembered; who scrapes may name versions without end
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Metrics:
    """What a worker counts itself. Thread-safe; one instance a process.

    Args:
        directory: of the metric files.
        row: the worker's own.
    """

    def __init__(self, directory: Path, slot: int, row: Row) -> None:
        self._values = count_in(directory, slot, row)
        self._series: dict[tuple[str, str, int], RequestSeries] = {}
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests_total", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self.duration = Histogram(
            "http_request_duration_seconds",
            "From the first line read to the last byte written.",
            ("method", "route"),
            registry=registry,
            buckets=SECONDS,
        )
        self.queue = Histogram(
            "hola_request_queue_seconds",
            "From data on the connection to a thread that took it.",
            registry=registry,
            buckets=QUEUE_SECONDS,
        )
        self.rejected = Counter(
            "http_requests_rejected_total",
            "Requests refused before the application saw them.",
            ("reason",),
            registry=registry,
        )
        self.apply_duration = Histogram(
            "hola_config_apply_duration_seconds",
            "From a change seen to every worker running it.",
            registry=registry,
            buckets=APPLY_SECONDS,
        )
        self.faults = Counter("hola_faults_injected_total", "Faults injected on purpose.", ("id",), registry=registry)

    def observe(  # noqa: PLR0917 - what one request is, once
        self,
        method: str,
        route: str,
        status: int,
        seconds: float,
        queue_seconds: float | None,
        trace_id: str | None = None,
    ) -> None:
        """Count one request, finished after `seconds`; `trace_id` if its span will be exported."""
        series = self._series.get((method, route, status)) or self._find(method, route, status)
        series.observe(seconds, queue_seconds, trace_id)

    def _find(self, method: str, route: str, status: int) -> RequestSeries:
        """The series of such requests, looked up once: prometheus-client's `labels` costs more than the counting."""
        known = method if method in METHODS else "other"
        count, duration = self.requests.labels(known, route, str(status)), self.duration.labels(known, route)
        series = RequestSeries(self._values, count, duration, self.queue)
        if known == method:  # a method of the client's making must not fill the table
            self._series[method, route, status] = series
        return series

    def settle(self) -> None:
        """Give series that had no room their place, if there is room now. Called about once a second."""
        self._values.settle()


class Exposition:
    """All processes' numbers as text, whichever worker is asked. Thread-safe: one scrape at a time."""

    def __init__(self, directory: Path, gauges: Iterable[Collector], board: Scoreboard, row: Row) -> None:
        self._lock = threading.Lock()  # HEAD /metrics, for one, is answered beside GET, by another thread
        self._texts: dict[str, Text] = {}
        self._registry = CollectorRegistry()
        count_error = partial(row.add, "metrics_errors")
        self._registry.register(SlotFiles(directory, count_error, lambda slot: board.rows[slot].state != FREE))
        for collector in gauges:
            self._registry.register(collector)

    def render(self, accept: str) -> tuple[bytes, str]:
        """(body, content type): Prometheus text, or OpenMetrics when `accept` asks for it."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
        with self._lock:
            if (text := self._texts.get(content_type)) is None:
                if len(self._texts) >= MOST_FORMATS:
                    self._texts.clear()
                text = self._texts[content_type] = Text(encode)
            return text.render(self._registry), content_type


class BoardCollector(Collector):
    """Gauges and pod-wide counters, read from the scoreboard at scrape time."""

    def __init__(
        self,
        board: Scoreboard,
        version: str,
        commit: str,
        revision: Callable[[], tuple[str, str]],
        secret_ages: Callable[[], Mapping[str, float]],
    ) -> None:
        self._board = board
        self._version, self._commit = version, commit
        self._revision = revision
        self._secret_ages = secret_ages

    def describe(self) -> Iterable[Metric]:
        return []  # names are unique by construction; registering must not read the scoreboard

    def collect(self) -> Iterator[Metric]:
        yield from self._service()
        yield from self._workers()
        yield from self._config()
        yield from self._aws()
        yield from self._own_telemetry()

    def _service(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("hola_build_info", "What runs here.", labels=("version", "revision", "python"))
        info.add_metric((self._version, self._commit, platform.python_version()), 1)
        yield info
        rows = [row for _slot, row in self._board.workers]
        yield GaugeMetricFamily(
            "http_requests_in_progress", "Requests being answered now.", value=sum(r.in_progress for r in rows)
        )
        exits = CounterMetricFamily("hola_worker_exits_total", "Worker processes that ended.", labels=("reason",))
        for reason, number in self._board.pod_totals("exits", EXIT_REASONS).items():
            exits.add_metric((reason,), number)
        yield exits
        slow = CounterMetricFamily(
            "hola_slow_clients_total", "Clients given up on, by what they were slow at.", labels=("kind",)
        )
        for kind, number in self._board.totals("slow_clients", SLOW).items():
            slow.add_metric((kind,), number)
        yield slow
        states = GaugeMetricFamily("hola_workers", "Worker processes.", labels=("state",))
        for number, state in enumerate(STATES[1:], start=1):
            states.add_metric((state,), sum(row.state == number for row in rows))
        yield states

    def _workers(self) -> Iterator[Metric]:
        gauges = (
            ("hola_worker_threads", "Threads that serve requests.", "threads"),
            ("hola_worker_threads_busy", "Threads that serve one now.", "threads_busy"),
            ("hola_worker_connections", "Open connections.", "connections"),
            ("hola_worker_resident_memory_bytes", "Resident memory.", "resident_bytes"),
            ("hola_worker_open_fds", "Open file descriptors.", "open_fds"),
            ("hola_worker_start_time_seconds", "When it was started, since the epoch.", "started_at"),
        )
        for name, help_text, field in gauges:
            family = GaugeMetricFamily(name, help_text, labels=("slot",))
            for slot, row in self._board.workers:
                family.add_metric((str(slot),), getattr(row, field))
            yield family
        cpu = CounterMetricFamily(
            "hola_worker_cpu_seconds_total", "CPU time, over all workers of the slot.", labels=("slot",)
        )
        for slot, seconds in enumerate(self._board.cpu_seconds()):
            if seconds:
                cpu.add_metric((str(slot),), seconds)
        yield cpu

    def _config(self) -> Iterator[Metric]:
        pod, now = self._board.pod, time.time()
        revision, origin = self._revision()
        results = CounterMetricFamily("hola_config_reloads_total", "Changes of content seen.", labels=("result",))
        for result, field in (("applied", "applied"), ("rejected", "rejections"), ("error", "errors")):
            results.add_metric((result,), self._board.pod_totals(field, (field,))[field])
        yield results
        info = GaugeMetricFamily("hola_config_info", "The document in force.", labels=("revision", "origin"))
        if pod.generation:
            info.add_metric((revision, origin), 1)
        yield info
        current = sum(row.generation == pod.generation for _slot, row in self._board.workers)
        states = GaugeMetricFamily("hola_config_workers", "Workers by what they run.", labels=("state",))
        states.add_metric(("current",), current)
        states.add_metric(("behind",), len(self._board.workers) - current)
        yield states
        age = now - pod.source_read_at if pod.source_read_at else 0.0
        for name, help_text, value in (
            ("last_reload_successful", "1 unless the newest content was rejected.", int(not pod.rejected)),
            ("last_reload_success_timestamp_seconds", "When a document was last applied.", pod.applied_at),
            ("generation", "Documents applied since boot.", pod.generation),
            ("revision_hash", "The revision as a number, for count_values.", int(revision or "0", 16)),
            ("restart_required", "Static settings that the document wants otherwise.", pod.restart_required),
            ("held", "1 while a rollout keeps this pod on the document before.", int(bool(pod.held))),
            ("source_up", "1 while the source can be read.", pod.source_up),
            ("source_age_seconds", "Since the source was last read.", max(age, 0.0)),
        ):
            yield GaugeMetricFamily(f"hola_config_{name}", help_text, value=value)
        ages = GaugeMetricFamily("hola_secret_age_seconds", "Since the secret's file was written.", labels=("name",))
        for name, age in self._secret_ages().items():
            ages.add_metric((name,), age)
        yield ages

    def _aws(self) -> Iterator[Metric]:
        """The last look's verdict: AWS is never asked at scrape time, and there is no series before the first look."""
        identity = GaugeMetricFamily(
            "hola_aws_identity_ok", "1 if the pod has the role it should have.", labels=("provider", "reason")
        )
        if found := self._board.pod.last_aws_identity():
            identity.add_metric(found, int(found[1] == "ok"))
        yield identity

    def _own_telemetry(self) -> Iterator[Metric]:
        lines = CounterMetricFamily("hola_log_lines_total", "Lines written.", labels=("level",))
        for level, number in self._board.totals("lines", LEVELS).items():
            lines.add_metric((level,), number)
        yield lines
        for name, help_text, field in (
            ("hola_log_lines_dropped_total", "Lines that nobody would take.", "lines_dropped"),
            ("hola_log_lines_truncated_total", "Lines shortened to 4096 bytes.", "lines_truncated"),
            ("hola_log_lines_suppressed_total", "Lines left out that said the same again.", "lines_suppressed"),
            ("hola_spans_exported_total", "Spans the collector took.", "spans_exported"),
            ("hola_spans_dropped_total", "Spans that it did not.", "spans_dropped"),
            ("hola_metrics_file_errors_total", "Metric files that could not be read.", "metrics_errors"),
        ):
            yield CounterMetricFamily(name, help_text, value=self._board.totals(field, (field,))[field])
        homeless = sum(row.metrics_homeless for _slot, row in self._board.workers)
        yield GaugeMetricFamily(
            "hola_metrics_degraded", "Series without room in a file, not shown for that time.", value=homeless
        )

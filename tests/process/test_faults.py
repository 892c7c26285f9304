"""The fault catalogue in the real service: what each kind does, what reacts to it, what stays whole meanwhile."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.collector import Collector
from tests.process.volume import told
from tests.support import Answer, Service, eventually, run_command

MIB = 1 << 20
BROKEN = (
    OSError,
    http.client.HTTPException,
)  # what a client meets whose worker dies before or in the middle of its answer
# What asks for each kind, and by how much the metrics that must react grow at least for one request.
DRILLS: dict[str, tuple[Any, dict[str, float]]] = {
    "delay_ms": (300, {'http_request_duration_seconds_sum{method="GET",route="/version"}': 0.3}),
    "allocate_mib": (48, {"hola_worker_resident_memory_bytes": 40 * MIB}),
    "cpu_ms": (300, {"hola_worker_cpu_seconds_total": 0.3}),
    "log_lines": (50, {'hola_log_lines_total{level="warning"}': 50}),
    "status": (503, {'http_requests_total{method="GET",route="/version",status="503"}': 1}),
    "exception": (True, {'http_requests_total{method="GET",route="/version",status="500"}': 1}),
    "exit_worker": (True, {'hola_worker_exits_total{reason="killed"}': 1}),
}


@pytest.fixture(scope="module")
def must_react() -> dict[str, list[str]]:
    """By the key of a fault, what the published schema says of it."""
    _code, lines, _errors = run_command("config", "schema")
    schema = next(line for line in lines if "$defs" in line)
    properties = schema["$defs"]["FaultRule"]["properties"]
    return {key: told["x-must-react"] for key, told in properties.items() if "x-must-react" in told}


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("drilled"), WEB_CONCURRENCY="2") as running:
        yield running.ready()


def test_the_catalogue_is_drilled_as_a_whole(must_react: dict[str, list[str]]) -> None:
    assert must_react.keys() == DRILLS.keys()


@pytest.mark.parametrize("key", DRILLS)
def test_what_must_react_to_a_fault_does(drilled: Service, must_react: dict[str, list[str]], key: str) -> None:
    """The metrics and events that the schema names, and the fault's id on its line and in its count."""
    asked, growths = DRILLS[key]
    before = {name: drilled.total(name) for name in growths}
    name = f"drill-{key.replace('_', '-')}"
    inject(drilled, {"id": name, key: asked, "until": ending_in(60)})
    _ask(drilled, "/version")
    for series, growth in growths.items():
        eventually(lambda: drilled.total(series) - before[series] >= growth, f"{series} reacts", 5)  # noqa: B023 - called at once
    assert drilled.metrics()[f'hola_faults_injected_total{{id="{name}"}}'] == 1
    assert drilled.wait_for("worker_exit_injected" if key == "exit_worker" else "request_finished", fault_id=name)
    named = [signal for signal in must_react[key] if not signal.startswith("Hola")]
    metrics = {series.split("{")[0].removesuffix("_sum") for series in growths}
    assert metrics <= set(named)
    for event in set(named) - metrics:
        drilled.wait_for(event)
    mend(drilled, name)


def test_an_exception_is_a_500_with_its_stack_its_line_and_a_span_in_error(
    tmp_path: Path, collector: Collector
) -> None:
    """README: `request_failed`, `hola.fault.id`, `error.type`."""
    document = json.dumps({"faults": [{"id": "boom", "route": "/version", "exception": True}]})
    with Service(tmp_path, document, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint) as service:
        answer = service.ready().get("/version")
        trace_id = answer.headers["X-Trace-Id"]
        [span] = eventually(lambda: [span for span in collector.spans if span.trace_id == trace_id], "the span", 10)
        failed = service.wait_for("request_failed", trace_id=trace_id)
        line = service.wait_for("request_finished", trace_id=trace_id)
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert answer.json()["trace_id"] == trace_id
    assert "boom" in failed["error"]
    assert "injection.py" in failed["stack"][-1]
    assert (line["level"], line["status"], line["fault_id"], line["route"]) == ("warning", 500, "boom", "/version")
    assert (span.name, span.attributes["error.type"]) == ("GET /version", "FaultInjected")
    assert span.attributes["hola.fault.id"] == "boom"


def test_a_crash_takes_the_requests_of_its_worker_and_no_other(own_service: Service) -> None:
    """`lost_requests` of the master's line is what clients miss, to the request."""
    with ThreadPoolExecutor(13) as clients:
        slow = [clients.submit(own_service.get, "/delay/3") for _ in range(12)]
        eventually(lambda: own_service.metrics()["http_requests_in_progress"] >= 12, "twelve slow requests", 2)
        inject(own_service, {"id": "crash", "exit_worker": True, "until": ending_in(30)})
        slow.append(clients.submit(own_service.get, "/version"))
        exited = own_service.wait_for("worker_exited", 2, reason="killed", signal="SIGKILL")
    answered = [client.result() for client in slow if client.exception() is None]
    assert exited["lost_requests"] == 13 - len(answered) >= 1
    assert {answer.status for answer in answered} == {200}
    assert own_service.wait_for("worker_exit_injected", fault_id="crash")["pid"] == exited["worker_pid"]
    spared = [own_service.wait_for("request_finished", trace_id=_trace_id(answer))["pid"] for answer in answered]
    assert exited["worker_pid"] not in spared


def test_crashes_at_every_request_take_one_worker_at_a_time_and_end_by_themselves(own_service: Service) -> None:
    """Under traffic, three of four serve at any time; no counter falls; what is injected is what died."""
    before, until = own_service.metrics(), ending_in(4)
    inject(own_service, {"id": "crash", "exit_worker": True, "until": until})
    with Visitors(own_service, "/version"):
        ready = []
        while datetime.now(UTC).isoformat() < until:
            with suppress(*BROKEN):  # a scrape that a dying worker had
                ready.append(own_service.metrics()['hola_workers{state="ready"}'])
        ended = own_service.wait_for("fault_ended", 3, fault_id="crash", reason="expired")
        eventually(lambda: own_service.metrics()['hola_workers{state="ready"}'] == 4, "four workers", 5)
    after = own_service.metrics()
    deaths = after['hola_worker_exits_total{reason="killed"}']
    print(f"{deaths:.0f} deaths in 4 s, never fewer than {min(ready):.0f} workers")
    assert min(ready) >= 3
    assert 2 <= deaths == after['hola_faults_injected_total{id="crash"}']
    assert deaths == told(own_service, "worker_exit_injected")
    counters = [name for name in before if name.split("{")[0].endswith(("_total", "_bucket", "_count", "_sum"))]
    assert [name for name in counters if after.get(name, 0) < before[name]] == []
    assert ended["until"]


def test_memory_grows_to_its_bound_and_comes_back(tmp_path: Path) -> None:
    """Not above 256 MiB a worker, whatever is asked; given back when the fault ends by itself."""
    with Service(tmp_path, WEB_CONCURRENCY="1") as service:
        before = _resident(service.ready())
        inject(service, {"id": "leak", "allocate_mib": 64, "until": ending_in(6)})
        for _ in range(10):
            assert service.get("/version").status == 200
        eventually(lambda: _resident(service) - before > 250 * MIB, "256 MiB more", 5)
        assert _resident(service) - before < 300 * MIB
        eventually(lambda: _resident(service) - before < 16 * MIB, "memory given back", 10)
        assert service.events("fault_ended")[0]["reason"] == "expired"
        assert service.metrics()['hola_faults_injected_total{id="leak"}'] == 10


def test_memory_comes_back_when_the_fault_leaves_the_document(drilled: Service) -> None:
    """On every worker, though only one of them reads the document first."""
    before = _resident(drilled)
    inject(drilled, {"id": "leak", "allocate_mib": 32})
    drilled.get_many(16, 8, "/version")
    eventually(lambda: _resident(drilled) - before > 250 * MIB, "memory held", 5)
    mend(drilled, "leak")
    eventually(lambda: _resident(drilled) - before < 32 * MIB, "memory given back", 5)


def test_cpu_time_burnt_is_on_the_requests_line(drilled: Service) -> None:
    """docs/runbook.md: `cpu_seconds` near `duration_seconds` is computation, also while eight burn at once."""
    inject(drilled, {"id": "burn", "cpu_ms": 200})
    answers = drilled.get_many(8, 8, "/version")
    lines = [drilled.wait_for("request_finished", trace_id=_trace_id(answer)) for answer in answers]
    assert [line for line in lines if not 0.2 <= line["cpu_seconds"] < 0.4] == []
    mend(drilled, "burn")


def test_a_storm_of_lines_is_counted_to_the_line_and_none_is_torn(drilled: Service) -> None:
    """8000 lines of two workers at once: each arrives once, whole, with its number, its request and its fault."""
    counted = drilled.total('hola_log_lines_total{level="warning"}')
    inject(drilled, {"id": "storm", "log_lines": 1000})
    answers = drilled.get_many(8, 8, "/version")
    for answer in answers:
        drilled.wait_for("request_finished", trace_id=_trace_id(answer))
    mend(drilled, "storm")
    assert drilled.total('hola_log_lines_total{level="warning"}') - counted == 8000
    assert drilled.total("hola_log_lines_dropped_total") == 0
    storm = [line for line in drilled.events("line_injected") if line["fault_id"] == "storm"]
    assert {(line["trace_id"], line["number"]) for line in storm} == {
        (_trace_id(answer), number) for answer in answers for number in range(1, 1001)
    }
    assert len(storm) == 8000


def test_a_fault_begins_and_ends_once_a_pod(own_service: Service) -> None:
    """README: `fault_started`, `fault_ended`; not once a worker, and not again by a worker that is born meanwhile."""
    crash = {"id": "crash", "exit_worker": True, "until": (until := ending_in(3))}
    inject(own_service, {"id": "slow", "route": "/", "percent": 10, "delay_ms": 1, "status": 503}, crash)
    _ask(own_service, "/version")
    eventually(lambda: told(own_service, "worker_ready") == 5, "a successor", 5)
    own_service.wait_for("fault_ended", 6, fault_id="crash", reason="expired")
    assert datetime.now(UTC).isoformat() > until
    mend(own_service, "slow")
    own_service.get_many(40, 8)
    started, ended = own_service.events("fault_started"), own_service.events("fault_ended")
    assert [(line["fault_id"], line["kind"]) for line in started] == [("slow", "delay+status"), ("crash", "crash")]
    assert [(line["fault_id"], line["reason"]) for line in ended] == [("crash", "expired"), ("slow", "removed")]
    assert [(line["route"], line["percent"], line["until"]) for line in (started[0], ended[1])] == [("/", 10, None)] * 2
    applied = {line["revision"] for line in own_service.events("config_applied")}
    assert {line["revision"] for line in (*started, *ended)} <= applied


@pytest.mark.parametrize(
    ("fault", "path", "code"),
    [
        ({"status": 503, "exception": True}, "/faults/0/exception", "contradiction"),
        ({"exit_worker": True}, "/faults/0/until", "missing"),
        ({"allocate_mib": 65}, "/faults/0/allocate_mib", "less_than_equal"),
        ({"route": "/livez"}, "/faults/0/route", "spared"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused_with_its_pointer(
    drilled: Service, fault: dict[str, Any], path: str, code: str
) -> None:
    before = told(drilled, "config_rejected")
    drilled.put(json.dumps({"faults": [{"id": "a", "route": "/", **fault}]}))
    eventually(lambda: told(drilled, "config_rejected") > before, "the rejection", 5)
    [error] = drilled.get("/config/status").json()["rejection"]["errors"]
    assert (error["path"], error["code"], bool(error["message"])) == (path, code, True)
    drilled.put("{}")
    eventually(lambda: drilled.get("/config/status").json()["rejection"] is None, "a good document", 5)


def test_no_number_of_slashes_leads_a_fault_to_what_is_spared(drilled: Service) -> None:
    """ADR 11: a rule for probes or figures is refused, and one for / meets it however its path is written."""
    before = told(drilled, "config_rejected")
    faults = [{"id": f"spared-{n}", "route": route, "status": 503} for n, route in enumerate(("/livez", "/metrics"))]
    drilled.put(json.dumps({"faults": faults}))
    eventually(lambda: told(drilled, "config_rejected") > before, "the rejection", 5)
    assert [drilled.get(path).status for path in ("//livez", "//metrics", "http://pod//livez")] == [200] * 3
    inject(drilled, {"id": "at-home", "route": "/", "status": 503})
    assert [drilled.get(path).status for path in ("/", "//", "//livez", "//metrics")] == [503, 503, 200, 200]
    mend(drilled, "at-home")


class Visitors:
    """Four clients that ask and ask, and take a broken connection for what it is."""

    def __init__(self, service: Service, path: str) -> None:
        self._service, self._path = service, path
        self._ended = threading.Event()

    def __enter__(self) -> None:
        self._pool = ThreadPoolExecutor(4)
        self._clients: list[Future[None]] = [self._pool.submit(self._visit) for _ in range(4)]

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        for client in self._clients:
            client.result()

    def _visit(self) -> None:
        while not self._ended.wait(0.01):
            _ask(self._service, self._path)


def inject(service: Service, *faults: dict[str, Any]) -> None:
    """Put faults in force, on /version if they do not say where."""
    service.put(json.dumps({"faults": [{"route": "/version"} | fault for fault in faults]}))
    for fault in faults:
        service.wait_for("fault_started", fault_id=fault["id"])


def mend(service: Service, name: str) -> None:
    service.put("{}")
    service.wait_for("fault_ended", fault_id=name)


def ending_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _ask(service: Service, path: str) -> None:
    """Once; the worker may die of it."""
    with suppress(*BROKEN):
        service.get(path)


def _resident(service: Service) -> float:
    return service.total("hola_worker_resident_memory_bytes")


def _trace_id(answer: Answer) -> str:
    return answer.headers["X-Trace-Id"]

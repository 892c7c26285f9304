"""Lines of four workers on one stream: whole, bounded, never in a request's way, without secrets."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.checkout import with_more_routes
from tests.process.hammer import Hammer
from tests.process.stdout import SlowReader, Stream, pipe
from tests.process.volume import told
from tests.support import Service, eventually

STALL_SECONDS = float(os.environ.get("LAB_STALL_SECONDS", "5"))
CANARY = "S3NT1NEL"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that fails and logs as it is told."""
    return with_more_routes(tmp_path_factory.mktemp("code") / "checkout")


@pytest.fixture
def failing(code: Path, tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path)
    running.root = code
    with running:
        yield running.ready()


def test_huge_exceptions_of_four_workers_before_a_slow_reader(code: Path, tmp_path: Path) -> None:
    """Rows C1, C2: 20 kB at once through a full pipe; every line parses, none is above 4096 bytes, and all add up."""
    reader, writer = pipe()
    with reader, writer, Stream(code, tmp_path, writer) as stream:
        writer.close()
        slow = SlowReader(reader, 200_000)
        with Hammer(stream.client, 12, "/test/fail/20000"), Hammer(stream.client, 4, "/test/say/200/20000"):
            eventually(lambda: stream.client.total("hola_log_lines_dropped_total") > 100, "losses", 60)
        figures = stream.client.metrics()
        stream.stop()
        raw = slow.lines()
    parsed = [json.loads(line) for line in raw]
    assert max(map(len, raw)) <= 4096
    assert any(line.get("truncated") for line in parsed)
    told_lost = [line["dropped"] for line in parsed if line["event"] == "log_lines_dropped"]
    written = sum(value for name, value in figures.items() if name.startswith("hola_log_lines_total"))
    lost = figures["hola_log_lines_dropped_total"]
    print(
        f"{len(raw)} lines read, {written:.0f} counted before the stop, {lost:.0f} lost, {sum(told_lost)} of them told"
    )
    assert 0 <= len(raw) - len(told_lost) - written < 100, "what the stop itself said comes on top"
    assert lost <= sum(told_lost) <= lost + 100


def test_a_burst_before_a_live_reader_loses_nothing(failing: Service) -> None:
    """10 000 lines at once from four workers to somebody who reads: none is dropped, none is torn."""
    with_threads = [threading.Thread(target=failing.get, args=("/test/say/500",)) for _ in range(20)]
    for thread in with_threads:
        thread.start()
    for thread in with_threads:
        thread.join()
    eventually(lambda: told(failing, "line_written") == 10_000, "all lines", 20)
    assert failing.total("hola_log_lines_dropped_total") == 0
    assert len(failing.lines) >= 10_000


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_stalled_reader_is_not_felt_and_its_losses_are_told(code: Path, tmp_path: Path, kind: str) -> None:
    """Row C3: nobody reads stdout; p99 stays below 200 ms, TERM works in its bound, then the losses are told."""
    ours, theirs = socket.socketpair() if kind == "socket" else pipe()
    with Stream(code, tmp_path, theirs) as stream:
        theirs.close()
        _ = stream.client.get("/test/say/9000")
        eventually(lambda: stream.client.total("hola_log_lines_dropped_total") > 0, "a full stream", 20)
        with Hammer(stream.client, 8) as hammer:
            until = time.monotonic() + STALL_SECONDS
            eventually(lambda: time.monotonic() > until, "the stall", STALL_SECONDS + 5)
        p99 = hammer.percentile(0.99)
        print(f"{kind} stalled {STALL_SECONDS} s: {len(hammer.answers)} requests, p99 {p99 * 1000:.0f} ms")
        assert p99 < 0.2
        assert {answer.status for answer in hammer.answers} == {200}
        lost = stream.client.total("hola_log_lines_dropped_total")
        reader = SlowReader(ours, 1 << 30)
        took = stream.stop()
        lines = [json.loads(line) for line in reader.lines()]
    ours.close()
    assert took < 0.5 + 3
    assert sum(line["dropped"] for line in lines if line["event"] == "log_lines_dropped") >= lost


@pytest.mark.parametrize("fault", ["closed", "non-blocking"])
def test_a_broken_stdout_costs_nobody_a_request(code: Path, tmp_path: Path, fault: str) -> None:
    """Rows C4, C5: the reader is gone, or a neighbour made the pipe non-blocking: 200 all the same."""
    reader, writer = pipe()
    with reader, writer, Stream(code, tmp_path, writer) as stream:
        if fault == "closed":
            reader.close()
        else:
            os.set_blocking(writer.fileno(), False)
        assert {answer.status for answer in stream.client.get_many(100, 8)} == {200}
        lost = stream.client.total("hola_log_lines_dropped_total")
        assert (lost > 0) == (fault == "closed")
        assert stream.stop() < 4


def test_an_oserror_of_the_application_is_no_client_that_left(failing: Service) -> None:
    """Row C4: gunicorn takes an OSError for a broken connection; here it is a 500 with a problem body and its line."""
    answer = failing.get("/test/fail-outside")
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert failing.wait_for("request_failed", route="/test/fail-outside")["error"].startswith("BrokenPipeError")


def test_a_line_is_there_when_its_worker_is_killed_right_after(own_service: Service) -> None:
    """Row C6: nothing waits in a buffer for a process that may not come to flush it."""
    for number in range(5):  # no other line is under way: a worker's last is worker_ready
        eventually(lambda: told(own_service, "worker_ready") == 4 + number, "four workers", 20)  # noqa: B023 - called at once
        before = own_service.total('hola_log_lines_total{level="info"}')
        about = own_service.get("/")
        eventually(lambda: own_service.total('hola_log_lines_total{level="info"}') > before, "the line counted", 5)  # noqa: B023 - called at once
        os.kill(about.json()["pid"], signal.SIGKILL)
        own_service.wait_for("request_finished", trace_id=about.headers["X-Trace-Id"], within_seconds=5)


def test_hostile_headers_are_one_line_and_come_back_as_sent(service: Service) -> None:
    """Row C8: quotes, backslashes, control characters and bytes that are no text, in a user agent."""
    agent = 'a","lvl":"x\\ %0a é \t[31m'.encode("latin-1")
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"GET /headers HTTP/1.1\r\nHost: x\r\nUser-Agent: " + agent + b"\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
    trace_id = answer.split(b"X-Trace-Id: ")[1].split(b"\r\n")[0].decode()
    line = service.wait_for("request_finished", trace_id=trace_id)
    assert line["user_agent"] == agent.decode("latin-1")
    assert len([each for each in service.events("request_finished") if each["trace_id"] == trace_id]) == 1


def test_what_is_bound_to_one_request_is_not_on_the_next(failing: Service) -> None:
    """Rows C11, D10: a user bound by the application stands on its own request's lines alone."""
    for number in range(40):
        failing.get(f"/test/bind/alice{number}")
        failing.get("/version")
    bound = failing.events("user_bound")
    assert len({line["user"] for line in bound}) == 40
    assert [line for line in failing.events("request_finished") if line["route"] == "/version" and "user" in line] == []


def test_reloads_do_not_double_lines(own_service: Service) -> None:
    """Row C12: after two HUPs each event is still one line."""
    for number in (1, 2):
        own_service.process.send_signal(signal.SIGHUP)
        eventually(lambda: told(own_service, "worker_exited") == 4 * number, "the old workers' ends", 20)  # noqa: B023 - called at once
    trace_id = own_service.get("/").headers["X-Trace-Id"]
    own_service.wait_for("request_finished", trace_id=trace_id)
    assert len([line for line in own_service.events("request_finished") if line["trace_id"] == trace_id]) == 1
    assert told(own_service, "server_reloading") == 2


def test_a_storm_of_equal_failures_is_a_few_lines_and_exact_counts(failing: Service) -> None:
    """Row C13: each failure is counted and has its request's line; why is told ten times in ten seconds a worker."""
    failures = len(failing.get_many(2000, 16, "/test/fail/100"))
    figures = failing.metrics()
    assert figures['http_requests_total{method="GET",route="/test/fail/{size}",status="500"}'] == failures
    said = told(failing, "request_failed")
    assert said <= 4 * 10 * 5
    assert said + figures["hola_log_lines_suppressed_total"] == failures
    eventually(lambda: told(failing, "request_finished") >= failures, "a line for each request", 10)


def test_no_canary_comes_out_anywhere(code: Path, tmp_path: Path) -> None:
    """Rows C10, D7: secrets in headers, query, body, local variable, document, file, settings and bad requests."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/api_token").write_text(f"{CANARY}-in-a-secret")
    running = Service(tmp_path, OTEL_EXPORTER_OTLP_HEADERS=f"authorization={CANARY}", CONSUL_HTTP_TOKEN=CANARY)
    running.root = code
    with running as service:
        service.ready()
        service.put(json.dumps({"greeting": "x", "api_key": CANARY}))
        service.wait_for("config_rejected")
        said = [_ask_with_canaries(service, path) for path in PATHS]
        said += [_raw(service, line) for line in BAD_LINES]
        said.append(service.get("/metrics").body)
        service.stop()
        said += service.raw + service.errors
    assert [text for text in said if CANARY.encode() in text] == []


PATHS = (
    *("/", "/headers", "/nowhere", "/status/500", "/config", "/config/status", "/config/history", "/echo"),
    *("/test/fail/10", "/test/fail-late", "/test/fail-outside", "/test/inner"),
)
BAD_LINES = (
    f"GET /{CANARY} x HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {CANARY}\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: x\r\nCookie: {CANARY}\0\r\n\r\n",
    f"{CANARY}\r\n\r\n",
)


def _ask_with_canaries(service: Service, path: str) -> bytes:
    headers = {"Authorization": f"Bearer {CANARY}-wrong", "Cookie": f"session={CANARY}", "X-Api-Key": CANARY}
    with suppress(Exception):
        answer = service.get(f"{path}?token={CANARY}", "GET", json.dumps({"password": CANARY}).encode(), **headers)
        return answer.body + str(answer.headers).encode()
    return b""


def _raw(service: Service, text: str) -> bytes:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(text.encode())
        client.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(OSError):
            while data := client.recv(65536):
                answer += data
        return answer

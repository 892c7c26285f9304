"""TERM: drain, stop, account."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import Answer, Service, eventually, free_port

DRAIN = 1.0


@pytest.mark.parametrize("collector", ["none", "refusing", "silent"])
def test_an_idle_service_stops_in_its_time(tmp_path: Path, collector: str) -> None:
    """Rows B3, D2: exit 0 within HOLA_DRAIN_SECONDS + 1 s, a closed collector or not; + 3 s with a silent one."""
    with (
        _endpoint(collector) as endpoint,
        Service(tmp_path, HOLA_DRAIN_SECONDS=str(DRAIN), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as service,
    ):
        service.ready()
        service.get_many(40, 8)
        eventually(lambda: len(service.events("request_finished")) == 40, "nothing left to do", 10)
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < DRAIN + (3.5 if collector == "silent" else 1)
        account = service.events("server_stopped")[0]
    assert account["spans_dropped"] == (0 if collector == "none" else 40)
    assert (account["in_flight_at_start"], account["aborted"]) == (0, 0)
    assert service.errors == []


def test_readyz_is_503_while_draining_and_everything_else_is_served(tmp_path: Path) -> None:
    """Rows B3, B4, E1: clients are moved off, none is refused."""
    with Service(tmp_path, HOLA_DRAIN_SECONDS="3") as service:
        service.ready()
        service.process.terminate()
        [refused] = eventually(lambda: _answers(service, "/readyz", 503), "readiness down", 1)
        assert "draining" in refused.json()["detail"]
        served = service.get("/")
        assert served.status == 200
        assert served.headers["Connection"] == "close"
        service.process.terminate()
        started = time.monotonic()
        assert service.process.wait(10) == 0
        assert time.monotonic() - started < 2, "a second TERM ends the drain at once"


def test_a_request_in_flight_is_finished(tmp_path: Path) -> None:
    """Row E1: TERM costs nobody an answer."""
    with Service(tmp_path, HOLA_DRAIN_SECONDS="0") as service:
        service.ready()
        answers: list[Answer] = []
        client = threading.Thread(target=lambda: answers.append(service.get("/delay/1.5")))
        client.start()
        eventually(lambda: service.metrics()["http_requests_in_progress"] == 2, "the request in flight", 5)
        assert service.stop() == 0
        client.join(5)
        account = service.events("server_stopped")[0]
    assert [answer.status for answer in answers] == [200]
    in_flight = account["in_flight_at_start"]
    assert in_flight in (1, 2), "that one, and the scrape that saw it, if its end was not counted yet"
    assert (account["drained"], account["aborted"]) == (in_flight, 0)


def test_after_the_drain_a_client_is_refused_at_once(tmp_path: Path) -> None:
    """Row B3: while a request in flight is finished, nobody else waits for an answer that will not come."""
    with Service(tmp_path, HOLA_DRAIN_SECONDS="0.2") as service:
        service.ready()
        answers: list[Answer] = []
        client = threading.Thread(target=lambda: answers.append(service.get("/delay/8")))
        client.start()
        eventually(lambda: service.metrics()["http_requests_in_progress"] == 2, "the request in flight", 5)
        service.process.terminate()
        eventually(lambda: _refuses(service), "no connection any more", 10)
        assert not answers, "and that one goes on"
        client.join(15)
        assert service.process.wait(10) == 0
    assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_are_quick(own_service: Service, number: signal.Signals) -> None:
    own_service.process.send_signal(number)
    assert own_service.process.wait(5) == 0


def test_metric_files_go_with_the_service(own_service: Service) -> None:
    directory = Path(f"/dev/shm/hola-{own_service.process.pid}")
    assert directory.is_dir()
    assert own_service.stop() == 0
    assert not directory.exists()


@contextmanager
def _endpoint(collector: str) -> Iterator[str]:
    if collector == "silent":
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
    else:
        yield f"http://127.0.0.1:{free_port()}" if collector == "refusing" else ""


def _refuses(service: Service) -> bool:
    try:
        socket.create_connection(("127.0.0.1", service.port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # of the moment of the close itself
        return False
    return False


def _answers(service: Service, path: str, status: int) -> list[Answer]:
    answer = service.get(path)
    return [answer] if answer.status == status else []

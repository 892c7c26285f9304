"""Starting: wrong settings, missing configuration, readiness that waits for the whole."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.support import SAMPLE, Service, eventually


def test_all_wrong_settings_are_told_in_one_line(tmp_path: Path) -> None:
    """contract: exit 78, before anything is forked."""
    with Service(tmp_path, PORT="abc", HOLA_THREADS="-1") as service:
        assert service.process.wait(10) == 78
        eventually(lambda: service.raw, "its line", 2)
        [line] = service.lines
    assert [fault["path"] for fault in line["faults"]] == ["PORT", "HOLA_THREADS"]
    assert service.errors == []


def test_ports_that_are_taken_are_told_in_one_line(tmp_path: Path) -> None:
    """What happens first on a laptop: which settings, which ports, what to do; exit 78, and nothing left behind."""
    names = ("PORT", "HOLA_METRICS_PORT")
    with socket.socket() as one, socket.socket() as other:
        for taken in (one, other):
            taken.bind(("0.0.0.0", 0))
            taken.listen()
        ports = {name: str(taken.getsockname()[1]) for name, taken in zip(names, (one, other), strict=True)}
        with Service(tmp_path, **ports) as service:
            assert service.process.wait(20) == 78
            eventually(lambda: service.raw, "its line", 2)
            [line] = service.lines
    assert line["event"] == "settings_invalid"
    for name, port in ports.items():
        assert f"{name}: port {port} on 0.0.0.0: address already in use; " in line["message"]
    assert [fault["path"] for fault in line["faults"]] == list(names)
    assert not list(Path("/dev/shm").glob(f"hola-{service.process.pid}*"))


def test_without_a_document_it_is_not_ready_and_gives_up_in_time(tmp_path: Path) -> None:
    """Row 19 of live configuration: a bounded wait, then one clear line and an exit that is not 0."""
    with Service(tmp_path, document=None, HOLA_CONFIG_BOOT_TIMEOUT_SECONDS="2") as service:
        assert service.process.wait(15) == 69
        failed = service.events("config_boot_failed")
    assert failed[0]["path"].endswith("config.json")


def test_a_document_that_comes_late_makes_it_ready(tmp_path: Path) -> None:
    """confd's first write may come after the start."""
    with Service(tmp_path, document=None) as service:
        eventually(lambda: len(service.events("worker_ready")) == 4, "four workers", 20)
        assert not service.events("server_ready")
        service.put(SAMPLE)
        service.ready(5)
        assert service.get("/readyz").status == 200


def test_server_ready_shows_the_effective_settings(tmp_path: Path) -> None:
    """Row E9: what GUNICORN_CMD_ARGS overrides is visible."""
    with Service(tmp_path, GUNICORN_CMD_ARGS="--workers 2", HOLA_THREAD="3") as service:
        ready = service.ready().wait_for("server_ready")
        unknown = service.wait_for("settings_unknown")
    assert ready["gunicorn"]["workers"] == 2
    assert ready["settings"]["threads"] == 8
    assert unknown["names"] == ["HOLA_THREAD (did you mean HOLA_THREADS?)"]


def test_nothing_is_written_but_json(tmp_path: Path) -> None:
    """Rows C7, B15, B16: with an unusable home, no control socket, no text on either stream."""
    with Service(tmp_path, HOME="/nonexistent") as service:
        service.ready()
        service.get("/nowhere")
        assert service.stop() == 0
    assert all(isinstance(json.loads(line), dict) for line in service.raw)
    assert service.errors == []


def test_every_line_says_who_wrote_it(service: Service) -> None:
    """contract: the fields of every line."""
    expected = {"timestamp", "level", "event", "logger", "service", "version", "pod", "pid", "slot"}
    assert all(expected <= line.keys() for line in service.lines)


def test_propagators_that_others_need_are_not_asked_for(tmp_path: Path) -> None:
    """An OpenTelemetry operator sets OTEL_PROPAGATORS for every pod; those that are not installed cost nothing."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with Service(tmp_path, OTEL_PROPAGATORS="tracecontext,baggage,b3,xray") as service:
        answer = service.ready().get("/", traceparent=traceparent)
    assert answer.headers["X-Trace-Id"] == traceparent[3:35]

"""HUP: new code in new workers, beside the old ones until they are ready, or not at all."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support import Service, eventually


def test_new_code_is_taken_on(reloadable: Service, copy: Path) -> None:
    """contract: workers from freshly read code."""
    _replace(copy / "hola/views/tools.py", 'return {"delay_seconds": wait}', 'return {"delay_seconds": -1.0}')
    reloadable.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(reloadable.events("worker_exited")) == 4, "the old workers' ends", 20)
    assert {reloadable.get("/delay/0").json()["delay_seconds"] for _ in range(16)} == {-1.0}


def test_what_a_reload_does_not_take_on_is_named(reloadable: Service, copy: Path) -> None:
    """The master's own modules and the shared libraries take USR2; code of the workers is not among them."""
    for file in ("hola/settings.py", "hola/views/tools.py"):
        (copy / file).write_text((copy / file).read_text() + "\n# another version\n")
    reloadable.process.send_signal(signal.SIGHUP)
    assert reloadable.wait_for("server_reloading", 15)["outdated"] == ["hola.settings"]
    eventually(lambda: len(reloadable.events("worker_exited")) == 4, "the old workers' ends", 20)
    reloadable.process.send_signal(signal.SIGUSR2)
    eventually(lambda: len(reloadable.events("server_ready")) == 2, "a second master", 20)
    second = reloadable.events("server_ready")[-1]["pid"]
    reloadable.process.send_signal(signal.SIGTERM)
    reloadable.process.wait(20)
    os.kill(second, signal.SIGHUP)
    eventually(lambda: len(reloadable.events("server_reloading")) == 2, "another reload", 15)
    assert reloadable.events("server_reloading")[-1]["outdated"] == []
    os.kill(second, signal.SIGTERM)
    eventually(lambda: len(reloadable.events("server_stopped")) == 2, "both masters gone", 30)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("hola/views/tools.py", "this is no Python", r"SyntaxError: .*/hola/views/tools\.py, line \d+\)"),
        (
            "hola/app.py",
            "raise RuntimeError('no database')\n",
            r"RuntimeError: no database \(.*/app\.py, line \d+\)",
        ),
        ("gunicorn.conf.py", "workers = 'many'\n", "Invalid value for workers: many"),
        ("gunicorn.conf.py", "(", r"SyntaxError: .*/gunicorn\.conf\.py, line \d+\)"),
    ],
)
def test_what_does_not_load_changes_nothing(reloadable: Service, copy: Path, file: str, text: str, why: str) -> None:
    """Row B8: broken code or settings at HUP are told, and the old workers serve on."""
    old = {worker["pid"] for worker in reloadable.workers()}
    with (copy / file).open("a") as code:
        code.write("\n" + text)
    reloadable.process.send_signal(signal.SIGHUP)
    rejected = reloadable.wait_for("server_reload_rejected", 15)
    assert re.match(why, rejected["reason"]), rejected["reason"]
    assert {worker["pid"] for worker in reloadable.workers()} == old
    assert reloadable.get("/").status == 200
    assert not reloadable.events("worker_exited")


def test_a_replacement_that_cannot_boot_does_not_end_the_service(reloadable: Service, copy: Path) -> None:
    """Row B8: the code breaks under a running service, and then a worker dies."""
    app = copy / "hola/app.py"
    whole = app.read_text()
    app.write_text("raise RuntimeError('half an upload')\n")
    os.kill(reloadable.workers()[0]["pid"], signal.SIGKILL)
    reloadable.wait_for("worker_exited", 10, reason="boot_failed")
    assert reloadable.get("/").status == 200
    app.write_text(whole)
    eventually(lambda: sum(w["state"] == "ready" for w in reloadable.workers()) == 4, "four workers again", 15)


def test_a_slow_import_is_not_felt(reloadable: Service, copy: Path) -> None:
    """Row B9: the old workers serve until the new ones are ready."""
    app = copy / "hola/app.py"
    app.write_text(app.read_text().replace("import os\n", "import os\nimport time\n\ntime.sleep(2)\n", 1))
    taken: list[float] = []
    done = threading.Event()
    clients = [threading.Thread(target=_ask_until, args=(reloadable, done, taken)) for _ in range(4)]
    for client in clients:
        client.start()
    reloadable.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(reloadable.events("worker_exited")) == 4, "the old workers' ends", 30)
    done.set()
    for client in clients:
        client.join(5)
    taken.sort()
    print(f"{len(taken)} requests, p99 {taken[len(taken) * 99 // 100] * 1e3:.0f} ms, slowest {taken[-1] * 1e3:.0f} ms")
    assert taken[len(taken) * 99 // 100] < 0.2


def test_signals_are_answered_while_a_reload_goes_on(reloadable: Service, copy: Path) -> None:
    """Row B10: TERM during a reload is not put off, though a request is in flight."""
    app = copy / "hola/app.py"
    app.write_text(app.read_text().replace("import os\n", "import os\nimport time\n\ntime.sleep(4)\n", 1))
    reloadable.process.send_signal(signal.SIGHUP)
    started = time.monotonic()
    assert reloadable.stop(10) == 0
    assert time.monotonic() - started < 3


def test_signals_meant_for_the_master_do_not_kill_a_worker(own_service: Service) -> None:
    """Row B13: HUP or USR2 sent to a worker by mistake."""
    pids = {worker["pid"] for worker in own_service.workers()}
    for pid in pids:
        for number in (signal.SIGHUP, signal.SIGUSR2):
            os.kill(pid, number)
    assert {answer.status for answer in own_service.get_many(40, 8)} == {200}
    assert {worker["pid"] for worker in own_service.workers()} == pids


def test_workers_are_recycled_without_a_lost_request(tmp_path: Path) -> None:
    """Row B11: max_requests."""
    with Service(tmp_path, GUNICORN_CMD_ARGS="--max-requests 100 --max-requests-jitter 20") as service:
        service.ready()
        assert {answer.status for answer in service.get_many(2000, 8)} == {200}
        recycled = service.wait_for("worker_exited", 10)
        assert recycled["reason"] == "recycled"
        assert service.total('http_requests_total{method="GET",route="/",') == 2000


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def _ask_until(service: Service, done: threading.Event, taken: list[float]) -> None:
    while not done.is_set():
        started = time.monotonic()
        assert service.get("/").status == 200
        taken.append(time.monotonic() - started)

"""What gunicorn's hooks do, in the order of a service's life: slots, readiness, exits.

State that must outlive a reload lives in this module and on the master, never in gunicorn.conf.py,
which gunicorn executes anew at every HUP.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hola import __version__, settings, turn
from hola.errors import Fault, SettingsError
from hola.scoreboard import BOOTING, FREE, MASTER, READY, SLOTS, STOPPING, Place, Scoreboard
from hola.server import ports, shared
from hola.server.master import Master
from hola.server.metrics_dir import MetricsDir
from hola.settings import Settings
from hola.telemetry import logs
from hola.telemetry.lines import LineWriter
from hola.telemetry.logs import LOGS

FLUSH_SECONDS = 3.0  # what `worker_exit` may take
_NO_PRELOAD = "preload_app starts threads before the fork, where no worker has them: leave it off"

EX_CONFIG = 78  # sysexits.h; Kubernetes jobs do not retry it

_log = logs.get_logger("hola.server")


@dataclass
class _Service:
    """This process's service, from `begin` on."""

    settings: Settings
    metrics_dir: MetricsDir
    first_slot: int
    unknown_settings: list[str]
    board: Scoreboard
    slot: int | None = None


_service: _Service | None = None


def begin(environ: Mapping[str, str]) -> Settings:
    """Read the settings, or end the process (exit 78) with one line that names every fault.

    Called by gunicorn.conf.py, so again at each reload: what is there already is kept.
    """
    global _service  # noqa: PLW0603 - one service a process, and gunicorn's hooks take no state
    if _service is not None:
        return _service.settings
    try:
        values = settings.load(environ)
        _configure_logs(values)
        directory = MetricsDir(values.metrics_dir, is_successor="GUNICORN_PID" in environ)
    except SettingsError as error:
        refuse(error, environ)
    first_slot = int(environ.get("_HOLA_FIRST_SLOT", "0"))
    board = Scoreboard(int(first_slot > 0), environ.get("_HOLA_RECORDS", ""))
    _service = _Service(values, directory, first_slot, settings.unknown(environ), board)
    LOGS.rebind(None, _service.board.rows[MASTER])
    return values


def refuse(error: SettingsError, environ: Mapping[str, str]) -> NoReturn:
    """End the process with one line for all of `error`'s faults (exit 78)."""
    base = {"service": "hola", "version": __version__, "pod": environ.get("POD_NAME") or os.uname().nodename}
    LOGS.configure(base, "json", LineWriter())
    faults = [fault.as_dict() for fault in error.faults]
    _log.critical("settings_invalid", message=str(error), faults=faults)
    sys.exit(EX_CONFIG)


def rehearse(values: Settings) -> None:
    """Let gunicorn.conf.py be loaded without a service: no directory, no logs. For `check` alone."""
    global _service  # noqa: PLW0603 - as in `begin`
    _service = _Service(values, MetricsDir.imagined(), 0, [], Scoreboard())


def metrics_path() -> Path:
    """Where the workers' metric files are."""
    return _current().metrics_dir.path


def place() -> tuple[Settings, Place]:
    """The settings and the place of this worker; without gunicorn's hooks, of a service of one."""
    if _service is not None and _service.slot is None:
        refuse(SettingsError([Fault("GUNICORN_CMD_ARGS", "preload", _NO_PRELOAD)]), os.environ)
    if _service is None:
        begin(os.environ)
        _take_slot(_current(), _current().first_slot)
    service = _current()
    assert service.slot is not None  # noqa: S101 - set just now or by post_fork
    return service.settings, Place(service.board, service.slot, service.metrics_dir.path)


# hooks of the master


def on_starting(server: Any) -> None:
    """Before the first fork: the arbiter becomes hola's master, with the scoreboard."""
    service = _current()
    addresses = [] if server.cfg.reuse_port else server.cfg.address
    if faults := ports.unusable(addresses, service.settings, os.environ):
        service.metrics_dir.remove()
        refuse(SettingsError(faults), os.environ)
    shared.prepare()
    server.__class__ = Master
    server.begin(service.settings, service.board, service.metrics_dir)
    service.board.pod.workers_expected = server.num_workers
    _log.info("server_starting", port=service.settings.port, workers=server.num_workers, pid_file=server.cfg.pidfile)
    if service.unknown_settings:
        _log.warning("settings_unknown", names=service.unknown_settings)


def nworkers_changed(new: int) -> None:
    """TTIN and TTOU; also called once before anything exists."""
    if _service is not None:
        _service.board.pod.workers_expected = new


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the lowest slot that no living worker has. The living are who the master says."""
    service = _current()
    taken = {other.slot for other in server.WORKERS.values()}
    candidates = (n % SLOTS for n in range(service.first_slot, service.first_slot + SLOTS))
    worker.retired = None
    worker.join(service.settings, service.board)
    free = [slot for slot in candidates if slot not in taken]
    if not free:
        raise OSError(f"all {SLOTS} slots are taken by workers that are still there")
    worker.slot = free[0]
    worker.row = service.board.rows[worker.slot]
    _clear(worker.row)
    worker.row.state = BOOTING
    server.newborn = worker
    shared.freeze()


def child_exit(worker: Any) -> None:
    """A worker is gone, by whatever way: its slot is free."""
    _clear(worker.row)


def on_reload() -> None:
    """HUP. What the master keeps for its workers is named if its file is another one now: that takes USR2."""
    _log.info("server_reloading", outdated=shared.outdated())


def pre_exec(server: Any) -> None:
    """USR2, in what becomes the next master: it counts on in the same files and records, with slots of its own."""
    service = _current()
    server.cfg.env_orig["PROMETHEUS_MULTIPROC_DIR"] = str(service.metrics_dir.path)
    server.cfg.env_orig["_HOLA_FIRST_SLOT"] = str(0 if service.first_slot else SLOTS // 2)
    server.cfg.env_orig["_HOLA_RECORDS"] = service.board.bequeath()


def on_exit(server: Any) -> None:
    """The account of the stop."""
    service, now = _current(), time.monotonic()
    spans = {
        name: sum(getattr(row, name) for row in service.board.rows) for name in ("spans_exported", "spans_dropped")
    }
    _log.info(
        "server_stopped",
        in_flight_at_start=server.in_flight_at_start,
        drained=max(server.in_flight_at_start - server.aborted, 0),
        aborted=server.aborted,
        **spans,
        drain_seconds=round((server.stop_at or now) - (server.term_at or now), 3),
        stop_seconds=round(now - (server.stop_at or now), 3),
        flush_seconds=round(max((row.flush_seconds for row in service.board.rows), default=0.0), 3),
    )
    if not (server.reexec_pid or server.master_pid):  # else another master's workers still write there
        service.metrics_dir.remove()


# hooks of a worker


def post_fork(worker: Any) -> None:
    """First thing in the new process: its name on its lines, its row on the scoreboard."""
    service = _current()
    _take_slot(service, worker.slot)
    worker.row.threads = worker.cfg.threads
    _log.info("worker_started", worker_age=worker.age)


def post_worker_init(worker: Any) -> None:
    worker.row.state = READY
    turn.give_back(worker.board, worker.slot)
    _log.info("worker_ready", boot_seconds=round(time.time() - worker.row.started_at, 3))


def pre_request(request: Any) -> None:
    """While draining, every answer tells its client to connect anew, elsewhere."""
    if _current().board.pod.draining:
        request.force_close()


def worker_exit(worker: Any) -> None:
    """Last thing in a worker: end what `create_app` built, within a bound, and then the process.

    Without the interpreter's own way out, which waits for every handler that still hangs in a
    thread. Nothing is left to it: lines are written at once, metric files are shared memory.
    """
    if worker.pid != os.getpid():
        return  # gunicorn also calls this in the master, for a worker that was gone already
    if worker.row.state != BOOTING:  # what never was ready says so to the end
        worker.row.state = STOPPING
    if close := getattr(getattr(worker, "wsgi", None), "close", None):
        worker.row.flush_seconds = close(FLUSH_SECONDS - 0.5)
    LOGS.writer.tell_losses()
    leaving = sys.exc_info()[1]
    os._exit(leaving.code if isinstance(leaving, SystemExit) and isinstance(leaving.code, int) else 1)


def _take_slot(service: _Service, slot: int) -> None:
    service.slot = slot
    row = service.board.rows[slot]
    row.pid, row.state, row.started_at = os.getpid(), BOOTING, time.time()
    LOGS.rebind(slot, row)
    from hola.telemetry.metric_values import count_in  # noqa: PLC0415 - a worker's code, that a reload takes on

    count_in(service.metrics_dir.path, slot, row)  # before the application's modules are loaded, which may make metrics


def _clear(row: Any) -> None:
    """Empty a row's gauges; its counters stay, for the slot's next worker to count on."""
    row.state = FREE
    row.saturated_since = 0.0
    row.pid = row.generation = row.revision = row.threads = row.threads_busy = row.in_progress = row.leaving = 0
    row.connections = row.open_fds = row.resident_bytes = row.metrics_homeless = 0


def _configure_logs(values: Settings) -> None:
    base = {"service": values.otel_service_name, "version": __version__, "pod": values.pod_name}
    LOGS.configure(base, values.log_format, LineWriter())


def _current() -> _Service:
    if _service is None:
        raise RuntimeError("gunicorn.conf.py has not called lifecycle.begin yet")
    return _service

"""One admin command as a process: its two events, its span, its end on a signal, its exit code.

Each command prints its result as one line of JSON between `command_started` and `command_finished`, so that every
line of stdout parses and a job's log tells how it ended. Which commands there are is for `commands` to know.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click
from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode, set_span_in_context
from structlog.contextvars import bind_contextvars

from hola import __version__
from hola import settings as environment
from hola.errors import SettingsError
from hola.settings import Settings
from hola.telemetry import logs, otlp, traces
from hola.telemetry.lines import LineWriter
from hola.telemetry.logs import LOGS

EX_OK, EX_FAILED, EX_RESTART, EX_INVALID, EX_USAGE, EX_CONFIG = 0, 1, 3, 4, 64, 78
FLUSH_SECONDS = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logs.get_logger("hola.commands")


def run(cli: click.Group, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the one command of `cli` that `arguments` name, and return its exit code."""
    base = {"service": "hola", "version": __version__, "pod": environ.get("POD_NAME") or os.uname().nodename}
    _share_stdout()
    LOGS.configure(base, "json", LineWriter())
    try:
        settings = environment.load(environ)
    except SettingsError as error:
        return _tell_settings(error)
    return _run(cli, list(arguments), settings, environ)


def show(result: Any) -> None:
    """Print a result as one line of JSON, past the limit of a log line."""
    sys.stdout.write(json.dumps(result, default=str) + "\n")
    sys.stdout.flush()


def _run(cli: click.Group, arguments: list[str], settings: Settings, environ: Mapping[str, str]) -> int:
    ratio = settings.default_sample_ratio if settings.traces_endpoint else 0.0
    tracing = traces.make(settings, lambda: ratio, None)
    parent = environ.get("TRACEPARENT")
    span = tracing.start_server_span({"traceparent": parent} if parent else {}, time.time_ns(), otlp.INTERNAL)
    name = " ".join(part for part in arguments[:2] if not part.startswith("-")) or "help"
    span.update_name(f"command {name}")
    otel_context.attach(set_span_in_context(span))
    bind_contextvars(trace_id=span.trace_id, span_id=span.span_id)
    started = time.monotonic()
    code = _until_signalled(cli, arguments, settings, name)
    span.set_attribute("process.exit.code", code)
    if code != EX_OK:
        span.set_status(StatusCode.ERROR)
    span.end()
    tracing.close(FLUSH_SECONDS)
    log = _log.info if code == EX_OK else _log.error
    log("command_finished", command=name, exit_code=code, duration_seconds=round(time.monotonic() - started, 3))
    return code


def _until_signalled(cli: click.Group, arguments: list[str], settings: Settings, name: str) -> int:
    """The command's exit code, 128 and the signal's number after a signal; from then on signals wait for the end."""
    try:
        for number in _SIGNALS:  # before the first event, so that what was told as started is told as finished
            signal.signal(number, _stop)
        _log.info("command_started", command=name)
        code = _invoke(cli, arguments, settings)
        _ignore_signals()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EX_FAILED
    return code


def _invoke(cli: click.Group, arguments: list[str], settings: Settings) -> int:
    try:
        code = cli.main(arguments, prog_name="entrypoint.sh", standalone_mode=False, obj=settings)
    except click.UsageError as error:
        _log.error("command_misused", message=_misuse(error), hint="./entrypoint.sh help lists the commands")
        return EX_USAGE
    except SettingsError as error:  # of a setting that this command alone needs
        return _tell_settings(error)
    except Exception:  # noqa: BLE001 - a command's failure is told like a request's: one line, then its exit code
        _log.exception("command_failed")
        return EX_FAILED
    return code if isinstance(code, int) else EX_OK


def _misuse(error: click.UsageError) -> str:
    """What was wrong, in one line: of a group without a command click would tell its whole help."""
    if (
        isinstance(error, click.exceptions.NoArgsIsHelpError)
        and error.ctx
        and isinstance(error.ctx.command, click.Group)
    ):
        return f"{error.ctx.info_name} needs one of its commands: {', '.join(error.ctx.command.commands)}"
    return error.format_message()


def _share_stdout() -> None:
    """Append, if stdout is a file: results and events come by two descriptions, each of which has its own offset."""
    with suppress(OSError):  # a closed stdout
        if stat.S_ISREG(os.fstat(1).st_mode):
            fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_APPEND)


def _tell_settings(error: SettingsError) -> int:
    _log.critical("settings_invalid", message=str(error), faults=[fault.as_dict() for fault in error.faults])
    return EX_CONFIG


def _stop(number: int, frame: Any) -> NoReturn:
    _ignore_signals()
    raise SystemExit(128 + number)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)

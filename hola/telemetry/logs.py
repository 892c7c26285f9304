"""The one formatter of every line: application, gunicorn, libraries, warnings and uncaught exceptions.

Owns the shape of a line and the current log level; `lines` owns its way to the descriptor.
A line is one JSON object of at most 4096 bytes, so that one write(2) to a pipe is atomic
(https://man7.org/linux/man-pages/man7/pipe.7.html) and lines of several processes never mix.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from types import MappingProxyType, TracebackType
from typing import Any, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from hola.scoreboard import LEVELS, Row
from hola.telemetry import redaction
from hola.telemetry.lines import MOST_BYTES, LineWriter

NUMBERS = dict(zip(LEVELS, (10, 20, 30, 40, 50), strict=True))
_STACK_FRAMES = 30
_ORJSON = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


class Logs:
    """The process's logging: level, fields that stand on every line, and the writer.

    One instance a process, `LOGS`; a forked child calls `rebind` before it logs. Thread-safe.
    """

    def __init__(self) -> None:
        self.threshold = NUMBERS["info"]
        self.base: dict[str, Any] = {}
        self.writer = LineWriter(-1)  # nowhere, until `configure` says where
        self.render: Callable[[EventDict], tuple[bytes, bool]] = render_json

    def configure(self, base: dict[str, Any], form: str, writer: LineWriter) -> None:
        """Send everything that this process says through here. Idempotent."""
        self.writer = writer
        self.render = render_json if form == "json" else _console()
        self.base = {"service": base["service"], "version": base["version"], "pod": base["pod"]}
        self.rebind(None, None)
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, self.deliver],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            logger_factory=_Named,
            cache_logger_on_first_use=True,
        )
        logging.basicConfig(level=logging.NOTSET, handlers=[_Records(self)], force=True)
        logging.captureWarnings(True)
        _catch_uncaught()

    def rebind(self, slot: int | None, row: Row | None) -> None:
        """Name this process on its lines and count them in `row`. Call after a fork."""
        self.base = self.base | {"pid": os.getpid(), "slot": slot}
        self.writer.rebind(row, self.base)

    def set_level(self, name: str) -> None:
        """Let lines from this level on pass: debug, info, warning, error or critical."""
        self.threshold = NUMBERS[name]

    def deliver(self, logger: Any, method: str, event: EventDict) -> EventDict:
        """structlog's last processor: format the event and write its line."""
        level = "error" if method == "exception" else "warning" if method == "warn" else method
        if NUMBERS[level] < self.threshold:
            raise structlog.DropEvent
        if error := event.pop("exc_info", None):
            event.update(describe_error(error))
        self.write(level, {"logger": logger.name, **request_fields.get(), **event})
        raise structlog.DropEvent  # nothing is left for structlog's own output

    def write(self, level: str, event: EventDict) -> None:
        """Format one event and write it; never raises for what is in it."""
        line: EventDict = {"timestamp": _now(), "level": level, "event": event.pop("event", ""), **self.base}
        for key, value in event.items():
            line.setdefault(key, redaction.tree(value, key))  # what stands on every line cannot be spoken over
        line.setdefault("logger", "hola")
        data, truncated = self.render(line)
        self.writer.write(data, LEVELS.index(level), truncated)

    def write_fit(self, level: str, event: str, fields: EventDict, bound: EventDict) -> None:
        """The same for fields that are known to be fit and to show nothing: the one line a request.

        `bound` gives way where both have a key.
        """
        if NUMBERS[level] >= self.threshold:
            line = {"timestamp": _now(), "level": level, "event": event, **self.base, **bound, **fields}
            data, truncated = self.render(line)
            self.writer.write(data, LEVELS.index(level), truncated)


request_fields: ContextVar[Mapping[str, Any]] = ContextVar("request_fields", default=MappingProxyType({}))
"""What stands on every line that is logged while a request is served: its ids and the revision bound to it."""


def get_logger(name: str) -> FilteringBoundLogger:
    """A structlog logger; `name` stands on its lines as `logger`."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def render_json(line: EventDict) -> tuple[bytes, bool]:
    """One line of JSON, and whether it was shortened to fit (then it says `truncated`)."""
    data = _encode(line)
    if len(data) <= MOST_BYTES:
        return data, False
    for most in (1024, 256, 64):
        line = {key: _shortened(value, most) for key, value in line.items()} | {"truncated": True}
        data = _encode(line)
        if len(data) <= MOST_BYTES:
            return data, True
    kept = (
        "timestamp",
        "level",
        "event",
        "logger",
        "service",
        "version",
        "pod",
        "pid",
        "slot",
        "trace_id",
        "truncated",
    )
    return _encode({key: line.get(key) for key in kept}), True


def describe_error(error: Any) -> dict[str, Any]:
    """`error` and `stack` (innermost frame last, no local variables) of an exception or exc_info."""
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return {}
    try:
        said = str(error)
    except Exception as unsaid:  # noqa: BLE001 - an exception's own words may fail like all else
        said = f"<{type(unsaid).__name__} while it was told>"
    text = redaction.text(f"{type(error).__name__}: {said}")
    return {"error": text[:500], "stack": _frames(error.__traceback__)}


def _frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-_STACK_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _encode(line: EventDict) -> bytes:
    try:
        return orjson.dumps(line, default=repr, option=_ORJSON)
    except TypeError:  # half of a surrogate pair, which is no Unicode: told as an escape
        return orjson.dumps(_escaped(line), default=repr, option=_ORJSON)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {_escaped(str(key)): _escaped(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(each) for each in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else redaction.tree(value)


def _shortened(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else value[:most] + "…"
    if isinstance(value, list):
        short = [_shortened(item, most) for item in value[-(most // 16) :]]
        return short if len(str(short)) <= 4 * most else [_shortened(str(short), most)]
    if isinstance(value, dict):
        return value if len(str(value)) <= most else _shortened(str(value), most)
    return value


def _now() -> str:
    """RFC 3339 in microseconds; the part down to the second is made once a second."""
    second, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{_until_second(second)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=2)
def _until_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _console() -> Callable[[EventDict], tuple[bytes, bool]]:
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), sort_keys=False)
    return lambda line: ((str(renderer(None, line["level"], line)) + "\n").encode("utf-8", "replace"), False)


class _Named:
    """What structlog wraps: nothing but the logger's name, since `deliver` does the writing."""

    def __init__(self, name: str = "hola") -> None:
        self.name = name


class _Records(logging.Handler):
    """Brings what libraries say through the standard logging module to the same lines."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def handle(self, record: logging.LogRecord) -> bool:
        """Without logging's lock: the writer has its own, which a fork cannot leave held."""
        if is_wanted := bool(self.filter(record)):
            self.emit(record)
        return is_wanted

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < max(self._logs.threshold, logging.INFO):
            return  # libraries' debug lines are a flood, and not made for production
        event: dict[str, Any] = {"event": "message_logged", "logger": record.name, "message": _message(record)}
        if record.exc_info:
            event |= describe_error(record.exc_info)
        level = max((n for n in NUMBERS if NUMBERS[n] <= record.levelno), key=NUMBERS.__getitem__)
        self._logs.write(level, {**structlog.contextvars.get_contextvars(), **request_fields.get(), **event})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a library's wrong format arguments must not lose its line
        return str(record.msg)


def _catch_uncaught() -> None:
    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        LOGS.write("critical", {"event": "exception_uncaught", **describe_error((kind, error, trace))})

    def from_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "unknown"
        error = describe_error((args.exc_type, args.exc_value, args.exc_traceback))
        LOGS.write("error", {"event": "exception_uncaught", "thread": name, **error})

    def unraisable(args: Any) -> None:
        error = describe_error((args.exc_type, args.exc_value, args.exc_traceback))
        LOGS.write("error", {"event": "exception_uncaught", **error})

    sys.excepthook = uncaught
    threading.excepthook = from_thread
    sys.unraisablehook = unraisable
    sys.stderr = _Stderr()


class _Stderr(io.TextIOBase):
    """Turns what is printed to stderr into lines like all others: nothing else may reach the streams."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        for part in text.splitlines():
            if part.strip():
                LOGS.write("warning", {"event": "stderr_written", "logger": "stderr", "message": part})
        return len(text)

    def writable(self) -> bool:
        return True


LOGS = Logs()

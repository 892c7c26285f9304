"""A checkout of its own, whose code a test may change; and one with routes that only a test wants."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import ROOT

_LAST_ROUTE = '    routes.add_url_rule("/stream/<int:lines>", view_func=stream)\n'
_MORE = """
    from opentelemetry import trace
    from structlog.contextvars import bind_contextvars

    from hola.telemetry.logs import get_logger
    from hola.telemetry.traces import inject

    log = get_logger("test")

    def fail(size: int) -> None:
        password = "S3NT1NEL-in-a-local-variable"
        raise RuntimeError("x" * size + " token=S3NT1NEL-in-an-exception")

    def fail_late() -> Response:
        def chunks() -> Iterator[bytes]:
            yield b"a"
            raise RuntimeError("late")

        return Response(chunks())

    def fail_outside() -> None:
        raise BrokenPipeError("not the client's")

    def bind(user: str) -> dict[str, str]:
        bind_contextvars(user=user)
        log.info("user_bound")
        return {}

    def say(lines: int, size: int = 200) -> dict[str, int]:
        for number in range(lines):
            log.info("line_written", number=number, text="y" * size)
        return {"lines": lines}

    def inner() -> dict[str, str]:
        with trace.get_tracer("shop").start_as_current_span("query") as span:
            span.set_attribute("api_key", "S3NT1NEL-in-an-attribute")
            return inject({})

    def rule(path: str, view: object) -> None:
        routes.add_url_rule(path, view_func=view)

    rule("/test/fail/<int:size>", fail)
    rule("/test/fail-late", fail_late)
    rule("/test/fail-outside", fail_outside)
    rule("/test/bind/<user>", bind)
    rule("/test/say/<int:lines>", say)
    rule("/test/say/<int:lines>/<int:size>", say)
    rule("/test/inner", inner)
"""


def checkout(where: Path) -> Path:
    """Copy what runs to `where`, with the same virtual environment."""
    where.mkdir()
    for name in ("hola", "gunicorn.conf.py", "entrypoint.sh"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, where / name)
    (where / ".venv").symlink_to(ROOT / ".venv")
    return where


def with_more_routes(where: Path) -> Path:
    """A checkout whose service can be made to fail, to log and to trace in all ways that tests need."""
    tools = checkout(where) / "hola/views/tools.py"
    before = tools.read_text()
    assert before.count(_LAST_ROUTE) == 1
    tools.write_text(before.replace(_LAST_ROUTE, _LAST_ROUTE + _MORE))
    return where

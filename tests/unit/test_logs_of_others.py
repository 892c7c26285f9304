"""What libraries, warnings, `print` and uncaught exceptions say comes out as the same lines."""

from __future__ import annotations

import logging
import sys
import threading
import warnings

import pytest

from hola.telemetry.logs import LOGS, _Records
from tests.unit.conftest import BASE, Lines


def crash() -> None:
    raise ValueError("cannot do it")


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's hooks are logging's for this file, and given back at the end of each test."""
    for owner, name in ((sys, "stderr"), (sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    LOGS.configure(BASE, "json", LOGS.writer)


def test_libraries_speak_through_the_same_lines_but_not_at_debug(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    LOGS.set_level("debug")
    root = logging.getLogger()
    monkeypatch.setattr(
        root, "handlers", [each for each in root.handlers if isinstance(each, _Records)]
    )  # not pytest's
    library = logging.getLogger("library.part")
    library.debug("flood")
    library.log(35, "between %s", "levels")
    library.error("wrong %d arguments", "a", "b")
    between, wrong = lines.parsed
    assert (between["level"], between["logger"], between["message"]) == ("warning", "library.part", "between levels")
    assert (between["event"], wrong["message"]) == ("message_logged", "wrong %d arguments")


def test_warnings_printing_to_stderr_and_uncaught_exceptions_are_lines_as_well(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((sys, "stderr"), (sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # given back at the end
    LOGS.configure(BASE, "json", LOGS.writer)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old way", stacklevel=1)
    print("first\nsecond\n", file=sys.stderr)
    thread = threading.Thread(target=crash, name="T1")
    thread.start()
    thread.join()
    sys.excepthook(KeyError, KeyError("k"), None)
    warned, first, second, from_thread, uncaught = lines.parsed
    assert (warned["logger"], "old way" in warned["message"]) == ("py.warnings", True)
    assert [(line["event"], line["message"]) for line in (first, second)] == [
        ("stderr_written", "first"),
        ("stderr_written", "second"),
    ]
    assert (from_thread["event"], from_thread["thread"], from_thread["level"]) == ("exception_uncaught", "T1", "error")
    assert (uncaught["event"], uncaught["level"], uncaught["error"]) == (
        "exception_uncaught",
        "critical",
        "KeyError: 'k'",
    )

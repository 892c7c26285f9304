"""The one formatter: whatever is said, by whomever, is one line of JSON of at most 4096 bytes, without secrets."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars

from hola.scoreboard import LEVELS, Scoreboard
from hola.telemetry.lines import MOST_BYTES
from hola.telemetry.logs import LOGS, _escaped, get_logger, render_json
from tests.unit.conftest import BASE, Lines

log = get_logger("hola.test")
HEAD = {"timestamp": "t", "level": "info", "event": "e", "logger": "l", "pid": 1, "slot": 0, **BASE}

_text = st.text(max_size=30) | st.sampled_from(["\ud800", "\ud800" * 3000, "\x00" * 5000, "\U0001f600" * 3000])
_keys = st.text(min_size=1, max_size=9).filter(lambda key: key != "truncated")
_json = _text | st.integers(-(10**1000), 10**1000) | st.floats(allow_nan=False, allow_infinity=False) | st.none()
_odd = (
    st.floats() | st.binary(max_size=9) | st.datetimes() | st.sampled_from([{1, 2}, object, ("a",), {3: 4}, 10**4200])
)
_nested = st.recursive(_json, lambda inner: st.lists(inner) | st.dictionaries(_text, inner, max_size=5), max_leaves=12)


def crash(local: str = "S3NT1NEL-local") -> None:
    raise ValueError(f"cannot do it, {len(local)} times")


@given(st.dictionaries(_keys, _nested | _odd, max_size=5))
def test_any_content_is_one_line_of_json_that_fits_a_pipe_write(fields: dict[str, Any]) -> None:
    data, is_truncated = render_json({**fields, **HEAD})
    assert len(data) <= MOST_BYTES
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    found = json.loads(data)
    assert found.items() >= HEAD.items()
    assert found.get("truncated", False) is is_truncated


@given(_nested)
def test_what_fits_is_read_back_as_it_was(value: Any) -> None:
    data, is_truncated = render_json({**HEAD, "value": value})
    assert is_truncated or json.loads(data)["value"] == _escaped(value)


def test_a_line_has_the_contracts_fields(lines: Lines, board: Scoreboard) -> None:
    LOGS.rebind(2, board.rows[2])
    log.info("thing_done", number=7)
    (line,) = lines.parsed
    assert line.items() >= {**BASE, "level": "info", "event": "thing_done", "logger": "hola.test", "slot": 2}.items()
    assert line["number"] == 7
    assert isinstance(line["pid"], int)
    told = datetime.fromisoformat(line["timestamp"])
    assert line["timestamp"].endswith("Z")
    assert len(line["timestamp"]) == len("2026-11-23T06:00:00.000000Z")
    assert abs(datetime.now(UTC) - told) < timedelta(seconds=10)


def test_lines_are_counted_by_level_and_shortened_ones_too(board: Scoreboard) -> None:
    LOGS.rebind(0, board.rows[0])
    log.warning("one")
    log.info("two", text="x" * 10_000)
    assert board.rows[0].counts("lines", LEVELS) == {**dict.fromkeys(LEVELS, 0), "info": 1, "warning": 1}
    assert board.rows[0].lines_truncated == 1


@pytest.mark.parametrize("number", range(5))
def test_only_lines_from_the_level_on_pass(lines: Lines, number: int) -> None:
    LOGS.set_level(LEVELS[number])
    for level in LEVELS:
        getattr(log, level)("thing_done")
    assert [line["level"] for line in lines.parsed] == list(LEVELS[number:])


def test_long_values_are_shortened_before_any_field_is_lost(lines: Lines) -> None:
    log.info("thing_done", text="x" * 100_000, items=list(range(10_000)), nested={"a": "y" * 9000}, number=7)
    (line,) = lines.parsed
    assert (line["truncated"], line["number"]) == (True, 7)
    assert line["text"].startswith("xxx")
    assert line["items"][-1] == 9999
    assert {"text", "items", "nested"} <= line.keys()


def test_a_line_of_too_many_fields_keeps_who_said_it(lines: Lines) -> None:
    log.info("thing_done", trace_id="abc", **{f"field_{n}": "x" * 60 for n in range(500)})
    (line,) = lines.parsed
    assert (line["event"], line["trace_id"], line["pod"], line["truncated"]) == ("thing_done", "abc", "pod-1", True)


def test_secrets_are_masked_wherever_they_stand(lines: Lines) -> None:
    secret = "S3NT1NEL-value"
    log.info(
        "thing_done", password=secret, headers={"Cookie": secret}, text=f"Bearer {secret}", rows=[{"token": secret}]
    )
    log.error("thing_failed", exc_info=ValueError(f"password={secret}"))
    logging.getLogger("library").warning("token=%s", secret)
    assert len(lines.raw) == 3
    assert secret.encode() not in b"".join(lines.raw)


def test_an_exception_is_told_with_its_frames_and_without_local_variables(lines: Lines) -> None:
    try:
        crash()
    except ValueError:
        log.exception("thing_failed")
    (line,) = lines.parsed
    assert (line["level"], line["error"]) == ("error", "ValueError: cannot do it, 14 times")
    assert line["stack"][-1].startswith(f"{__file__}:")
    assert line["stack"][-1].endswith(" crash")
    assert b"S3NT1NEL" not in lines.raw[0]


def test_a_deep_recursion_is_told_by_its_innermost_frames(lines: Lines) -> None:
    def recurse() -> None:
        recurse()

    try:
        recurse()
    except RecursionError:
        log.exception("thing_failed")
    (line,) = lines.parsed
    assert 1 <= len(line["stack"]) <= 30
    assert line["stack"][-1].endswith(" recurse")


def test_what_is_bound_to_the_request_stands_on_lines_of_hola_and_of_libraries(lines: Lines) -> None:
    with bound_contextvars(trace_id="abc"):
        log.info("thing_done")
        logging.getLogger("library").info("said")
    log.info("thing_done")
    assert [line.get("trace_id") for line in lines.parsed] == ["abc", "abc", None]


def test_the_console_format_is_for_people(lines: Lines) -> None:
    LOGS.configure(BASE, "console", LOGS.writer)
    log.info("thing_done", number=7)
    assert b"thing_done" in lines.raw[0]
    assert b"number=7" in lines.raw[0]
    assert not lines.raw[0].startswith(b"{")

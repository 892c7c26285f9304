"""What the live document turns in the running process: log level and trace sampling, each until its time is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hola.live_config.document import parse
from hola.live_config.knobs import Knobs
from hola.live_config.store import Snapshot
from hola.telemetry.logs import LOGS, NUMBERS

PAST = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
FUTURE = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def snapshot(document: str) -> Snapshot:
    return Snapshot(parse(document.encode()), "5eed5eed5eed", 1, "source")


@pytest.mark.parametrize(("until", "level"), [("null", "debug"), (f'"{FUTURE}"', "debug"), (f'"{PAST}"', "info")])
def test_the_documents_level_is_in_force_until_its_time_is_over(until: str, level: str) -> None:
    Knobs(1.0, is_exporting=True).apply(snapshot(f'{{"log_level": {{"value": "debug", "until": {until}}}}}'))
    assert LOGS.threshold == NUMBERS[level]


@pytest.mark.parametrize(("until", "ratio"), [("null", 0.1), (f'"{FUTURE}"', 0.1), (f'"{PAST}"', 0.75)])
def test_the_documents_ratio_is_in_force_until_its_time_is_over(until: str, ratio: float) -> None:
    knobs = Knobs(0.75, is_exporting=True)
    assert knobs.sample_ratio() == 0.75
    knobs.apply(snapshot(f'{{"trace_sample_ratio": {{"value": 0.1, "until": {until}}}}}'))
    assert knobs.sample_ratio() == ratio


def test_a_document_that_says_nothing_gives_the_defaults_back() -> None:
    knobs = Knobs(0.75, is_exporting=True)
    knobs.apply(snapshot('{"log_level": {"value": "error"}, "trace_sample_ratio": {"value": 0.1}}'))
    knobs.apply(snapshot("{}"))
    assert (LOGS.threshold, knobs.sample_ratio()) == (NUMBERS["info"], 0.75)


def test_without_an_exporter_nothing_is_sampled_whatever_the_document_says() -> None:
    knobs = Knobs(1.0, is_exporting=False)
    assert knobs.sample_ratio() == 0
    knobs.apply(snapshot('{"trace_sample_ratio": {"value": 1.0}}'))
    assert knobs.sample_ratio() == 0

"""A limit on lines of one kind: the first ones pass, the rest are counted, and the next one says how many."""

from __future__ import annotations

import time

import pytest

from hola.telemetry.storm import LINES, MOST_KINDS, WINDOW_SECONDS, Storm


def test_ten_pass_in_a_window_and_the_next_window_says_how_many_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    storm = Storm()
    assert [storm.admit("a") for _ in range(LINES + 5)] == [0] * LINES + [None] * 5
    assert storm.admit("b") == 0, "another kind has its own"
    now += WINDOW_SECONDS
    assert [storm.admit("a"), storm.admit("a")] == [5, 0]


def test_kinds_are_bounded() -> None:
    storm = Storm()
    for number in range(3 * MOST_KINDS):
        storm.admit(number)
    assert len(storm._windows) == MOST_KINDS

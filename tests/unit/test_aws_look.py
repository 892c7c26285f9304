"""A look is shared, kept for a while, late in time, and left behind if it never ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hola.aws import look
from hola.aws.look import Look
from hola.aws.sdk import Access
from tests.support import eventually


class Slow:
    """A system that answers when it is released, or at once."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_released = threading.Event()

    def __call__(self, access: Access) -> int:
        self.asked += 1
        number = self.asked
        access.provider = "web_identity"
        self.is_released.wait(20)
        return number


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    monkeypatch.setattr(look, "KEEP_SECONDS", 0.2)
    system = Slow()
    yield system
    system.is_released.set()


def test_all_who_ask_share_one_look_and_its_answer(slow: Slow) -> None:
    shared = Look(slow, lambda access: -1, 0.2)
    slow.is_released.set()
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: shared.answer(), range(64))) == {1}
    assert slow.asked == 1


def test_an_answer_is_kept_for_a_while_and_no_longer(slow: Slow) -> None:
    shared = Look(slow, lambda access: -1, 0.2)
    slow.is_released.set()
    assert (shared.answer(), shared.answer()) == (1, 1)
    assert eventually(lambda: shared.answer() == 2, "another look", 5)


def test_who_waits_is_told_in_time_how_far_it_came_and_who_comes_later_at_once(slow: Slow) -> None:
    shared = Look(slow, lambda access: access.provider, 0.2)
    started = time.monotonic()
    assert shared.answer() == "web_identity"
    first = time.monotonic()
    assert {shared.answer() for _ in range(100)} == {"web_identity"}
    assert 0.2 <= first - started < 2
    assert time.monotonic() - first < 0.1
    assert slow.asked == 1
    assert sum(thread.name == "aws" for thread in threading.enumerate()) <= 1


def test_an_answer_that_comes_late_is_an_answer(slow: Slow) -> None:
    shared = Look(slow, lambda access: -1, 0.2)
    assert shared.answer() == -1
    slow.is_released.set()
    assert eventually(lambda: shared.answer() == 1, "the late answer", 5)


def test_a_look_that_never_ends_is_left_behind(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "ABANDON_SECONDS", 0.3)
    shared = Look(slow, lambda access: -1, 0.2)
    assert shared.answer() == -1
    assert eventually(lambda: slow.asked == 2 or not shared.answer(), "another look", 5)


def test_an_error_is_raised_where_it_is_waited_for() -> None:
    def fail(access: Access) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Look(fail, lambda access: -1).answer()

"""Threads in a pool, and descriptors in a poller."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from hola.server.poller import Poller
from hola.server.pool import Pool
from tests.support import eventually
from tests.unit.conftest import Lines


def test_work_is_served_in_its_order_and_the_rest_can_be_taken_back() -> None:
    served: list[int] = []
    may_go_on, is_busy = threading.Event(), threading.Event()

    def serve(number: int) -> None:
        is_busy.set()
        may_go_on.wait(10)
        served.append(number)

    pool = Pool(1, "test", serve)
    for number in range(4):
        pool.put(number)
    assert is_busy.wait(10)
    assert pool.take_back() == [1, 2, 3]
    pool.put(4)
    pool.close()
    may_go_on.set()
    eventually(lambda: served == [0, 4], "what was queued before the end", 10)


def test_a_thread_outlives_what_it_serves_and_tells(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException] | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    served: list[int] = []

    def serve(number: int) -> None:
        if number == 0:
            raise ValueError("not this one")
        served.append(number)

    pool = Pool(1, "test", serve)
    for number in range(2):
        pool.put(number)
    eventually(lambda: served == [1], "the second", 10)
    assert told == [ValueError]
    pool.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_an_armed_descriptor_calls_back_once_until_it_is_armed_again(pipe: tuple[int, int]) -> None:
    poller, called = Poller(), []

    def callback() -> None:
        called.append(1)

    poller.arm(pipe[0], callback)
    os.write(pipe[1], b"x")
    for _ in range(3):
        poller.dispatch(0.01)
    assert len(called) == 1
    poller.arm(pipe[0], callback)
    poller.dispatch(1)
    assert len(called) == 2
    poller.close()


def test_a_registered_descriptor_calls_back_as_long_as_there_is_something(pipe: tuple[int, int]) -> None:
    poller = Poller()
    called: list[object] = []
    poller.register(pipe[0], 1, called.append)
    os.write(pipe[1], b"x")
    for _ in range(3):
        poller.dispatch(0.01)
    poller.unregister(pipe[0])
    poller.dispatch(0.01)
    assert called == [pipe[0]] * 3
    poller.close()


def test_forgetting_spares_who_has_the_number_now(pipe: tuple[int, int]) -> None:
    """A thread may close a connection before the main loop hears of it, and its number is given out again."""
    poller = Poller()
    called: list[str] = []
    before, now = (lambda: called.append("before")), (lambda: called.append("now"))
    poller.arm(pipe[0], before)
    reading, writing = os.pipe()
    os.dup2(reading, pipe[0])  # closes what had the number
    os.close(reading)
    poller.arm(pipe[0], now)
    poller.forget(pipe[0], before)
    os.write(writing, b"x")
    os.close(writing)
    poller.dispatch(1)
    assert called == ["now"]
    poller.forget(pipe[0], now)
    poller.dispatch(0.01)
    assert called == ["now"]
    poller.close()


def test_a_callback_that_fails_takes_no_other_along(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that left the main loop would end the worker, and every request in flight."""
    told: list[type[BaseException] | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    poller, called = Poller(), []

    def fail() -> None:
        raise ValueError("not this one")

    other = os.dup(pipe[0])
    poller.arm(pipe[0], fail)
    poller.arm(other, lambda: called.append(1))
    os.write(pipe[1], b"x")
    poller.dispatch(1)
    poller.dispatch(1)
    assert (told, called) == ([ValueError], [1])
    os.close(other)
    poller.close()

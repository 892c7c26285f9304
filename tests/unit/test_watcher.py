"""Noticing a change: by file events and by polling alone, in both layouts, until it is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hola.live_config.watcher import JITTER, QUIET_SECONDS, Watcher
from tests.support import eventually
from tests.unit.conftest import Lines
from tests.unit.volume import rename_into, swap_data

SOON, NEVER = 0.05, 3600.0


class Eyes:
    """Counts the looks and keeps what the last one saw."""

    def __init__(self, volume: Path) -> None:
        self.volume, self.seen, self.looks, self.ticks, self.settled = volume, b"", 0, 0, 0
        self.fails = False
        self.watchers: list[Watcher] = []

    def look(self) -> None:
        self.looks += 1
        if self.fails:
            raise ValueError("met something strange")
        file = self.volume / "config.json"
        self.seen = file.read_bytes() if file.exists() else b""

    def wait_for(self, content: bytes) -> None:
        eventually(lambda: self.seen == content, f"{content!r} was seen", within_seconds=2)

    def tick(self) -> None:
        self.ticks += 1

    def settle(self) -> None:
        self.settled += 1

    def start(self, use_events: bool, poll_seconds: float, *more: Path) -> Watcher:
        watcher = Watcher([self.volume, *more], poll_seconds, use_events, [self.look, self.tick], [self.settle])
        self.watchers.append(watcher)
        watcher.start()
        if use_events and self.volume.exists():
            eventually(lambda: self.ticks, "the look behind a new watch", within_seconds=2)
        return watcher


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[Eyes]:
    (tmp_path / "volume").mkdir()
    eyes = Eyes(tmp_path / "volume")
    yield eyes
    for watcher in eyes.watchers:
        watcher.close()


def by_rename(volume: Path, content: bytes) -> None:
    rename_into(volume, content)


def by_swap(volume: Path, content: bytes) -> None:
    swap_data(volume, {"config.json": content})


@pytest.mark.parametrize("change", [by_rename, by_swap])
@pytest.mark.parametrize(("use_events", "poll_seconds"), [(True, NEVER), (False, SOON)], ids=["events", "poll"])
def test_every_change_is_seen_soon(
    eyes: Eyes, use_events: bool, poll_seconds: float, change: Callable[[Path, bytes], None]
) -> None:
    eyes.start(use_events, poll_seconds)
    for content in (b"one", b"two", b"three"):
        change(eyes.volume, content)
        eyes.wait_for(content)


def test_without_events_and_without_time_nothing_is_looked_at(eyes: Eyes) -> None:
    """So that the tests above show events and not an eager poll."""
    watcher = eyes.start(False, NEVER)
    rename_into(eyes.volume, b"one")
    watcher.close()
    assert eyes.looks == 0


def test_the_last_of_many_quick_changes_is_seen_without_a_look_for_each(eyes: Eyes) -> None:
    eyes.start(True, NEVER)
    eyes.looks, began = 0, time.monotonic()
    for number in range(150):
        rename_into(eyes.volume, b"%d" % number)
    eyes.wait_for(b"149")
    assert eyes.looks <= 2 + (time.monotonic() - began) / QUIET_SECONDS


def test_a_nudge_is_a_look_now(eyes: Eyes) -> None:
    watcher = eyes.start(False, NEVER)
    watcher.nudge()
    eventually(lambda: eyes.ticks == 1, "a look", within_seconds=2)


def test_any_number_of_nudges_does_not_block_nor_hide_the_end(eyes: Eyes) -> None:
    before = threading.active_count()
    watcher = Watcher([eyes.volume], NEVER, False, [eyes.look], [])
    for _ in range(66_000):
        watcher.nudge()
    watcher.start()
    watcher.close()
    assert threading.active_count() == before


def test_a_look_that_fails_is_told_and_neither_ends_the_watch_nor_the_other_looks(eyes: Eyes, lines: Lines) -> None:
    eyes.fails = True
    eyes.start(False, SOON)
    eventually(lambda: eyes.looks > 1 and eyes.ticks > 1, "more looks", within_seconds=2)
    assert lines.parsed[0]["event"] == "config_watch_failed"
    assert lines.parsed[0]["error"] == "ValueError: met something strange"


def test_a_path_that_cannot_be_asked_about_ends_no_watch(eyes: Eyes, tmp_path: Path, lines: Lines) -> None:
    """A name that is too long, as a parent that may not be searched or a server that is gone: an error, not a no."""
    eyes.start(True, SOON, tmp_path / ("x" * 300))
    eventually(lambda: eyes.looks > 2, "more looks", within_seconds=2)
    assert lines.names == []


def test_whatever_a_watch_meets_it_is_told_and_looked_on_without_haste(
    eyes: Eyes, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = eyes.start(True, SOON)
    monkeypatch.setattr(watcher, "_watch", lambda: 1 / 0)
    eyes.looks = 0
    eventually(lambda: eyes.looks > 2, "more looks", within_seconds=2)
    assert set(lines.names) == {"config_watch_failed"}
    assert len(lines.names) <= eyes.looks + 1


def test_a_directory_that_is_replaced_is_watched_anew(eyes: Eyes) -> None:
    eyes.start(True, NEVER)
    for content in (b"one", b"two"):
        eyes.looks = 0
        eyes.volume.rename(eyes.volume.with_name(f"old-{content.decode()}"))
        eyes.volume.mkdir()
        eventually(lambda: eyes.looks, "the replacement was noticed", within_seconds=2)
        rename_into(eyes.volume, content)
        eyes.wait_for(content)


def test_a_directory_that_is_missing_is_polled_until_it_comes(eyes: Eyes, lines: Lines) -> None:
    eyes.volume.rmdir()
    eyes.start(True, SOON)
    eventually(lambda: eyes.looks > 2, "looks by polling", within_seconds=2)
    assert [(line["event"], line["mode"]) for line in lines.parsed] == [("config_watch_degraded", "poll")]
    eyes.volume.mkdir()
    rename_into(eyes.volume, b"one")
    eyes.wait_for(b"one")


def test_a_directory_that_goes_again_is_told_again(eyes: Eyes, lines: Lines) -> None:
    watcher = eyes.start(True, SOON)
    for times in (1, 2):
        eventually(lambda: watcher._events, "it is watched", within_seconds=2)
        eyes.volume.rename(eyes.volume.with_name(f"old-{times}"))
        eventually(lambda: lines.names.count("config_watch_degraded") == times, "it was told", within_seconds=2)  # noqa: B023 - called at once
        eyes.volume.mkdir()


def test_a_second_directory_is_watched_though_it_comes_later(eyes: Eyes, tmp_path: Path) -> None:
    later = tmp_path / "secrets"
    watcher = eyes.start(True, SOON, later)
    assert watcher._events
    assert watcher._events.missing == [later]
    later.mkdir()
    eventually(lambda: watcher._events and not watcher._events.missing, "both were watched", within_seconds=2)


@pytest.mark.parametrize("use_events", [True, False])
def test_what_time_alone_ends_is_settled_about_once_a_second(eyes: Eyes, use_events: bool) -> None:
    """However rarely the source is looked at; and no more often than that, since each costs a wake."""
    eyes.start(use_events, NEVER)
    eyes.looks, eyes.settled, began = 0, 0, time.monotonic()
    eventually(lambda: eyes.settled >= 3, "settled three times", within_seconds=10)
    assert time.monotonic() - began >= 2 * (1 - JITTER)
    assert eyes.looks == 0


@pytest.mark.parametrize(("poll_seconds", "wakes"), [(0.02, 1), (1.0, 1), (1.5, 2), (600.0, 600)])
def test_a_poll_is_waited_for_in_steps_of_a_second(
    eyes: Eyes, monkeypatch: pytest.MonkeyPatch, poll_seconds: float, wakes: int
) -> None:
    """At the default poll that is one wake a second, as without anything to settle."""
    watcher, waits = Watcher([eyes.volume], poll_seconds, False, [eyes.look], [eyes.settle]), list[float]()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    monkeypatch.setattr(watcher, "_wait_once", wait)
    assert not watcher._is_over()
    assert (len(waits), eyes.settled) == (wakes, wakes - 1)
    assert poll_seconds * (1 - JITTER) <= sum(waits) <= poll_seconds * (1 + JITTER)


@pytest.mark.parametrize("use_events", [True, False])
def test_closing_ends_the_thread(eyes: Eyes, use_events: bool) -> None:
    before = threading.active_count()
    watcher = eyes.start(use_events, NEVER)
    assert threading.active_count() == before + 1
    watcher.close()
    assert threading.active_count() == before

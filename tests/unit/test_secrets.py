"""Secrets from files: rotated with a grace period, told once a pod, never shown."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from hola.live_config.secrets import UNTOLD_SECONDS, Secret, Secrets
from hola.live_config.source import Source
from hola.scoreboard import Scoreboard
from hola.telemetry.logs import get_logger
from tests.unit.conftest import Lines
from tests.unit.volume import swap_data

OLD, NEW = b"S3NT1NEL-old", b"S3NT1NEL-new"


class Volume:
    """A Secret volume, the workers' secrets from it, and a grace period to set."""

    def __init__(self, directory: Path, board: Scoreboard) -> None:
        self.directory, self.board, self.grace_seconds = directory, board, 60.0

    def put(self, **files: bytes) -> None:
        swap_data(self.directory, files)

    def secrets(self) -> Secrets:
        """A worker's, that has looked once."""
        found = Secrets(self.board, Source(self.directory, lambda seconds: None), lambda: self.grace_seconds)
        found.look()
        return found


@pytest.fixture
def volume(tmp_path: Path, board: Scoreboard) -> Volume:
    return Volume(tmp_path, board)


def test_a_secret_is_a_file_without_the_newline_at_its_end(volume: Volume) -> None:
    volume.put(api_token=OLD + b"\r\n")
    secrets = volume.secrets()
    assert secrets.accepts("api_token", OLD) is True
    assert secrets.accepts("api_token", OLD + b"\n") is False
    assert secrets.accepts("other", OLD) is None


def test_an_absent_directory_is_no_secret_at_all(volume: Volume) -> None:
    volume.directory = volume.directory / "absent"
    secrets = volume.secrets()
    assert (secrets.accepts("api_token", b""), secrets.ages()) == (None, {})


def test_a_directory_that_vanishes_leaves_the_values_it_had(volume: Volume) -> None:
    volume.put(api_token=OLD)
    secrets = volume.secrets()
    volume.directory.rename(volume.directory.with_name("gone"))
    secrets.look()
    assert secrets.accepts("api_token", OLD) is True


@pytest.mark.parametrize("fault", ["the volume gone", "the file gone", "unreadable"])
def test_a_worker_born_after_a_secret_vanished_accepts_nothing_for_it(volume: Volume, fault: str) -> None:
    volume.put(api_token=OLD, other=b"1")
    volume.secrets()
    if fault == "the volume gone":
        volume.directory = volume.directory.rename(volume.directory.with_name("moved away")).with_name("absent")
    elif fault == "the file gone":
        volume.put(other=b"1")
    else:
        volume.put(**{f"file{number}": b"" for number in range(99)})
    born_later = volume.secrets()
    assert [born_later.accepts("api_token", value) for value in (OLD, b"")] == [False, False]
    assert born_later.accepts("never_there", b"") is (False if fault == "unreadable" else None)


def test_a_directory_that_was_never_read_opens_nothing_and_is_told_once(volume: Volume, lines: Lines) -> None:
    (volume.directory / "api_token").write_bytes(OLD)
    (volume.directory / "dangling").symlink_to("nowhere")
    workers = [volume.secrets() for _ in range(4)]
    for worker in workers:
        worker.look()
    assert {worker.accepts("api_token", value) for worker in workers for value in (OLD, b"")} == {False}
    (line,) = lines.parsed
    assert (line["event"], line["level"]) == ("config_watch_failed", "error")
    assert (line["path"], line["reason"]) == (str(volume.directory / "dangling"), "no such file or directory")
    (volume.directory / "dangling").unlink()
    workers[0].look()
    assert [workers[0].accepts("api_token", value) for value in (OLD, b"")] == [True, False]
    assert workers[0].accepts("never_there", b"") is None


@pytest.mark.parametrize(("quiet_seconds", "times"), [(UNTOLD_SECONDS - 5, 1), (UNTOLD_SECONDS + 5, 2)])
def test_another_time_in_which_nothing_can_be_read_is_told_again(
    volume: Volume, lines: Lines, quiet_seconds: float, times: int
) -> None:
    volume.put(**{f"file{number}": b"" for number in range(99)})
    worker = volume.secrets()
    volume.board.pod.secrets_failed_at -= quiet_seconds
    worker.look()
    assert [line["reason"] for line in lines.parsed] == ["99 files, the limit is 50"] * times
    assert {line["path"] for line in lines.parsed} == {str(volume.directory)}


def test_an_empty_secret_lets_nobody_pass(volume: Volume) -> None:
    volume.put(api_token=b"\n")
    assert volume.secrets().accepts("api_token", b"") is False


def test_a_rotated_secret_keeps_its_old_value_for_the_grace_period(volume: Volume) -> None:
    volume.put(api_token=OLD)
    secrets = volume.secrets()
    volume.put(api_token=NEW)
    secrets.look()
    assert (secrets.accepts("api_token", NEW), secrets.accepts("api_token", OLD)) == (True, True)
    assert secrets.accepts("api_token", b"other") is False


def test_after_the_grace_period_the_old_value_is_void(volume: Volume) -> None:
    volume.put(api_token=OLD)
    secrets = volume.secrets()
    volume.grace_seconds = 0.0
    volume.put(api_token=NEW)
    secrets.look()
    assert (secrets.accepts("api_token", NEW), secrets.accepts("api_token", OLD)) == (True, False)


@pytest.mark.parametrize("grace_seconds", [0.0, 60.0])
def test_another_secrets_rotation_neither_prolongs_nor_ends_a_grace_period(
    volume: Volume, grace_seconds: float
) -> None:
    volume.put(api_token=OLD, other=b"1")
    secrets = volume.secrets()
    for other, seconds in ((b"1", grace_seconds), (b"2", 60.0 - grace_seconds)):
        volume.grace_seconds = seconds
        volume.put(api_token=NEW, other=other)
        secrets.look()
    assert secrets.accepts("api_token", OLD) is (grace_seconds > 0)


def test_a_rotation_is_told_once_a_pod_by_name_alone(volume: Volume, lines: Lines) -> None:
    volume.put(api_token=OLD, other=b"1")
    workers = [volume.secrets() for _ in range(4)]
    assert lines.names == [], "booting is no rotation"
    volume.put(api_token=NEW, other=b"1")
    for worker in workers:
        worker.look()
        worker.look()
    (line,) = lines.parsed
    assert (line["event"], line["name"]) == ("secret_rotated", "api_token")
    volume.put(other=b"1")
    for worker in workers:
        worker.look()
    assert lines.names == ["secret_rotated", "secret_removed"]
    assert b"S3NT1NEL" not in b"".join(lines.raw)


def test_a_worker_that_is_born_later_tells_nothing(volume: Volume, lines: Lines) -> None:
    volume.put(api_token=OLD)
    volume.secrets()
    volume.secrets()
    assert lines.names == []


@pytest.mark.parametrize("first", [0, 2])
def test_workers_that_know_different_secrets_tell_each_transition_once(
    volume: Volume, lines: Lines, first: int
) -> None:
    """One born after a removal knows fewer names, and hides neither what the others tell nor has it told again."""
    volume.put(api_token=OLD, other=b"1")
    workers = [volume.secrets() for _ in range(2)]
    volume.put(other=b"1")
    for worker in workers:
        worker.look()
    workers += [volume.secrets()]
    story = [("secret_removed", "api_token")]
    for files, told in [
        ({"other": b"1"}, []),
        ({"other": b"2"}, [("secret_rotated", "other")]),
        ({"other": b"2", "api_token": OLD}, []),
        ({"other": b"2", "api_token": NEW}, [("secret_rotated", "api_token")]),
        ({"api_token": NEW}, [("secret_removed", "other")]),
        ({"api_token": NEW, "other": b"2"}, []),
        ({"api_token": NEW}, [("secret_removed", "other")]),
    ]:
        volume.put(**files)
        for _ in range(3):
            for worker in workers[first:] + workers[:first]:
                worker.look()
        story += told
        assert [(line["event"], line["name"]) for line in lines.parsed] == story


def test_a_rotation_that_a_newborn_sees_first_is_told_by_who_knew_the_value_before(
    volume: Volume, lines: Lines
) -> None:
    volume.put(api_token=OLD)
    old = volume.secrets()
    volume.put(api_token=NEW)
    volume.secrets()
    assert lines.names == []
    old.look()
    assert lines.names == ["secret_rotated"]


def test_ages_are_those_of_the_files(volume: Volume) -> None:
    volume.put(api_token=OLD)
    assert 0 <= volume.secrets().ages()["api_token"] < 60


def test_no_way_of_showing_a_secret_shows_it(lines: Lines) -> None:
    secret = Secret(OLD)
    get_logger("hola.test").info("thing_done", value=secret, nested=[{"it": secret}])
    shown = f"{secret} {secret!r} {secret:>9} {[secret]} %s" % secret + json.dumps({"it": secret}, default=str)
    assert "S3NT1NEL" not in shown + str(lines.raw)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret.reveal() == OLD


def test_what_workers_compare_says_nothing_outside_the_pods_life(tmp_path: Path) -> None:
    """A plain hash of a short secret could be guessed."""
    swap_data(tmp_path, {"api_token": b"1234"})
    hashes = []
    for board in (Scoreboard(), Scoreboard()):
        Secrets(board, Source(tmp_path), lambda: 0.0).look()
        hashes.append(board.pod.secrets_hash)
    assert hashes[0] != hashes[1]
    assert all(hashes)

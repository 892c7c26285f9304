"""Secrets: rotated without a restart, of one revision together, and never shown, wherever they were put."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.process.volume import Volume, all_run, numbered, pids, rename_into, told
from tests.support import Service, eventually, run_command

SENTINEL = "S3NT1NEL"
GRACE_SECONDS = 3.0
# The sentinel as the value of a key of the wrong type or length, of unknown keys, and in what is no JSON.
LEAKS = [
    f'{{"greeting": ["{SENTINEL}"]}}',
    f'{{"greeting": "{SENTINEL * 40}"}}',
    f'{{"api_token": "{SENTINEL}", "features": {{"password": "{SENTINEL}"}}}}',
    f'{{"log_level": {{"value": "{SENTINEL}", "until": "{SENTINEL}"}}}}',
    f'{{"faults": [{{"id": "{SENTINEL}", "route": "{SENTINEL}"}}, "{SENTINEL}"]}}',
    f'{{"trace_sample_ratio": {{"value": "{SENTINEL}"}}, "secrets_grace_seconds": "{SENTINEL}"}}',
    f'{{"greeting": "{SENTINEL}\n"}}',
    f'{{"greeting": {SENTINEL}}}',
    f'{{"greeting": "\\{SENTINEL}"}}',
    f'{{"greeting": "a"}} {SENTINEL}',
    f'"{SENTINEL}"',
    SENTINEL,
]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The secrets' directory of the service of this test, before it starts."""
    (tmp_path / "secrets").mkdir()
    return tmp_path / "secrets"


def test_a_rotated_token_is_used_and_the_old_one_for_its_grace(secrets: Path, tmp_path: Path) -> None:
    """Row 26: the new token is accepted within 2 s, the old one for the grace period, by processes that go on."""
    (secrets / "api_token").write_text("old\n")
    with Service(tmp_path, numbered(0, secrets_grace_seconds=GRACE_SECONDS)) as service:
        before = pids(service.ready())
        assert (_answers(service, "old"), _answers(service, "new"), _answers(service, "")) == ({200}, {401}, {401})
        rotated_at = time.monotonic()
        rename_into(secrets, b"new\n", "api_token")
        eventually(lambda: _answers(service, "new") == {200}, "the new token accepted by all", 2)
        assert _answers(service, "old") == {200} or time.monotonic() > rotated_at + GRACE_SECONDS
        eventually(lambda: _answers(service, "old") == {401}, "the end of the grace", GRACE_SECONDS + 3)
        assert time.monotonic() - rotated_at >= GRACE_SECONDS
        assert _answers(service, "new") == {200}
        assert pids(service) == before
        assert told(service, "secret_rotated") == 1
        assert service.metrics()['hola_secret_age_seconds{name="api_token"}'] < 60


def test_a_token_that_is_written_in_place_is_rotated_once(secrets: Path, tmp_path: Path) -> None:
    """Row 26: emptied and written anew under its name, as by an editor, and looked at all the time."""
    (secrets / "api_token").write_text("old")
    with Service(tmp_path, HOLA_CONFIG_WATCH="poll", HOLA_CONFIG_POLL_SECONDS="0.02") as service:
        service.ready()
        for content in ("", "new"):
            (secrets / "api_token").write_text(content)
        eventually(lambda: _answers(service, "new") == {200}, "the new token accepted by all", 10)
        assert (_answers(service, "old"), _answers(service, "")) == ({200}, {401})
        assert told(service, "secret_rotated") == 1


def test_secrets_are_always_of_one_revision(secrets: Path, tmp_path: Path) -> None:
    """Row 14: all 20 files of a revision are written at one time, so in each of 500 scrapes all have one age."""
    volume, began = Volume(secrets), float(int(time.time())) - 1000
    names = [f"part{number}" for number in range(20)]
    volume.swap(dict.fromkeys(names, "0"), written_at=began)
    with Service(tmp_path) as service:
        service.ready()
        seen = set()
        for number in range(1, 501):
            volume.swap(dict.fromkeys(names, f"{number}"), written_at=began + number)
            figures = service.metrics()
            ages = {figures.get(f'hola_secret_age_seconds{{name="{name}"}}') for name in names}
            assert len(ages) == 1, f"of two revisions after swap {number}: {ages}"
            seen |= {round(time.time() - began - age) for age in ages if age is not None}
        print(f"500 swaps of 20 files, {len(seen)} revisions seen, 0 mixed")
        assert len(seen) > 50
        assert told(service, "secret_removed") == 0


def test_no_secret_is_shown_anywhere(secrets: Path, tmp_path: Path) -> None:
    """Row 25: as a secret, as an unknown key's value and in invalid documents; looked for in all that hola says."""
    (secrets / "api_token").write_text(SENTINEL)
    with Service(tmp_path, numbered(1)) as service:
        service.ready()
        said = b""
        for number, leak in enumerate(LEAKS, start=1):
            rename_into(service.config_dir, leak.encode())
            eventually(lambda: told(service, "config_rejected") == number, f"rejection of {leak!r}", 10)  # noqa: B023 - called at once
            said += _everything_said(service, f"{SENTINEL}x")
        (tmp_path / "bad.json").write_text(LEAKS[2])
        said += str(run_command("config", "check", str(tmp_path / "bad.json"))).encode()
        said += str(run_command("settings", HOLA_SECRETS_DIR=str(secrets))).encode()
        assert _answers(service, SENTINEL) == {200}
        assert all_run(service, 1)
        said += b"".join(service.raw) + b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert SENTINEL.encode() not in said


@pytest.mark.parametrize("fault", ["the volume gone", "the file gone", "a directory among them"])
def test_a_worker_that_cannot_read_the_secrets_lets_nobody_in(secrets: Path, tmp_path: Path, fault: str) -> None:
    """Row 26: a replacement that is born while they cannot be read must not take that for "no token needed"."""
    (secrets / "api_token").write_text("token")
    with Service(tmp_path) as service:
        service.ready()
        if fault == "the volume gone":
            secrets.rename(tmp_path / "away")
        elif fault == "the file gone":
            (secrets / "api_token").unlink()
        else:
            (secrets / "directory").mkdir()
        os.kill(service.workers()[0]["pid"], signal.SIGKILL)
        eventually(lambda: told(service, "worker_ready") == 5, "the replacement", 10)
        assert _answers(service, "") == {401}


def test_a_removed_secret_is_told_once_and_a_replacement_changes_nothing(secrets: Path, tmp_path: Path) -> None:
    """README: `secret_removed`, `secret_rotated` once a pod and transition, also with a worker born in between."""
    for name in ("api_token", "other"):
        (secrets / name).write_text("old")
    with Service(tmp_path, numbered(0), HOLA_CONFIG_POLL_SECONDS="0.1") as service:
        service.ready()
        (secrets / "api_token").unlink()
        assert service.wait_for("secret_removed")["name"] == "api_token"
        os.kill(service.workers()[0]["pid"], signal.SIGKILL)
        eventually(lambda: told(service, "worker_ready") == 5, "the replacement", 10)
        for number in range(1, 11):
            service.put(numbered(number))
            eventually(lambda: all_run(service, number), "another look of all", 10)  # noqa: B023 - called at once
        rename_into(secrets, b"new", "other")
        assert service.wait_for("secret_rotated")["name"] == "other"
        for number in range(11, 21):
            service.put(numbered(number))
            eventually(lambda: all_run(service, number), "another look of all", 10)  # noqa: B023 - called at once
        assert (told(service, "secret_removed"), told(service, "secret_rotated")) == (1, 1)


def test_secrets_that_cannot_be_read_at_boot_let_nobody_in(secrets: Path, tmp_path: Path) -> None:
    """Row 26: what was never read may hold a token. It is told once a pod, and served as soon as it can be read."""
    (secrets / "api_token").write_text("token")
    (secrets / "dangling").symlink_to(tmp_path / "nowhere")
    with Service(tmp_path) as service:
        service.ready()
        assert (_answers(service, ""), _answers(service, "token")) == ({401}, {401})
        assert told(service, "config_watch_failed") == 1
        assert service.wait_for("config_watch_failed")["path"] == str(secrets / "dangling")
        (secrets / "dangling").unlink()
        eventually(lambda: _answers(service, "token") == {200}, "the token accepted by all", 10)
        assert _answers(service, "") == {401}


def _answers(service: Service, token: str) -> set[int]:
    """What 60 requests with this token are answered, on connections of their own, so by all workers."""
    authorization = f"Bearer {token}" if token else "none"
    return {service.get("/headers", Authorization=authorization).status for _ in range(60)}


def _everything_said(service: Service, wrong_token: str) -> bytes:
    paths = ("/", "/config", "/config/status", "/config/history", "/metrics", "/headers", "/nowhere", "/readyz?verbose")
    tokens = ("", wrong_token, SENTINEL)
    return b"".join(service.get(path, Authorization=f"Bearer {token}").body for path in paths for token in tokens)

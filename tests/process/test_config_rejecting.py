"""A bad document reaches nobody, is told once with its reasons, and what it costs is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.hammer import Hammer
from tests.process.volume import DOCUMENT, all_run, numbered, pids, rename_into, told
from tests.support import Service, eventually, run_command

POD_LIMIT_BYTES = 512 << 20  # k8s/base/deployment.yaml
PROBE_SECONDS = 2.0  # and its probes' timeout
BAD: dict[str, tuple[bytes, str]] = {
    "invalid (row 1)": (b'{"rev":4,', "not_json"),
    "empty (row 2)": (b"", "empty"),
    "blank (row 2)": (b" \n", "empty"),
    "two at once (row 3)": (numbered(7).encode() * 2, "trailing_data"),
    "2 MiB (row 28)": (b'{"greeting": "' + b"a" * (2 << 20) + b'"}', "too_large"),
    "10 000 deep (row 28)": (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
    "a key twice (row 28)": (b'{"greeting": "a", "greeting": "b"}', "duplicate_key"),
    "not a number (row 28)": (b'{"secrets_grace_seconds": NaN}', "not_json"),
    "no text (row 28)": (b'{"greeting": "\xff\xfe"}', "not_utf8"),
}
EXPENSIVE: dict[str, bytes] = {
    "340 000 empty faults": b'{"faults":[' + b",".join([b"{}"] * 340_000) + b"]}",
    "90 000 unknown keys": b"{" + b",".join(b'"%05x":0' % n for n in range(90_000)) + b"}",
    "1 MiB of numbers": b'{"faults":[' + b",".join([b"0"] * 500_000) + b"]}",
    "1 MiB of brackets in a string": b'{"greeting": "' + b"[" * 1_000_000 + b'"}',
    "1 MiB of escaped quotes without an end": b'{"greeting": "' + b'\\"' * 500_000,
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all bad documents, which change nothing; it began with number 1."""
    with Service(tmp_path_factory.mktemp("rejecting"), numbered(1)) as service:
        yield service.ready()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_rejected_and_nothing_else_happens(running: Service, name: str) -> None:
    """Rows 1, 2, 3, 28: 100 requests are answered as before, by the same processes; the rejection is told once."""
    data, code = BAD[name]
    before, seen = pids(running), told(running, "config_rejected")
    revision = running.get("/").headers["X-Config-Revision"]
    rename_into(running.config_dir, data)
    rejected = _next_rejection(running, seen)
    assert [error["code"] for error in rejected["errors"]] == [code]
    answers = running.get_many(100, 8)
    assert {(answer.status, answer.headers["X-Config-Revision"]) for answer in answers} == {(200, revision)}
    assert all_run(running, 1)
    assert pids(running) == before
    assert running.metrics()["hola_config_last_reload_successful"] == 0
    assert running.get("/readyz").status == 200
    assert told(running, "config_rejected") == seen + 1


def test_coming_back_to_the_running_document_clears_the_rejection(running: Service) -> None:
    """Row 16: good, bad, the same good again: the gauge is 1 and the reasons are gone."""
    applied = told(running, "config_applied")
    seen = told(running, "config_rejected")
    rename_into(running.config_dir, b"{")
    _next_rejection(running, seen)
    assert running.get("/config/status").json()["rejection"]["errors"]
    recovered = told(running, "config_recovered")
    running.put(numbered(1))
    eventually(lambda: told(running, "config_recovered") == recovered + 1, "the recovery", 10)
    assert running.metrics()["hola_config_last_reload_successful"] == 1
    assert running.get("/config/status").json()["rejection"] is None
    assert told(running, "config_applied") == applied


def test_noise_is_no_change(running: Service) -> None:
    """Row 15: touch, chmod, a rewrite of the same bytes, staged files that come and go: nothing is counted."""
    file, before = running.config_dir / DOCUMENT, _transitions(running)
    for _ in range(5):
        file.touch()
        file.chmod(0o600)
        rename_into(running.config_dir, file.read_bytes())
        file.write_bytes(file.read_bytes())
        rename_into(running.config_dir, b"{}", name="another.json")
        rename_into(running.config_dir, b"{}", name=f".{DOCUMENT}123")
    read_at = running.get("/config/status").json()["source"]["age_seconds"]
    eventually(lambda: running.get("/config/status").json()["source"]["age_seconds"] < read_at + 1, "a look", 10)
    assert _transitions(running) == before


def test_the_reasons_are_told_before_and_after(running: Service, tmp_path: Path) -> None:
    """Row 22: `config check` before; after, `config status --wait` fails and shows why, pointer by pointer."""
    bad, seen = tmp_path / "bad.json", told(running, "config_rejected")
    bad.write_text('{"greeting": 5, "features": {"shout": "no"}, "nope": 1}')
    code, lines, _ = run_command("config", "check", str(bad))
    before = next(line for line in lines if "valid" in line)["files"][0]["errors"]
    rename_into(running.config_dir, bad.read_bytes())
    revision = _next_rejection(running, seen)["revision"]
    url = f"http://127.0.0.1:{running.port}"
    late, lines, _ = run_command("config", "status", "--url", url, "--wait", "0.5", "--revision", revision)
    after = next(line for line in lines if "workers" in line)["rejection"]["errors"]
    assert (code, late) == (4, 1)
    assert before == after
    assert [error["path"] for error in after] == ["/greeting", "/features/shout", "/nope"]


@pytest.mark.parametrize("name", EXPENSIVE)
def test_no_document_is_expensive(running: Service, name: str) -> None:
    """Row 28: whatever fits the limit of size costs the pod neither its memory nor its probes' patience."""
    before, seen = pids(running), told(running, "config_rejected")
    for pid in before:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak starts anew: man 5 proc
    with Hammer(running, 2, "/livez") as hammer:
        rename_into(running.config_dir, EXPENSIVE[name])
        rejected = _next_rejection(running, seen, within_seconds=60)
        age = running.get("/config/status").json()["source"]["age_seconds"]
        eventually(lambda: running.get("/config/status").json()["source"]["age_seconds"] < age, "another look", 60)
    peak = sum(_peak_bytes(pid) for pid in before)
    print(f"{name}: slowest probe {hammer.percentile(1) * 1000:.0f} ms, peak of all workers {peak >> 20} MiB")
    assert len(rejected["errors"]) <= 20
    assert hammer.percentile(1) < PROBE_SECONDS
    assert peak < POD_LIMIT_BYTES
    assert pids(running) == before


def _next_rejection(service: Service, seen: int, within_seconds: float = 10) -> dict[str, Any]:
    return eventually(lambda: service.events("config_rejected")[seen:], "the rejection", within_seconds)[0]


def _transitions(service: Service) -> dict[str, float]:
    figures = {name: value for name, value in service.metrics().items() if "config_reloads_total" in name}
    return figures | {"lines": told(service, "config_applied", "config_rejected", "config_recovered")}


def _peak_bytes(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

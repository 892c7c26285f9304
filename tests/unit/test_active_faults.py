"""Faults that begin and end, told once a pod, whichever workers look, are late or die."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hola.scoreboard import Scoreboard
from tests.support import eventually
from tests.unit.conftest import Lines
from tests.unit.pod import BAD, A, Pod

SLOW = {"id": "slow", "route": "/", "percent": 10, "delay_ms": 300}
DEAD = {"id": "dead", "route": "/version", "status": 503, "until": "2999-01-01T00:00:00Z"}


@pytest.fixture
def pod(tmp_path: Path, board: Scoreboard) -> Pod:
    return Pod(tmp_path, board)


def document(*faults: dict[str, Any], **keys: Any) -> str:
    return json.dumps({"faults": faults, **keys})


def ending_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def await_time(until: str) -> None:
    eventually(lambda: datetime.now(UTC) > datetime.fromisoformat(until), "the end", 2)


def told(lines: Lines) -> list[tuple[str, str]]:
    return [(line["event"], line["fault_id"]) for line in lines.parsed if line["event"].startswith("fault_")]


def test_a_fault_begins_with_its_document_and_ends_with_the_next(pod: Pod, lines: Lines) -> None:
    workers = [pod.booted(A, slot) for slot in range(4)]
    for content in (document(SLOW, DEAD), document(DEAD), A):
        pod.put(content)
        for worker in workers:
            worker.look()
    assert told(lines) == [
        ("fault_started", "slow"),
        ("fault_started", "dead"),
        ("fault_ended", "slow"),
        ("fault_ended", "dead"),
    ]
    assert pod.board.pod.faults_begun == 0


def test_what_is_told_names_the_fault_its_kind_its_share_and_its_end(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(document(SLOW, DEAD))
    pod.put(A)
    worker.look()
    started, until, ended, _ = [line for line in lines.parsed if line["event"].startswith("fault_")]
    said = {"fault_id": "slow", "route": "/", "kind": "delay", "percent": 10.0, "until": None}
    assert said.items() <= started.items()
    assert said.items() | {("reason", "removed")} <= ended.items()
    assert (until["kind"], until["until"]) == ("status", "2999-01-01T00:00:00Z")
    applied = lines.events("config_applied")
    assert [started["revision"], ended["revision"]] == [line["revision"] for line in applied]


def test_it_is_told_after_the_document_that_has_it(pod: Pod, lines: Lines) -> None:
    pod.booted(document(SLOW))
    assert lines.names == ["config_applied", "fault_started"]


def test_a_fault_that_stays_is_not_told_again_and_one_that_changed_is(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(document(SLOW, DEAD))
    lines.clear()
    pod.put(document(DEAD, SLOW, greeting="B"))
    worker.look()
    assert told(lines) == []
    pod.put(document(DEAD, SLOW | {"percent": 50}))
    worker.look()
    assert told(lines) == [("fault_ended", "slow"), ("fault_started", "slow")]
    pod.put(A)
    worker.look()
    assert [line["percent"] for line in lines.events("fault_ended")] == [10, 100, 50]


def test_a_fault_ends_once_when_its_time_is_over(pod: Pod, lines: Lines) -> None:
    until = ending_in(0.5)
    workers = [pod.booted(document(SLOW | {"until": until}, DEAD), slot) for slot in range(3)]
    assert told(lines) == [("fault_started", "slow"), ("fault_started", "dead")]
    await_time(until)
    lines.clear()
    for worker in workers:
        worker.look()
    (ended,) = lines.events("fault_ended")
    assert (ended["fault_id"], ended["reason"]) == ("slow", "expired")
    assert datetime.fromisoformat(ended["until"]) == datetime.fromisoformat(until)
    pod.put(A)
    workers[0].look()
    assert told(lines) == [("fault_ended", "slow"), ("fault_ended", "dead")]


def test_its_end_is_told_while_the_source_cannot_be_read(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(document(SLOW | {"until": (until := ending_in(0.5))}))
    (pod.volume / "config.json").unlink()
    await_time(until)
    worker.look()
    assert [line["reason"] for line in lines.events("fault_ended")] == ["expired"]


def test_a_fault_that_is_over_before_it_came_is_not_told(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(document(SLOW | {"until": "2000-01-01T00:00:00Z"}))
    pod.put(A)
    worker.look()
    assert told(lines) == []


def test_a_document_that_is_refused_begins_and_ends_nothing(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(document(SLOW))
    lines.clear()
    for content in (BAD, document(DEAD, _meta={"rollout": {"percent": 0}})):
        pod.put(content)
        worker.look()
    assert told(lines) == []


def test_a_worker_that_is_born_later_knows_what_has_begun(pod: Pod, lines: Lines) -> None:
    pod.booted(document(SLOW, DEAD))
    lines.clear()
    born = pod.booted(slot=1)
    born.look()
    assert told(lines) == []
    pod.put(A)
    born.look()
    assert told(lines) == [("fault_ended", "slow"), ("fault_ended", "dead")]


def test_fifty_faults_are_told_like_one(pod: Pod, lines: Lines) -> None:
    worker = pod.booted(document(*[SLOW | {"id": f"f{number}"} for number in range(50)]))
    pod.put(document(*[SLOW | {"id": f"f{number}"} for number in range(49)]))
    worker.look()
    assert len(lines.events("fault_started")) == 50
    assert told(lines)[50:] == [("fault_ended", "f49")]

"""What faults do to a worker: memory that is held, bounded and given back; one death, when it is its turn."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from hola.faults.effects import LEFT_MIB, MOST_HELD_MIB, Ballast, Crash
from hola.live_config.document import parse
from hola.live_config.fault_rules import MOST_MIB, FaultRule

LEAK = {"id": "leak", "route": "/", "allocate_mib": 8}


def rules(*given: dict[str, Any]) -> tuple[FaultRule, ...]:
    return parse(json.dumps({"faults": given}).encode()).faults


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


def test_what_is_held_is_resident_and_what_is_given_back_is_not() -> None:
    ballast, before = Ballast(), resident_mib()
    for _ in range(4):
        ballast.add("leak", 16)
    assert (ballast.held_mib, resident_mib() - before > 60) == (64, True)
    ballast.keep(())
    assert (ballast.held_mib, resident_mib() - before < 8) == (0, True)


def test_a_worker_holds_no_more_than_its_bound_over_all_faults() -> None:
    ballast = Ballast(lambda: 1 << 20)
    for number in range(MOST_HELD_MIB // MOST_MIB + 2):
        ballast.add(f"leak-{number}", MOST_MIB - 1)
    assert ballast.held_mib == MOST_HELD_MIB
    ballast.keep(())


@pytest.mark.parametrize(("left", "held"), [(3, 3), (0, 0), (-100, 0), (20, 8)])
def test_the_machine_keeps_the_rest_of_its_memory(left: int, held: int) -> None:
    ballast = Ballast(lambda: LEFT_MIB + left)
    ballast.add("leak", 8)
    assert ballast.held_mib == held


@pytest.mark.parametrize(
    ("in_force", "held"),
    [
        ([LEAK], 8),
        ([LEAK | {"route": "/elsewhere", "until": "2999-01-01T00:00:00Z"}], 8),
        ([], 0),
        ([LEAK | {"until": "2000-01-01T00:00:00Z"}], 0),
        ([LEAK | {"id": "another"}], 0),
        ([{"id": "leak", "route": "/", "delay_ms": 1}], 0),
    ],
)
def test_memory_is_held_while_a_rule_in_force_asks_for_it(in_force: list[dict[str, Any]], held: int) -> None:
    ballast = Ballast()
    ballast.add("leak", 8)
    ballast.keep(rules(*in_force))
    assert ballast.held_mib == held


def test_a_worker_dies_of_one_request_only() -> None:
    crash, due = Crash(lambda: True), []
    threads = [threading.Thread(target=lambda: due.append(crash.is_due())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(due) == [False] * 7 + [True]


def test_a_worker_that_had_no_turn_may_have_one_later() -> None:
    turns = iter([False, True])
    crash = Crash(lambda: next(turns))
    assert [crash.is_due(), crash.is_due(), crash.is_due()] == [False, True, False]

"""Faults that begin and end, told once a pod.

A fault begins when a document that has it comes into force, and ends when one without it does or when
its `until` passes. A rule that was changed is another one. Which rules of the document in force have
begun is a bit each on the scoreboard, written under its lock together with the document itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hola.live_config import history
from hola.live_config.document import Document
from hola.live_config.fault_rules import FaultRule
from hola.scoreboard import Pod, Scoreboard


def take_over(pod: Pod, old: Document, new: Document, revision: str) -> list[dict[str, Any]]:
    """What begins and ends because `new` replaces `old`. Only under the board's lock."""
    now = datetime.now(UTC)
    before = [rule for number, rule in enumerate(old.faults) if pod.faults_begun >> number & 1]
    active = [rule for rule in new.faults if not rule.is_over(now)]
    pod.faults_begun = _bits(new, active)
    gone = [_ended(rule, revision, now) for rule in before if rule not in active]
    return gone + [
        history.entry("fault_started", **_told(rule), revision=revision) for rule in active if rule not in before
    ]


def end_those_over(board: Scoreboard, document: Document, generation: int, revision: str) -> list[dict[str, Any]]:
    """What ended by itself since it was asked last. Called about once a second by every worker; costs a comparison."""
    now, pod = datetime.now(UTC), board.pod
    over = _bits(document, [rule for rule in document.faults if rule.is_over(now)]) if pod.faults_begun else 0
    if not pod.faults_begun & over:
        return []
    with board.lock():
        if pod.generation != generation:
            return []  # the bits are another document's by now
        ended = pod.faults_begun & over
        pod.faults_begun &= ~over
    return [_ended(rule, revision, now) for number, rule in enumerate(document.faults) if ended >> number & 1]


def _bits(document: Document, rules: list[FaultRule]) -> int:
    return sum(1 << number for number, rule in enumerate(document.faults) if rule in rules)


def _ended(rule: FaultRule, revision: str, now: datetime) -> dict[str, Any]:
    reason = "expired" if rule.is_over(now) else "removed"
    return history.entry("fault_ended", **_told(rule), revision=revision, reason=reason)


def _told(rule: FaultRule) -> dict[str, Any]:
    until = rule.model_dump(mode="json")["until"]
    return {"fault_id": rule.id, "route": rule.route, "kind": rule.kind, "percent": rule.percent, "until": until}

"""Verdicts on who a pod is: which role counts as the expected one, and what is told of each failure."""

from __future__ import annotations

import pytest

from hola.aws import bucket, identity
from hola.aws.identity import Identity, assumed_role, identity_look, judge, publish
from hola.aws.sdk import Access, AwsError
from hola.scoreboard import AWS_PROVIDERS, AWS_REASONS, Scoreboard
from hola.telemetry.metrics import BoardCollector

HOLA = "arn:aws:sts::111122223333:assumed-role/hola/session"
ROLE = "arn:aws:iam::111122223333:role/hola"


@pytest.mark.parametrize(
    ("provider", "caller", "expected", "verdict"),
    [
        ("web_identity", HOLA, ROLE, "ok"),
        ("web_identity", HOLA, "arn:aws:iam::111122223333:role/team/a/hola", "ok"),
        ("web_identity", HOLA, None, "ok"),
        ("web_identity", HOLA, "arn:aws:iam::999922223333:role/hola", "wrong_role"),
        ("web_identity", HOLA, "arn:aws-cn:iam::111122223333:role/hola", "wrong_role"),
        ("web_identity", HOLA, "arn:aws:iam::111122223333:role/hola2", "wrong_role"),
        ("node_role", HOLA, None, "node_role_fallback"),
        ("node_role", HOLA, "arn:aws:iam::111122223333:role/other", "node_role_fallback"),
        ("node_role", HOLA, ROLE, "ok"),
        ("environment", "arn:aws:iam::111122223333:user/hola", ROLE, "wrong_role"),
        ("environment", "arn:aws:iam::111122223333:root", None, "ok"),
    ],
)
def test_the_verdict_is_by_role_and_provider(provider: str, caller: str, expected: str | None, verdict: str) -> None:
    assert judge(provider, caller, expected) == verdict


def test_who_has_assumed_no_role_has_none() -> None:
    assert assumed_role(HOLA) == ROLE
    assert assumed_role("arn:aws:iam::111122223333:user/assumed-role/hola/x") is None


def test_every_verdict_has_a_sentence_and_a_place_on_the_scoreboard() -> None:
    assert set(identity._SENTENCES) == set(AWS_REASONS)
    assert set(bucket._SENTENCES) - {"bucket_missing", "denied"} == set(AWS_REASONS) - {
        "wrong_role",
        "node_role_fallback",
    }


@pytest.mark.parametrize("provider", AWS_PROVIDERS)
@pytest.mark.parametrize("reason", AWS_REASONS)
def test_a_verdict_on_the_scoreboard_is_read_as_it_was_told(board: Scoreboard, provider: str, reason: str) -> None:
    assert board.pod.last_aws_identity() is None
    publish(board.pod)(Identity(reason, "", provider, None))
    assert board.pod.last_aws_identity() == (provider, reason)
    collector = BoardCollector(board, "1", "c", lambda: ("0", "none"), dict)
    (family,) = [family for family in collector.collect() if family.name == "hola_aws_identity_ok"]
    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({"provider": provider, "reason": reason}, float(reason == "ok"))


def test_no_look_is_no_series(board: Scoreboard) -> None:
    collector = BoardCollector(board, "1", "c", lambda: ("0", "none"), dict)
    assert [f.samples for f in collector.collect() if f.name == "hola_aws_identity_ok"] == [[]]


def test_a_failure_is_told_with_its_hint_and_published(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(access: Access) -> None:
        access.provider = "pod_identity"
        raise AwsError("refused", "AccessDenied", "its credential endpoint answers 403")

    monkeypatch.setattr(Access, "open", fail)
    told: list[Identity] = []
    found = identity_look(ROLE, told.append).answer()
    assert (found.verdict, found.provider, found.aws_error, found.ok) == (
        "refused",
        "pod_identity",
        "AccessDenied",
        False,
    )
    assert found.message.endswith("(its credential endpoint answers 403)")
    assert told == [found]
    assert found.as_dict()["expected_role_arn"] == ROLE

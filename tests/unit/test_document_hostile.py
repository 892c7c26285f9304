"""The live document, 20 000 times spoilt: it is a document or a rejection, bounded, and no value is shown."""

from __future__ import annotations

import json
import random

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hola.errors import DocumentRejected, Fault
from hola.live_config import document as documents
from hola.live_config.document import MOST_FAULTS_SHOWN, Document, parse

SENTINEL = "S3NT1NEL"
EXAMPLES, VARIANTS = 1_000, 20
VALID = json.dumps(
    {
        "greeting": SENTINEL,
        "log_level": {"value": "info", "until": "2030-01-01T00:00:00Z"},
        "trace_sample_ratio": {"value": 0.5},
        "features": {"shout": True},
        "faults": [{"id": "slow", "route": "/delay/{seconds}", "percent": 1.5, "delay_ms": 1, "status": 503}],
        "secrets_grace_seconds": 60,
        "_meta": {"author": SENTINEL, "rollout": {"percent": 50}},
    }
).encode()
TOKENS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\xff", b"\\ud800", b"\\u0000", b"NaN", b"1e999", b"-",
    b"null", b"9" * 4400, b"[" * 40, b'"greeting":1,', b'"x":{},', b"\xed\xa0\x80", b"\xef\xbb\xbf", b" ", b".", b"e",
]  # fmt: skip
_count = 0


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)  # the same documents in every run
@given(st.integers(0, 2**64), st.binary(max_size=20))
@example(0, b"")
def test_hostile_documents_are_documents_or_rejected(seed: int, noise: bytes) -> None:
    """Row 28 of live configuration: each example spoils a valid document in twenty ways."""
    chance = random.Random(seed)
    for _ in range(VARIANTS):
        _check(_broken(chance, noise))


def test_there_were_twenty_thousand() -> None:
    """Counted, since hypothesis may give up early."""
    print(f"{_count} documents")
    assert _count >= EXAMPLES * VARIANTS or _count == 0, "0 if this test runs alone"


def _broken(chance: random.Random, noise: bytes) -> bytes:
    data = VALID
    for _ in range(chance.randrange(1, 4)):
        start = chance.randrange(len(data) + 1)
        end = min(start + chance.choice((0, 0, 1, 1, 5, 50)), len(data))
        data = data[:start] + chance.choice([*TOKENS, noise, data[end : end + 30]]) + data[end:]
    return data


def _check(data: bytes) -> None:
    global _count  # noqa: PLW0603 - the second test tells how many there were
    _count += 1
    outcome = _outcome(data)
    if isinstance(outcome, Document):
        assert orjson.dumps(documents.shown(outcome))
        return
    shown = orjson.dumps([fault.as_dict() for fault in outcome])
    assert 1 <= len(outcome) <= MOST_FAULTS_SHOWN
    assert len(shown) < 10_000
    assert SENTINEL.encode() not in shown


def _outcome(data: bytes) -> Document | tuple[Fault, ...]:
    """What `parse` makes of it; any other exception is the test's failure."""
    try:
        return parse(data)
    except DocumentRejected as rejected:
        return rejected.faults

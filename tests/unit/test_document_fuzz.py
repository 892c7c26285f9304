"""The live document, whatever the bytes: a document or a rejection, and no value of the input in any message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hola.errors import DocumentRejected, Fault
from hola.live_config import document as documents
from hola.live_config.document import Document, parse

SENTINEL = "S3NT1NEL"
NUMBER = 86_753_090_001
KEYS = sorted(documents.schema()["properties"].keys())

_leaves = st.sampled_from([SENTINEL, NUMBER, -NUMBER, NUMBER + 0.5, True, None, f"2026-{SENTINEL}", f"{NUMBER}"])
_keys = st.sampled_from([*KEYS, "value", "until", "id", "route", "percent", "status", "shout", "author", "unknown"])
_values = st.recursive(_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4))


def _outcome(data: bytes) -> Document | tuple[Fault, ...]:
    """What `parse` makes of it; any other exception is the test's failure."""
    try:
        return parse(data)
    except DocumentRejected as rejected:
        return rejected.faults


def _is_sound(outcome: Document | tuple[Fault, ...]) -> bool:
    if isinstance(outcome, Document):
        return bool(json.dumps(documents.shown(outcome)))
    return bool(outcome) and all(fault.code and fault.message for fault in outcome)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_rejected(data: bytes) -> None:
    assert _is_sound(_outcome(data))


@given(st.text(alphabet='{}[]",:\\u0123456789-+.eE \nNaInfitrule\ud800é', max_size=60))
def test_anything_like_json_is_a_document_or_rejected(text: str) -> None:
    assert _is_sound(_outcome(text.encode("utf-8", "surrogatepass")))


@given(
    st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), st.text() | st.integers() | st.floats(), max_size=4)
)
def test_any_object_is_a_document_or_rejected(values: dict[str, Any]) -> None:
    assert _is_sound(_outcome(json.dumps(values).encode()))


@given(st.dictionaries(_keys, _values, max_size=5))
def test_no_value_of_the_input_is_in_a_message(values: dict[str, Any]) -> None:
    outcome = _outcome(json.dumps(values).encode())
    shown = "" if isinstance(outcome, Document) else str([fault.as_dict() for fault in outcome])
    assert SENTINEL not in shown
    assert str(NUMBER) not in shown


@pytest.mark.parametrize(
    "broken", ['"S3NT1NEL', '{"a": S3NT1NEL}', '{"a": "S3NT1NEL\n"}', '{"a": "\\S3NT1NEL"}', "S3NT1NEL"]
)
def test_no_value_is_in_the_message_for_broken_json(broken: str) -> None:
    with pytest.raises(DocumentRejected) as caught:
        parse(broken.encode())
    assert SENTINEL not in str([fault.as_dict() for fault in caught.value.faults])
    assert SENTINEL not in str(caught.value)

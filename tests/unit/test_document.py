"""The live document: every fault is found and named by its pointer; revision, changes, timed values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hola.errors import DocumentRejected, Fault
from hola.live_config import document as documents
from hola.live_config.document import MOST_BYTES, MOST_DEPTH, MOST_FAULTS_SHOWN, parse, revision

SAMPLE = (Path(__file__).parents[2] / "config" / "config.json").read_bytes()


def faults_of(data: bytes) -> tuple[Fault, ...]:
    with pytest.raises(DocumentRejected) as caught:
        parse(data)
    return caught.value.faults


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "not_an_object"),
        (b"{}{}", "trailing_data"),
        (b'{"greeting":', "not_json"),
        (b'{"greeting": NaN}', "not_json"),
        (b'{"secrets_grace_seconds": ' + b"9" * 5000 + b"}", "not_json"),
        (b'{"greeting": "\xff"}', "not_utf8"),
        (b'{"greeting": "a", "greeting": "b"}', "duplicate_key"),
        (b'{"_meta": {"author": "a", "author": "b"}}', "duplicate_key"),
        (b'{"a": ' + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"}", "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b"{}" + b" " * MOST_BYTES, "too_large"),
    ],
)
def test_what_is_not_one_json_object_has_one_fault(data: bytes, code: str) -> None:
    (fault,) = faults_of(data)
    assert (fault.path, fault.code) == ("", code)


def test_brackets_inside_strings_are_no_depth() -> None:
    assert parse(json.dumps({"greeting": '[{\\"[' * 30}).encode()).greeting == '[{\\"[' * 30


@pytest.mark.parametrize(
    ("values", "path", "code"),
    [
        ({"colour": 1}, "/colour", "unknown_key"),
        ({"features": {"a/b~c": 1}}, "/features/a~1b~0c", "unknown_key"),
        ({"greeting": ""}, "/greeting", "string_too_short"),
        ({"greeting": 5}, "/greeting", "string_type"),
        ({"features": {"shout": "true"}}, "/features/shout", "bool_type"),
        ({"log_level": {"value": "loud"}}, "/log_level/value", "literal_error"),
        ({"log_level": {"value": "info", "until": "2026-12-01T00:00:00"}}, "/log_level/until", "value_error"),
        ({"trace_sample_ratio": {"value": 1.01}}, "/trace_sample_ratio/value", "less_than_equal"),
        ({"faults": [{"id": "a", "route": "/"}, {"id": "B", "route": "/"}]}, "/faults/1/id", "string_pattern_mismatch"),
        ({"faults": [{"id": "a", "route": "/", "delay_ms": 1}] * 2}, "/faults/1/id", "duplicate_id"),
        ({"faults": [{"id": "a", "route": "/", "status": 200}]}, "/faults/0/status", "greater_than_equal"),
    ],
)
def test_a_fault_is_named_by_its_pointer(values: dict[str, Any], path: str, code: str) -> None:
    (fault,) = faults_of(json.dumps(values).encode())
    assert (fault.path, fault.code) == (path, code)


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"log_level": "S3NT1NEL"}, "/log_level", 'write an object like {"value": "debug", "until": null}'),
        ({"log_level": None}, "/log_level", 'write an object like {"value": "debug", "until": null}'),
        ({"trace_sample_ratio": 0.25}, "/trace_sample_ratio", 'write an object like {"value": 0.1, "until": null}'),
        ({"features": "S3NT1NEL"}, "/features", "write an object; see `config schema` for its keys"),
        ({"faults": ["S3NT1NEL"]}, "/faults/0", "write an object; see `config schema` for its keys"),
        ({"_meta": {"rollout": 5}}, "/_meta/rollout", "write an object; see `config schema` for its keys"),
        ({"faults": {"id": "S3NT1NEL"}}, "/faults", "write an array"),
    ],
)
def test_a_value_in_an_objects_place_is_told_by_an_example(values: dict[str, Any], path: str, message: str) -> None:
    (fault,) = faults_of(json.dumps(values).encode())
    assert (fault.path, fault.message) == (path, message)


def test_the_schemas_examples_are_valid() -> None:
    examples = {key: told["examples"] for key, told in documents.schema()["properties"].items() if "examples" in told}
    assert set(examples) == {"log_level", "trace_sample_ratio"}
    for key, (example,) in examples.items():
        assert parse(json.dumps({key: example}).encode())


def test_infinity_by_a_large_exponent_is_rejected() -> None:
    assert faults_of(b'{"secrets_grace_seconds": 1e999}')[0].path == "/secrets_grace_seconds"


def test_all_faults_are_told_at_once_up_to_a_limit() -> None:
    assert [fault.path for fault in faults_of(b'{"greeting": 1, "x": 1, "y": 1}')] == ["/greeting", "/x", "/y"]
    assert len(faults_of(json.dumps({f"k{n}": 1 for n in range(100)}).encode())) == MOST_FAULTS_SHOWN


def test_the_sample_document_is_valid_and_fits_the_published_schema() -> None:
    document = parse(SAMPLE)
    Draft202012Validator.check_schema(documents.schema())
    Draft202012Validator(documents.schema()).validate(json.loads(SAMPLE))
    assert set(json.loads(SAMPLE)) == {
        key for key, source in documents.sources(document).items() if source == "document"
    }


def test_a_timed_value_ends_by_itself() -> None:
    document = parse(b'{"log_level": {"value": "debug", "until": "2026-12-01T01:00:00+01:00"}}')
    end = datetime(2026, 12, 1, tzinfo=UTC)
    assert document.log_level.at(end - timedelta(microseconds=1), "info") == "debug"
    assert document.log_level.at(end, "info") == "info"


def test_a_document_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(b"{}").greeting = "changed"  # type: ignore[misc]  # what a type checker refuses is the point


def test_the_revision_tells_contents_apart_and_nothing_else() -> None:
    assert revision(b"{}") == revision(b"{}") != revision(b"{} ")
    assert len(revision(b"{}")) == 12
    assert int(revision(b"{}"), 16)


def test_changes_are_named_by_pointer() -> None:
    old, new = parse(b'{"greeting": "a"}'), parse(b'{"greeting": "b", "features": {"shout": true}}')
    assert documents.changed(old, new) == ["/features/shout", "/greeting"]
    assert documents.changed(new, new) == []
    assert "/greeting" in documents.changed(None, new)


def test_where_json_breaks_is_told_in_one_sentence() -> None:
    with pytest.raises(DocumentRejected) as caught:
        parse(b'{"greeting": "a\n"}')
    assert [fault.message for fault in caught.value.faults] == ["invalid control character at line 1 column 16"]

"""The live document: its schema, its validation with every fault found, its revision, its redaction.

Pure functions of bytes: no file, no clock but for `until`, no state. What `parse` returns is
frozen and fully built, so it can be put in force by one assignment.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, NoReturn, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from hola.errors import DocumentRejected, Fault
from hola.live_config.fault_rules import FaultRule, wrong
from hola.live_config.parts import Part, Percent, Until

MOST_BYTES = 1 << 20
MOST_DEPTH = 20
MOST_COMMAS = 5000
MOST_FAULTS_SHOWN = 20

# A string, or what has begun as one: it always matches, so that none of its quotes is tried as a beginning;
# possessively, since 500 000 ways back would be remembered.
_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")

_MESSAGES = {  # where pydantic speaks of its own types
    "extra_forbidden": "unknown key; see `config schema` for those there are",
    "tuple_type": "write an array",
}

Value = TypeVar("Value")
Text = Annotated[str, StringConstraints(max_length=200)]
Level = Literal["debug", "info", "warning", "error", "critical"]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Timed(Part, Generic[Value]):
    """A value that ends by itself."""

    value: Value
    until: Until | None = Field(None, description="RFC 3339; then the default is back")

    def at(self, now: datetime, default: Value) -> Value:
        """The value in force at `now`."""
        return default if self.until and now >= self.until else self.value


class Features(Part):
    """Switches of the sample service."""

    shout: bool = Field(False, description="the greeting in capitals")


class Static(Part):
    """Settings that this document was written for. They come from the environment and change with a restart only."""

    workers: Annotated[int, Field(ge=1, le=64)] | None = Field(None, description="WEB_CONCURRENCY")
    threads: Annotated[int, Field(ge=1, le=256)] | None = Field(None, description="HOLA_THREADS")


class Rollout(Part):
    """Let only some pods take this document on, to try a change that is valid and may still be bad."""

    percent: Percent


class Meta(Part):
    """Who changed what, for the people who look later."""

    author: Text = "unknown"
    change: Text = ""
    at: Text = ""
    rollout: Rollout | None = None


class Document(Part):
    """What may change while hola runs. Every key is optional; unknown keys are rejected."""

    greeting: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "Hola!"
    log_level: Timed[Level] = Field(
        Timed[Level](value="info", until=None), examples=[{"value": "debug", "until": None}]
    )
    trace_sample_ratio: Timed[Ratio] | None = Field(
        None, description="default: OTEL_TRACES_SAMPLER's", examples=[{"value": 0.1, "until": None}]
    )
    features: Features = Features(shout=False)
    faults: Annotated[tuple[FaultRule, ...], Field(max_length=50, strict=False)] = ()
    secrets_grace_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 60.0
    static: Static = Field(Static(workers=None, threads=None), description="differences are reported, not applied")
    meta: Meta | None = Field(None, alias="_meta")


def parse(data: bytes) -> Document:
    """Validate the whole of `data` and build the document.

    Raises:
        DocumentRejected: with every fault's JSON pointer, kind and remedy; never a value.
    """
    values = _decode(data)
    if not isinstance(values, dict):
        _reject("", "not_an_object", "the document must be one JSON object")
    try:
        document = Document.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise DocumentRejected([_fault(detail) for detail in details][:MOST_FAULTS_SHOWN]) from None
    if faults := list(wrong(document.faults)):
        raise DocumentRejected(faults[:MOST_FAULTS_SHOWN])
    return document


def revision(data: bytes) -> str:
    """The first 12 hexadecimal digits of the content's SHA-256, name and length included."""
    digest = hashlib.sha256(b"config.json\0%d\0" % len(data))
    digest.update(data)
    return digest.hexdigest()[:12]


def schema() -> dict[str, Any]:
    """The document's JSON Schema (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Document.model_json_schema(by_alias=True)}


def shown(document: Document) -> dict[str, Any]:
    """The effective document as JSON values, defaults included. It holds no secrets by schema."""
    return document.model_dump(mode="json", by_alias=True)


def sources(document: Document) -> dict[str, str]:
    """Where each key comes from: the document, or the default in the code."""
    given = document.model_fields_set
    return {
        field.alias or name: "document" if name in given else "default" for name, field in Document.model_fields.items()
    }


def changed(old: Document | None, new: Document) -> list[str]:
    """JSON pointers of the top-level keys (and second-level ones of objects) that differ."""
    before = shown(old) if old else {}
    return sorted(_differences(before, shown(new), ""))


def restart_keys(old: Document | None, new: Document) -> list[str]:
    """JSON pointers of the keys under `static` that `new` asks for and `old` does not have so."""
    before = old.static.model_dump() if old else {}
    wanted = new.static.model_dump(exclude_none=True)
    return [f"/static/{key}" for key, value in wanted.items() if before.get(key) != value]


def takes_part(document: Document, pod: str) -> bool:
    """True if this pod is among those that a rollout lets take `document` on.

    By a hash of the pod's name alone, so that raising the percentage only ever adds pods.
    """
    rollout = document.meta.rollout if document.meta else None
    if rollout is None:
        return True
    bucket = int.from_bytes(hashlib.sha256(pod.encode()).digest()[:4]) % 10_000
    return bucket < rollout.percent * 100


def _differences(old: Any, new: Any, path: str) -> Iterable[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differences(old.get(key), new.get(key), f"{path}/{key}")
    elif old != new:
        yield path


def _decode(data: bytes) -> Any:
    if len(data) > MOST_BYTES:
        _reject("", "too_large", f"the document has {len(data)} bytes, the limit is {MOST_BYTES}")
    if not data.strip():
        _reject("", "empty", "the document is empty; write at least {}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _reject("", "not_utf8", f"the document is not UTF-8 at byte {error.start}")
    if text.count(",") > MOST_COMMAS:  # before anything is built: each value costs far more than its bytes
        _reject("", "too_many_values", f"more than {MOST_COMMAS} values")
    _check_depth(text)
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        kind = "trailing_data" if error.msg == "Extra data" else "not_json"
        what = error.msg.lower().removesuffix(" at")  # as some of them end
        _reject("", kind, f"{what} at line {error.lineno} column {error.colno}")
    except ValueError:  # an integer of more digits than Python converts
        _reject("", "not_json", "a number has too many digits")


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the recursive parser meets it. Brackets inside strings do not count."""
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MOST_DEPTH:
            _reject("", "too_deep", f"nested deeper than {MOST_DEPTH} levels")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        _reject("", "duplicate_key", "an object has the same key twice")
    return values


def _no_constant(name: str) -> NoReturn:
    _reject("", "not_json", f"{name} is not JSON")


def _fault(detail: Any) -> Fault:
    kind = detail["type"]
    location = [str(part).replace("~", "~0").replace("/", "~1")[:80] for part in detail["loc"]]
    message = _example(detail["loc"]) if kind == "model_type" else _MESSAGES.get(kind, detail["msg"])
    return Fault("/" + "/".join(location), "unknown_key" if kind == "extra_forbidden" else kind, message)


def _example(location: tuple[int | str, ...]) -> str:
    """What to write where an object belongs: the schema's example, never what was given."""
    key, *below = location
    field = None if below else Document.model_fields.get(str(key))
    if field and field.examples:
        return f"write an object like {json.dumps(field.examples[0])}"
    return "write an object; see `config schema` for its keys"


def _reject(path: str, code: str, message: str) -> NoReturn:
    raise DocumentRejected([Fault(path, code, message)])

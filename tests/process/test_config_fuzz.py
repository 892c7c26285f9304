"""Any bytes as the document: 240 of them, one after the other, while all routes are asked.

No answer is a 5xx, no worker dies, and the sentinel that is in every one of them is nowhere to be seen.
The documents are the same in every run (a seeded generator); tests/unit/test_document_hostile.py has 20 000 more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.process.hammer import Hammer
from tests.process.volume import all_run, numbered, pids, rename_into, told
from tests.support import Service, eventually

SENTINEL = "S3NT1NEL"
EACH = 40
OUTCOMES = ("config_applied", "config_rejected", "config_recovered", "config_held")
PATHS = ("/", "/config", "/config/status", "/config/history", "/metrics", "/readyz", "/headers", "/nowhere")
VALID: dict[str, Any] = {
    "greeting": "a",
    "log_level": {"value": "info", "until": "2030-01-01T00:00:00Z"},
    "faults": [{"id": "slow", "route": "/delay/{seconds}", "percent": 1, "delay_ms": 1, "status": 503}],
    "features": {"shout": True},
    "_meta": {"author": "ana"},
}
# What has broken parsers before, each in the place of a key's value or of the whole.
HOSTILE = [
    "NaN", "-Infinity", "1e999", "-0", "0x10", "1_000", "9" * 5000, "1e-400", '"\\ud800"', '"\\udfff\\ud800"',
    '"\\u0000"', '"\0"', '"\\x41"', "'a'", "[" * 10_000, "{" * 10_000, '{"":' * 5000, "[]" * 5000, "//a", "/*a*/1",
    "\ufeff1", "\u2028", "true false", '{"a":1,"a":2}', '{"__proto__":{}}', '{"": 0}', '{"\\ud800": 0}', "nul", "",
    '"' + "a" * 1_100_000 + '"', " " * 1_100_000, ",", '{"a":}', "[1,]", "+1", "1.", ".5", "[" + "0," * 60_000 + "0]",
    '"\\uD83D"', "\x1b[2J",
]  # fmt: skip
Maker = Callable[[random.Random, int], bytes]


def _random_bytes(chance: random.Random, number: int) -> bytes:
    return chance.randbytes(chance.randrange(1, 300)) + f'"{SENTINEL}{number}"'.encode()


def _mutated(chance: random.Random, number: int) -> bytes:
    """A valid document with an unknown key that holds the sentinel, a few bytes of it changed."""
    data = bytearray(_with_sentinel(number))
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(len(data))] = chance.choice(b'{}[]",:0\\\x00\xff eE-.ntfu')
    return bytes(data)


def _cut(chance: random.Random, number: int) -> bytes:
    data = _with_sentinel(number)
    return data[: chance.randrange(1, len(data))] + data[chance.randrange(len(data)) :]


def _hostile_value(_chance: random.Random, number: int) -> bytes:
    text = _with_sentinel(number).decode().replace('"a"', HOSTILE[number % len(HOSTILE)], 1)
    return text.encode("utf-8", "surrogatepass")


def _hostile_whole(_chance: random.Random, number: int) -> bytes:
    return f'{HOSTILE[number % len(HOSTILE)]}["{SENTINEL}{number}"]'.encode("utf-8", "surrogatepass")


def _wrong_types(chance: random.Random, number: int) -> bytes:
    leaves: list[Any] = [SENTINEL, [SENTINEL], {SENTINEL.lower(): SENTINEL}, None, True, -1, 1e300, 2**70, "", number]
    values = {key: chance.choice(leaves) for key in chance.sample(sorted(VALID), 3)}
    return json.dumps(VALID | values | {"api_token": SENTINEL, "number": number}).encode()


MAKERS: list[Maker] = [_random_bytes, _mutated, _cut, _hostile_value, _hostile_whole, _wrong_types]


def test_no_bytes_bring_it_down_or_a_secret_out(tmp_path: Path) -> None:
    """Rows 1, 25 and 28: whatever is written, the service goes on with the last good and tells no values."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api_token").write_text(SENTINEL)
    with Service(tmp_path, numbered(1)) as service:
        before, seen = pids(service.ready()), told(service, *OUTCOMES)
        with ExitStack() as stack:
            hammers = [stack.enter_context(Hammer(service, 1, path)) for path in PATHS]
            documents = list(_documents())
            for number, document in enumerate(documents, start=1):
                rename_into(service.config_dir, document)
                what = f"a word about {document[:80]!r}"
                eventually(lambda: told(service, *OUTCOMES) >= seen + number, what, 30)  # noqa: B023 - called at once
        service.put(numbered(2))
        eventually(lambda: all_run(service, 2), "a good document after all that", 10)
        answers = [answer for hammer in hammers for answer in hammer.answers]
        counts = {event: told(service, event) for event in OUTCOMES}
        print(f"{len(documents)} documents, {len(answers)} answers, {counts}")
        assert {answer.status for answer in answers} == {200, 401, 404}
        assert pids(service) == before
        assert told(service, "worker_exited", "config_watch_failed", "exception_uncaught", "request_failed") == 0
        kept = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
        assert SENTINEL.encode() not in kept + b"".join(service.raw) + b"".join(answer.body for answer in answers)


def _documents() -> Iterator[bytes]:
    """No two alike, so that each is news."""
    chance, made = random.Random(34), set[bytes]()
    for number in range(EACH):
        for make in MAKERS:
            document = make(chance, number)
            if document not in made:
                made.add(document)
                yield document


def _with_sentinel(number: int) -> bytes:
    return json.dumps(VALID | {"api_token": f"{SENTINEL}{number}"}).encode()

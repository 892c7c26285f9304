"""What must never be shown: values under telling keys, and credentials inside text.

`tree` also makes any value fit for a line: bounded in depth, without a call that could raise.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

MASK = "***"
MOST_CHARACTERS = 8192  # of one text; what is longer is cut before it is searched, so that time is bounded
MOST_CACHED = 256  # characters of a text that may come again: a path, a user agent, a key
MOST_DEPTH = 12
_WORD_BITS = 63

_WORDS = (
    r"authorization|cookie|password|passwd|secret|token|api[-_]?key|private[-_]?key|credential|session"
    r"|signature|x-amz-security|csrf"
)
_KEYS = re.compile(rf"{_WORDS}|otp$", re.IGNORECASE)
_OWN = re.compile(r"^/?secrets_(grace_seconds|dir)$")  # hola's own keys that hold no secret

# Inside text. What repeats without a bound has one way to match, so that time grows as the text's length does.
_BEFORE, _IS = r"(?<![\w-])[\w-]*?", r"(?:\\{0,4}[\"'])?\s{0,3}(?:[=:]|%3[ad])\s{0,3}"
_QUOTED = r"[\\\[({bru]{0,4}(?:\"(?:[^\"\\]|\\.)*+|'(?:[^'\\]|\\.)*+)"  # up to its closing quote
_SIGN = re.compile(r"(?i)[=:]|%3|bearer|basic|digest|AKIA|eyJ")  # without one there is nothing to mask: most texts
_TEXT = re.compile(
    r"(?is)\b(?:bearer|basic|digest)\s+[\w.~+/=-]{4,}"
    rf"|(?P<header>{_BEFORE}(?:authorization|cookie(?!=))[\w-]{{0,40}}{_IS})(?:{_QUOTED}|[^\r\n]+)"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^/\s@]{1,200}(?=@)"
    rf"|{_BEFORE}(?:(?:{_WORDS})[\w-]{{0,40}}|otp){_IS}(?:{_QUOTED}|[^\s\"'&,;}}]+)",
)


def is_telling(key: str) -> bool:
    """True if a value under this key must not be shown."""
    return _is_telling(key) if len(key) <= MOST_CACHED else _is_telling.__wrapped__(key)


def text(value: str) -> str:
    """`value` with key=secret pairs, JWTs, credentials of headers and URLs masked; at most 8192 characters of it."""
    return _text(value) if len(value) <= MOST_CACHED else _text.__wrapped__(value[:MOST_CHARACTERS])


@lru_cache(maxsize=4096)
def _is_telling(key: str) -> bool:
    return bool(_KEYS.search(key)) and not _OWN.match(key)


@lru_cache(maxsize=4096)
def _text(value: str) -> str:
    return _TEXT.sub(lambda found: (found["header"] or "") + MASK, value) if _SIGN.search(value) else value


def tree(value: Any, key: str = "", depth: int = 0) -> Any:
    """A copy of any value as JSON has them, with everything telling masked. Never raises."""
    if key and is_telling(key):
        return MASK
    if isinstance(value, dict | list | tuple):
        return _branch(value, depth) if depth < MOST_DEPTH else "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    return text(_shown(value))


def _branch(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return {_shown(key): tree(each, _shown(key), depth + 1) for key, each in value.items()}
    return [tree(each, "", depth + 1) for each in value]


def _number(value: float) -> Any:
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _WORD_BITS else f"an integer of {value.bit_length()} bits"
    return float(value) if math.isfinite(value) else str(value)


def _shown(value: Any) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - whatever an object does when it is asked for its name
        return f"<{type(value).__name__}>"

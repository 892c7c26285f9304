"""What must never be shown, and what must stay readable."""

from __future__ import annotations

import pytest

from hola.telemetry import redaction
from hola.telemetry.redaction import MASK

SECRET = "S3NT1NEL-value"


@pytest.mark.parametrize(
    "key",
    [
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "Set-Cookie",
        "password",
        "db_passwd",
        "client_secret",
        "X-Api-Key",
        "apikey",
        "private_key",
        "aws_session_token",
        "X-Amz-Signature",
        "credentials",
        "X-CSRF-Token",
        "otp",
    ],
)
def test_values_under_telling_keys_are_masked(key: str) -> None:
    assert redaction.tree({key: SECRET, "other": {key: [SECRET]}}) == {key: MASK, "other": {key: MASK}}
    assert redaction.tree(SECRET, key) == MASK


@pytest.mark.parametrize(
    "key", ["secrets_grace_seconds", "/secrets_grace_seconds", "secrets_dir", "author", "route", "user_agent"]
)
def test_keys_that_hold_no_secret_stay(key: str) -> None:
    assert redaction.tree({key: 60}) == {key: 60}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Authorization: Bearer {SECRET}", f"Authorization: {MASK}"),
        (f"basic {SECRET}==", MASK),
        (f"password={SECRET}&page=2", f"{MASK}&page=2"),
        (f'{{"token": "{SECRET}", "n": 1}}', f'{{"{MASK}", "n": 1}}'),
        (f"postgres://user:{SECRET}@db/hola", f"postgres://{MASK}@db/hola"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln here", f"got {MASK} here"),
        ("key AKIAIOSFODNN7EXAMPLE used", f"key {MASK} used"),
    ],
)
def test_credentials_inside_text_are_masked(text: str, shown: str) -> None:
    assert redaction.text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a plain greeting",
        "http://host:5000/path",
        "GET /tokens 200",
        "the password was wrong",
        "/secrets_grace_seconds",
        "¡Hola!",
    ],
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert redaction.text(text) == text


def test_a_tree_is_copied_and_not_changed() -> None:
    original = {
        "password": SECRET,
        "list": [{"token": SECRET}, f"token={SECRET}"],
        "tuple": (1, None, True),
        7: "seven",
    }
    copy = redaction.tree(original)
    assert copy == {"password": MASK, "list": [{"token": MASK}, MASK], "tuple": [1, None, True], "7": "seven"}
    assert original["password"] == SECRET

"""What must never be shown, and what must stay readable."""

from __future__ import annotations

import time

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
        (f"login with password='hunter2,{SECRET}' failed", f"login with {MASK}' failed"),
        (f'password="a {SECRET} b", n=1', f'{MASK}", n=1'),
        (f'token="a\\"{SECRET}" n=1', f'{MASK}" n=1'),
        (f"password=b'a {SECRET}' n=1", f"{MASK}' n=1"),
        (f"tokens: ['a {SECRET}'] n=1", f"{MASK}'] n=1"),
        (f"/k?X-Amz-Credential={SECRET}%2F2026&X-Amz-Signature={SECRET}&n=1", f"/k?{MASK}&{MASK}&n=1"),
        (f"client_secret%3D{SECRET}&n=1", f"{MASK}&n=1"),
        (f"sessionid={SECRET} n=1", f"{MASK} n=1"),
        (f"private_key={SECRET}", MASK),
        (f"otp: {SECRET}", MASK),
        (f"Authorization: ApiKey {SECRET}", f"Authorization: {MASK}"),
        (
            f"Authorization: AWS4-HMAC-SHA256 Credential=A, Signature={SECRET}\nHost: h",
            f"Authorization: {MASK}\nHost: h",
        ),
        (f"authorization=Bearer {SECRET}", f"authorization={MASK}"),
        (f"{{'Authorization': 'Custom {SECRET}', 'n': 1}}", f"{{'Authorization': {MASK}', 'n': 1}}"),
        (f"{{'cookie': 'a={SECRET}; b={SECRET}', 'n': 1}}", f"{{'cookie': {MASK}', 'n': 1}}"),
        (f'\\"x-cookie\\": [\\"a={SECRET}\\"]', f'\\"x-cookie\\": {MASK}'),
        (f"Set-Cookie: a=1; b={SECRET}\r\nHost: h", f"Set-Cookie: {MASK}\r\nHost: h"),
        (f"/?cookie={SECRET}&n=1", f"/?{MASK}&n=1"),
        (f'{{\\"token\\": \\"{SECRET}, {SECRET}\\"}}', f'{{\\"{MASK}'),
        (f"{'x' * 60}-token-{'y' * 30}={SECRET}", MASK),
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
        "Unable to locate credentials",
        "the session has expired, sign in again",
        "/secrets_grace_seconds",
        "¡Hola!",
    ],
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert redaction.text(text) == text


@pytest.mark.parametrize(
    "piece",
    ["token", "token ", "a-", "=", '"', "\\", "password=", "otp", "token='", "cookie: ", "'\\", "://", " ", "eyJ"],
)
def test_no_text_is_expensive(piece: str) -> None:
    began = time.thread_time()
    for ending in ("", "=x", "'", "@"):
        redaction.text(piece * (redaction.MOST_CHARACTERS // len(piece) - 1) + ending)
    assert time.thread_time() - began < 1


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

"""One key of Consul's key-value store: read it, and write it unless somebody else did in between.

Owns the conversation over HTTP and what each of Consul's answers means; what may be written is for
the caller to know. Nothing is tried twice, no redirect is followed (it would take the token along),
and every call ends within `ANSWER_SECONDS`. https://developer.hashicorp.com/consul/api-docs/kv
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urlsplit

import requests

from hola.errors import HolaError

ANSWER_SECONDS = 5.0
MOST_BYTES = 512 * 1024  # Consul's own limit of a value; a larger one is its 413
_MOST_ANSWER_BYTES = 1 << 20  # the largest value in base64, and room for what stands around it
_MOST_KEY_BYTES = 512

Found = TypeVar("Found")


class ConsulError(HolaError):
    """Consul was not asked, did not answer or said no. `written` is None if it may have written all the same."""

    code = "consul_failed"

    def __init__(self, message: str, written: bool | None = False) -> None:
        self.written = written
        super().__init__(
            message if written is False else f"{message}; it may be written all the same, push again to see"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands under a key. No such key: `value` is None and `index` 0."""

    value: bytes | None
    index: int


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    is_from_consul: bool
    body: bytes


class ConsulKey:
    """A key in the store of the agent at `address`.

    Args:
        address: `http://host:port`, `https://host:port` or, as Consul's own tools allow, `host:port`.
        token: of Consul's access control; sent as `X-Consul-Token` and never shown.

    Raises:
        ValueError: an address or a key that cannot be meant, with a message for people.
    """

    def __init__(self, address: str, key: str, token: str | None) -> None:
        self._base = _base_url(address)
        self._url = f"{self._base}/v1/kv/{quote(_checked_key(key))}"
        self._key = key
        self._token = token

    def read(self) -> Entry:
        """What stands there now. Raises `ConsulError`."""
        answer = self._ask("GET")
        if answer.status == 404 and answer.is_from_consul:
            return Entry(None, 0)
        if answer.status != 200:
            raise ConsulError(self._complaint(answer))
        try:
            [found] = json.loads(answer.body)
            return Entry(base64.b64decode(found["Value"] or "", validate=True), int(found["ModifyIndex"]))
        except (ValueError, LookupError, TypeError):
            raise ConsulError(f"{self._base} does not answer as Consul does") from None

    def write(self, value: bytes, index: int) -> None:
        """Write `value` if the key is still as `read` saw it with this `index`, else change nothing.

        Raises:
            ConsulError: also if somebody else wrote since.
        """
        if len(value) > MOST_BYTES:
            raise ConsulError(f"the document has {len(value)} bytes, Consul takes at most {MOST_BYTES} in a value")
        answer = self._ask("PUT", value, cas=index)
        said = answer.body.strip()
        if answer.status != 200:
            raise ConsulError(self._complaint(answer), None if answer.status >= 500 else False)
        if said == b"false":
            raise ConsulError(f"somebody else wrote {self._key} in between: look at what is there now, then push again")
        if said != b"true":
            raise ConsulError(f"{self._base} does not answer as Consul does", None)

    def _ask(self, method: str, data: bytes | None = None, **query: int) -> _Answer:
        try:
            return _within(ANSWER_SECONDS, lambda: self._send(method, data, query))
        except TimeoutError:
            reason = f"no answer within {ANSWER_SECONDS:g} s"
        except requests.RequestException as error:
            reason = _innermost(error)
        raise ConsulError(f"{self._base}: {reason}", None if method == "PUT" else False)

    def _send(self, method: str, data: bytes | None, query: dict[str, int]) -> _Answer:
        headers = {"X-Consul-Token": self._token} if self._token else {}
        with requests.Session() as session:
            session.trust_env = False  # neither a proxy nor a .netrc is meant for this
            with session.request(
                method,
                self._url,
                params=query,
                data=data,
                headers=headers,
                timeout=ANSWER_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = b""
                for piece in response.iter_content(65536):
                    body += piece
                    if len(body) > _MOST_ANSWER_BYTES:
                        break
                return _Answer(response.status_code, "X-Consul-Index" in response.headers, body)

    def _complaint(self, answer: _Answer) -> str:
        if answer.status == 403:
            return f"{self._base} refuses {self._key}: CONSUL_HTTP_TOKEN is missing or may not do this (403)"
        if answer.status == 413:
            return f"{self._base} finds the document too large (413)"
        text = " ".join(answer.body[:200].decode("utf-8", "replace").split())
        told = f": {text.replace(self._token, '***') if self._token else text}" if answer.status >= 500 else ""
        return f"{self._base} answers {answer.status}, as Consul should not{told}"


def _within(seconds: float, call: Callable[[], Found]) -> Found:
    """Call in a thread that may be left behind: a name's look-up and a dripping answer know no timeout of their own.

    Raises:
        TimeoutError: what `call` does took longer.
    """
    outcome: Future[Found] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, name="consul", daemon=True).start()
    return outcome.result(seconds)


def _innermost(error: BaseException) -> str:
    """Why it failed, without the layers that the libraries put around it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(getattr(error, "strerror", None) or error or type(error).__name__).lower()[:200]


def _base_url(address: str) -> str:
    url = urlsplit(address if "://" in address else f"http://{address}")
    try:
        is_meant = url.scheme in ("http", "https") and url.hostname and url.port != 0 and address.isprintable()
    except ValueError:  # a port that is no number
        is_meant = False
    if not is_meant or "@" in url.netloc or url.query or url.fragment:
        raise ValueError("Consul's address must be like http://127.0.0.1:8500, without a user, a query or a fragment")
    return url.geturl().rstrip("/")


def _checked_key(key: str) -> str:
    """`key`, unless a server or a library on the way would make another path of it, as of `a/../b`."""
    parts = key.split("/")
    if not key.isprintable() or {"", ".", ".."} & set(parts) or len(key.encode()) > _MOST_KEY_BYTES:
        raise ValueError(f"the key must be like hola/config.json: no / at its ends, no empty part, no dots: {key!r}")
    return key

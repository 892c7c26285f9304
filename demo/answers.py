"""One request and its answer. Every request has a connection of its own, so that any worker may take it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end. `seconds` is what it took from the connection on."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Raises `OSError` or `http.client.HTTPException` if there is no answer."""
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.netloc, timeout=PATIENCE_SECONDS)
    started = time.monotonic()
    try:
        connection.request(method, f"{place.path or '/'}?{place.query}".rstrip("?"), body, dict(headers or {}))
        response = connection.getresponse()
        content = response.read()
        return Answer(response.status, dict(response.getheaders()), content, time.monotonic() - started)
    finally:
        connection.close()

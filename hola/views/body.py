"""The request's body, read so that a client's fault is a client error and not a crash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from werkzeug.exceptions import BadRequest, RequestTimeout


class Body:
    """Stands before `wsgi.input`: what reading raises there is the client's doing (PEP 3333 input stream)."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        return self._try(self._stream.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._try(self._stream.readline, size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _try(self, read: Any, size: int) -> bytes:
        try:
            data: bytes = read(size)
        except (TimeoutError, BlockingIOError):
            raise RequestTimeout("the body did not arrive in time") from None
        except Exception:  # noqa: BLE001 - bad chunks, lost connections: each server has its own kinds
            raise BadRequest("the body cannot be read") from None
        return data

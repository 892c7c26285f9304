"""gunicorn's response, sent in one piece: the head together with the first bytes of the body.

gunicorn sends them one after the other, which is two system calls, two packets and two wake-ups of the client.
And it examines each header of each response, though nearly all are the same as before.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Any

from gunicorn.http import wsgi

MOST_JOINED_BYTES = 64 * 1024  # what is longer is not copied for it
MOST_KNOWN_HEADERS = 256


class _Gathering:
    """Stands for the socket: keeps what is sent until `flush`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""

    def sendall(self, data: bytes) -> None:
        if len(data) > MOST_JOINED_BYTES:
            self.flush()
            self._sock.sendall(data)
        else:
            self._held += data

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self.flush()
        return self._sock.sendfile(file, offset, count)

    def flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._sock.sendall(data)


class Response(wsgi.Response):
    """Whatever the application yields leaves at once; a head waits for it no longer than that."""

    sock: _Gathering
    response_length: int | None
    upgrade: bool

    def __init__(self, req: Any, sock: socket.socket, cfg: Any) -> None:
        super().__init__(req, _Gathering(sock), cfg)

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            found = _examined(name, value)
            self.headers.extend(found.headers)
            if found.response_length is not None:
                self.response_length = found.response_length
            self.upgrade |= found.upgrade

    def write(self, arg: bytes) -> None:
        super().write(arg)
        self.sock.flush()

    def write_file(self, respiter: Any) -> None:
        super().write_file(respiter)
        self.sock.flush()

    def close(self) -> None:
        super().close()
        self.sock.flush()


class _Examined:
    """What gunicorn makes of one header: as much of a response as that touches."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.response_length: int | None = None
        self.upgrade = False


@lru_cache(MOST_KNOWN_HEADERS)
def _examined(name: str, value: str) -> _Examined:
    """By gunicorn's own rules, and with its errors, which are not kept."""
    found = _Examined()
    wsgi.Response.process_headers(found, [(name, value)])
    return found

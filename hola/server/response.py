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
PIECE_BYTES = 64 * 1024  # for so much a client has its time
MOST_KNOWN_HEADERS = 256


class Outflow:
    """Stands for the socket: keeps what is sent until `flush`, and knows for how long the client has not taken it.

    A socket's own timeout begins again with each byte that the client takes. So the main loop looks how long
    a thread has been sending, which costs the thread neither a look at the clock nor a system call.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""
        self.is_sending = False
        self._sent_bytes = self._seen_bytes = 0
        self._waited_seconds = 0.0

    def sendall(self, data: bytes) -> None:
        if len(data) > MOST_JOINED_BYTES:
            self.flush()
            pieces = memoryview(data)
            for start in range(0, len(data), PIECE_BYTES):
                self._send(pieces[start : start + PIECE_BYTES])
        else:
            self._held += data

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self.flush()
        self.is_sending = True
        sent = self._sock.sendfile(file, offset, count)
        self.is_sending = False
        return sent

    def flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._send(data)

    def _send(self, data: bytes | memoryview) -> None:
        self.is_sending = True
        self._sock.sendall(data)
        self.is_sending = False
        self._sent_bytes += len(data)

    def wait(self, seconds: float) -> float:
        """It was found sending, so much after the look before; returns for how long at this piece. In the main loop."""
        if self._sent_bytes - self._seen_bytes >= PIECE_BYTES:
            self._seen_bytes, self._waited_seconds = self._sent_bytes, 0.0
        self._waited_seconds += seconds
        return self._waited_seconds


class Response(wsgi.Response):
    """Whatever the application yields leaves at once; a head waits for it no longer than that."""

    sock: Outflow
    response_length: int | None
    upgrade: bool

    def __init__(self, req: Any, sock: socket.socket, cfg: Any) -> None:
        super().__init__(req, Outflow(sock), cfg)

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

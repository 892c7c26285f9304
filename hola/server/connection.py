"""One client's connection: what it has sent of its next request, and until when it may take its time.

A thread gets the connection only when a whole request has arrived, and gives it back when that is answered.
What runs in the main loop never blocks: it receives and sends without waiting, whatever mode the socket is in.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import TConn

from hola.server.framing import Framing, Stage, is_operational
from hola.settings import Settings

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RECEIVE_BYTES = 64 * 1024
LINGER_SECONDS = 2.0  # RFC 9112 section 9.6: read on for a moment after the last answer, then close
LINGER_BYTES = 32 << 20  # a client that hears nothing before it has sent its whole upload shall hear why it is refused
MOST_THROWN_PIECES = 16  # at once, so that a fast sender leaves the main loop to others


class Received(Unreader):
    """What a parser reads from: all that there will be is there. A thread waits for no client's bytes."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        return b""


class Connection(TConn):
    """gunicorn's connection with a buffer in front of its parser."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any, settings: Settings) -> None:
        super().__init__(cfg, sock, client, server)
        self.descriptor = sock.fileno()
        self.on_readable: Callable[[], None]  # its place in the poller, the worker's to set
        self.received = bytearray()
        self.framing = Framing(settings.max_body_bytes)
        self.stage = Stage.IDLE
        self.deadline = 0.0
        self.body_until = 0.0
        self.queued_at = 0.0
        self.is_first = True
        self.is_urgent = False
        self.outflow: Any = None  # of the latest response
        # A thread has to read where bytes tell the main loop too little: encrypted, or a binary header before them.
        self.reads_socket = cfg.is_ssl or cfg.proxy_protocol != "off"
        self._lingered = 0
        patience = settings.request_head_seconds
        # For what the main loop does not time: what a thread reads, and sends that is no response.
        for option, seconds in ((socket.SO_RCVTIMEO, patience), (socket.SO_SNDTIMEO, patience + 1)):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))

    def receive(self) -> bool:
        """Take what has arrived and find out the stage; False if the client is gone."""
        if self.cfg.is_ssl:  # encrypted bytes tell nothing: the thread has to read them
            self.stage = Stage.COMPLETE
            return True
        try:
            data = self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            self.received += data
            self.stage = self.framing.stage(self.received)
        elif self.stage is Stage.BODY:
            self.stage = Stage.CUT_OFF
        else:
            return False
        return True

    def send_continue(self) -> None:
        """Tell a client that waits for it to go on with the body (RFC 9110 section 10.1.1). Without waiting."""
        self.framing.awaits_continue = False
        with suppress(OSError):
            self.sock.send(CONTINUE, socket.MSG_DONTWAIT)

    def hand_over(self) -> None:
        """Give the parser what was received. In the thread that serves the request."""
        self.init()
        self.data_ready = True
        if self.received:
            if self.is_first and not self.reads_socket:
                self.parser.unreader = Received()
            self.parser.unreader.unread(bytes(self.received))
            self.received.clear()

    def await_next(self) -> bool:
        """Get ready for the next request; what the parser read ahead of it comes back. In the thread, too; True."""
        self.is_first = False
        self.received += self.parser.unreader.take_buffered()
        self.framing.next()
        self.stage = self.framing.stage(self.received)
        return True

    @property
    def is_operational(self) -> bool:
        return is_operational(self.received)

    def cut_off(self) -> None:
        """Let a thread that sends fail at once."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def half_close(self) -> bool:
        """Say that nothing more will come; True if the client is gone too, so that all is done."""
        self.sock.setblocking(False)
        self.deadline = time.monotonic() + LINGER_SECONDS
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return True
        return self.has_left()

    def has_left(self) -> bool:
        """Throw away what still comes; True at the client's end, or when it has sent too much."""
        try:
            for _ in range(MOST_THROWN_PIECES):
                self._lingered += (taken := len(self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)))
                if not taken or self._lingered > LINGER_BYTES:
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

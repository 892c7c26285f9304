"""One request in a thread of the worker: from the parsed head to the last byte, or to the refusal.

Overrides gthread's `handle_request`, `_keepalive_after` and `handle_error`; what is around them, parsing included,
stays gunicorn's.
"""

from __future__ import annotations

from typing import Any

from gunicorn.http import wsgi

from hola.server import rejection
from hola.server.connection import Connection
from hola.server.framing import Stage
from hola.server.response import Response
from hola.server.signals import SignalledWorker

URGENT_SECONDS = 0.2  # for sending what all probes and scrapes have one thread for: the next one waits no longer


class AnsweringWorker(SignalledWorker):
    """What a worker does with a request once it has it."""

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer one request; True if the connection may be kept. gthread's own, but for hola's `Response`."""
        self.cfg.pre_request(self, req)
        if not conn.reads_socket:
            req._expected_100_continue = False  # noqa: SLF001 - the main loop has said it, or waits for no body
        response, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg, response_class=Response)
        environ["wsgi.multithread"] = True
        conn.outflow = response.sock
        self._count_request()
        is_last = not self.alive or not self.cfg.keepalive or self.nr_conns > self.max_keepalived
        if is_last or conn.stage is Stage.UNREAD:
            response.force_close()
        if conn.is_urgent:
            conn.sock.settimeout(URGENT_SECONDS)
        try:
            self._answer(response, environ)
        except OSError:
            return False  # the client has left, which the request's own line says
        except Exception:
            if not response.headers_sent:
                raise
            self.log.exception("Error handling request")  # nothing can be said in a response that has begun
            return False
        finally:
            if conn.is_urgent:
                conn.sock.settimeout(None)
            self.cfg.post_request(self, req, environ, response)
        return not response.should_close()

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """gthread's own, but a body that nobody read and that turns out to be malformed is no second answer."""
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except Exception:  # noqa: BLE001 - each kind of malformed body has its own
            return False

    def _count_request(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False

    def _answer(self, response: Response, environ: dict[str, Any]) -> None:
        body = self.wsgi(environ, response.start_response)
        try:
            if isinstance(body, environ["wsgi.file_wrapper"]):
                response.write_file(body)
            else:
                for chunk in body:
                    response.write(chunk)
            response.close()
        finally:
            body.close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        if (refused := rejection.refusal(exc)) is None:
            super().handle_error(req, client, addr, exc)
        else:
            self._refuse(client, addr, *refused)

    def _refuse(self, client: Any, address: Any, status: int, reason: str) -> None:
        client.setblocking(False)  # a refusal waits for nobody
        self.wsgi.count_rejected(reason)
        rejection.answer(client, address, status, reason)

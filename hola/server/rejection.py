"""What gunicorn refuses before the application sees it: one line, one count, one problem body each."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from gunicorn import util
from gunicorn.http import errors

from hola.server.framing import Stage
from hola.telemetry.logs import get_logger

# Ordered: a subclass stands before its base. Each exception's status and the word it is counted under.
_REFUSALS: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "line_too_long"),
    (errors.LimitRequestHeaders, 431, "headers_too_large"),
    (errors.UnsupportedTransferCoding, 501, "transfer_coding"),
    (errors.ExpectationFailed, 417, "expectation"),
    (errors.ForbiddenProxyRequest, 403, "proxy"),
    (errors.InvalidProxyLine, 400, "proxy"),
    (errors.InvalidSchemeHeaders, 400, "scheme_headers"),
    (errors.ConfigurationProblem, 400, "script_name"),
    (errors.InvalidRequestLine, 400, "request_line"),
    (errors.InvalidRequestMethod, 400, "method"),
    (errors.InvalidHTTPVersion, 400, "http_version"),
    (errors.ObsoleteFolding, 400, "header"),
    (errors.InvalidHeaderName, 400, "header"),
    (errors.InvalidHeader, 400, "header"),
    (errors.ChunkMissingTerminator, 400, "body"),
    (errors.InvalidChunkExtension, 400, "body"),
    (errors.InvalidChunkSize, 400, "body"),
)

# What the main loop refuses, by how far the request has come.
STAGES = {
    Stage.LARGE_HEAD: (431, "headers_too_large"),
    Stage.LARGE_BODY: (413, "body_too_large"),
    Stage.CUT_OFF: (400, "body"),
}

_log = get_logger("hola.server")


def refusal(error: BaseException) -> tuple[int, str] | None:
    """(status, reason) if the client is to blame for `error`, else None."""
    for kind, status, reason in _REFUSALS:
        if isinstance(error, kind):
            return status, reason
    return None


def answer(client: Any, address: Any, status: int, reason: str) -> None:
    """Log the refusal and tell the client, if it still listens. The request's bytes are not shown."""
    _log.warning("request_rejected", status=status, reason=reason, client=address[0] if address else "")
    title = HTTPStatus(status).phrase
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": reason.replace("_", " ")})
    head = (
        f"HTTP/1.1 {status} {title}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        util.write(client, head.encode("ascii") + body)
    except OSError:
        _log.debug("request_refusal_unsent", status=status, reason=reason)

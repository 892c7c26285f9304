"""Whether the service may listen where it is to, asked before gunicorn says eleven times that it may not."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

from hola.errors import Fault
from hola.settings import Settings

PATIENCE_SECONDS = 5.0  # gunicorn's own: whoever stops here just now leaves the port in that time
PAUSE_SECONDS = 0.1  # between two tries: a port that is free again tells nobody
_INHERITED = ("GUNICORN_FD", "LISTEN_FDS")  # of the master before, or of systemd


def unusable(addresses: Iterable[Any], settings: Settings, environ: Mapping[str, str]) -> list[Fault]:
    """A fault for each address of gunicorn's configuration that cannot be bound, by whatever setting it came from."""
    if any(name in environ for name in _INHERITED):
        return []
    names = {settings.port: "PORT", settings.metrics_port: "HOLA_METRICS_PORT"}
    until = time.monotonic() + PATIENCE_SECONDS
    return [
        Fault(names.get(address[1], "GUNICORN_CMD_ARGS"), "unusable", f"port {address[1]} on {address[0]}: {why}")
        for address in addresses
        if isinstance(address, tuple) and address[1] and (why := _why_not(address, until))
    ]


def _why_not(address: Any, until: float) -> str:
    """Why it cannot be bound, after a while in which that may change; "" if it can."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    while True:
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if isinstance(error, PermissionError) or time.monotonic() > until:
                return os.strerror(error.errno or 0).lower() + "; stop what listens there, or choose another"
        else:
            return ""
        time.sleep(PAUSE_SECONDS)

"""HAProxy in front of services, obeying their readiness; and clients that count what goes wrong."""

from __future__ import annotations

import http.client
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support import eventually, free_port

CONFIG = """
global
  maxconn 2000
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  retries 0
frontend front
  bind 127.0.0.1:{front}
  default_backend hola
backend hola
  balance roundrobin
  option httpchk GET /readyz
  default-server check inter 100ms fall 1 rise 1
{servers}
"""


@contextmanager
def balancing(directory: Path, ports: Sequence[int]) -> Iterator[int]:
    """HAProxy over services on these ports, without retries; its own port."""
    front = free_port()
    servers = "\n".join(f"  server s{port} 127.0.0.1:{port}" for port in ports)
    config = directory / "haproxy.cfg"
    config.write_text(CONFIG.format(front=front, servers=servers))
    process = subprocess.Popen(["haproxy", "-f", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _status(front) == 200, "the balancer to find a ready service", 20)
        yield front
    finally:
        process.terminate()
        process.wait(10)


class Load:
    """Clients in a closed loop, half of them keeping their connections; a context manager."""

    def __init__(self, port: int, clients: int = 8, path: str = "/") -> None:
        self.port = port
        self.path = path
        self.answered = 0
        self.failures: list[str] = []
        self.slowest = 0.0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n % 2 == 0,), daemon=True) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(35)

    def _run(self, keeps: bool) -> None:
        connection = None
        while not self._over.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            started = time.monotonic()
            try:
                connection.request("GET", self.path, headers={} if keeps else {"Connection": "close"})
                response = connection.getresponse()
                response.read()
                self._note("" if response.status == 200 else f"status {response.status}", started)
                is_kept = keeps and response.headers.get("Connection", "").lower() != "close"
            except (OSError, http.client.HTTPException) as error:
                self._note(f"{type(error).__name__}: {error}", started)
                is_kept = False
            if not is_kept:
                connection.close()
                connection = None
            self._over.wait(0.005)

    def _note(self, failure: str, started: float) -> None:
        with self._lock:
            self.answered += not failure
            self.failures += [failure] if failure else []
            self.slowest = max(self.slowest, time.monotonic() - started)


def _status(port: int) -> int:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/livez")
        return connection.getresponse().status
    except OSError:
        return 0

"""What the steps do things to: a hola, and a way to change its document. bare.py and stack.py are the two kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[1]
Json = dict[str, Any]


class NotShown(Exception):
    """A step did not show what it promised; the message says what is missing."""


class Skipped(Exception):
    """This target has no such thing to show; the message says why, and how to see it all the same."""


class Target(Protocol):
    """A running hola."""

    @property
    def url(self) -> str: ...

    @property
    def opening(self) -> str:
        """Whether it is started now or runs already, for a person."""

    @property
    def log(self) -> str:
        """Where its lines are, for a person."""

    def publish(self, document: Json) -> None:
        """Put a valid document where hola finds it."""

    def slip_in(self, text: str) -> str:
        """Put `text`, which is no valid document, there all the same; say how."""

    def kill(self, pid: int) -> None:
        """SIGKILL to a worker, or `Skipped`."""

    def terminate(self) -> None:
        """SIGTERM to the master, or `Skipped`."""

    def account(self) -> tuple[int, Json]:
        """Wait for its end: the exit code and the event `server_stopped`."""

    def alert(self, name: str) -> str | None:
        """What Prometheus says of an alert: inactive, pending or firing. None if there is none to ask."""

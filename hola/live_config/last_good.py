"""The last known good document on disk, for the next boot. Best effort, and never a secret."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from hola.telemetry.logs import get_logger

_log = get_logger("hola.config")


class LastGood:
    """One file in a writable directory, replaced as a whole. Any process may write; the last one wins."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "last-known-good.json"

    def read(self) -> bytes | None:
        """The document kept by an earlier life, or None."""
        try:
            return self.path.read_bytes()
        except OSError:
            return None

    def save(self, data: bytes) -> None:
        """Keep `data`; on a read-only or full disk say so and go on."""
        new = self.path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")  # several may save at once
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(data)
            new.replace(self.path)
        except OSError as error:
            _log.warning("config_not_saved", path=str(self.path), reason=str(error.strerror).lower())

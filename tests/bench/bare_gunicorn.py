"""The one thing that gunicorn's own settings do not tell: that a worker is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def post_worker_init(worker: Any) -> None:
    """A file a ready worker, where the service runs."""
    Path(f"ready-{worker.pid}").touch()

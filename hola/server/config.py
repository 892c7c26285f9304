"""gunicorn's configuration as a worker reads it: each setting is looked up once.

gunicorn looks a dozen and a half of them up for each request, each by a call through three layers, which takes longer
than what hola counts, logs and traces of the request together with its context.
"""

from __future__ import annotations

from typing import Any

from gunicorn.config import Config


class WorkerConfig(Config):
    """Nothing sets a setting in a worker: a reload makes new workers."""

    def __getattr__(self, name: str) -> Any:
        """Called for what is no attribute yet; from then on it is one."""
        value = self.__dict__[name] = super().__getattr__(name)
        return value

"""gunicorn's logger, brought to the one formatter. Requests are logged by the request's telemetry."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger


class GunicornLogger(Logger):
    """Lets gunicorn's records go up to the root logger, whose handler writes JSON lines.

    `setup` runs again at every reload, so it must be idempotent.
    """

    def setup(self, cfg: Any) -> None:
        self.loglevel = self.LOG_LEVELS[cfg.loglevel.lower()]
        self.error_log.setLevel(self.loglevel)
        self.error_log.propagate = True
        self.error_log.handlers.clear()
        self._access_log_enabled = False

    def access(self, *args: Any) -> None:
        """Nothing: it knows neither the trace nor the route."""

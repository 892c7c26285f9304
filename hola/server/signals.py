"""What signals do to a worker: its own end, and nothing where one was meant for the master."""

from __future__ import annotations

import signal
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# What a master sends, or a person by mistake. The master blocks them while it forks, so that none is lost.
SENT = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class SignalledWorker(ThreadWorker):
    """TERM is gthread's own way to finish and go."""

    def init_signals(self) -> None:
        """HUP and USR2 are the master's; one that hits a worker by mistake must not kill it."""
        super().init_signals()
        for number in (signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, lambda number, frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SENT)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Quick stop. gthread's own takes the pool's lock in a signal handler, and the main loop may hold it."""
        super(ThreadWorker, self).handle_quit(sig, frame)

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """The master passes USR1 on: look at the live configuration now. A worker that boots will look anyway."""
        if self.booted:
            self.wsgi.nudge()

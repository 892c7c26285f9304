"""What the thread that serves a request knows of it beside the request: how long it waited, what it used.

A file of its own, since the worker class is loaded in the master, which should not have to load
the libraries of traces and metrics for it.
"""

import threading
import time
from contextvars import ContextVar

queue_seconds: ContextVar[float | None] = ContextVar("queue_seconds", default=None)
"""How long the request waited for a thread; None where nobody measured."""


class _Thread(threading.local):
    used = 0.0  # CPU time when it was done with the request before


_thread = _Thread()


def used_cpu_seconds() -> float:
    """CPU time of the calling thread for the request that it ends now: all since it ended the one before.

    So the server's own work on a request counts, too, and the clock, a system call, is read once.
    """
    before, _thread.used = _thread.used, time.thread_time()
    return _thread.used - before

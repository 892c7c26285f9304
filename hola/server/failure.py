"""What must not happen in a thread or in a worker's main loop, and does not end it: told, and gone on."""

import sys
import threading


def tell() -> None:
    """Tell of the exception that is being handled as one that nobody caught."""
    threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), threading.current_thread()]))

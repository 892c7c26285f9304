"""The only way to wait: for something to become true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from demo.target import NotShown

PAUSE_SECONDS = 0.05  # between two looks at something that tells nobody when it comes
Found = TypeVar("Found")


def until(
    check: Callable[[], Found | None], what: str, within_seconds: float, meanwhile: Callable[[], object] = lambda: None
) -> Found:
    """The first truthy answer of `check`; `meanwhile` is called between two looks.

    Raises:
        NotShown: there was none in time.
    """
    deadline = time.monotonic() + within_seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            raise NotShown(f"not within {within_seconds:g} s: {what}")
        meanwhile()
        time.sleep(PAUSE_SECONDS)
    return found

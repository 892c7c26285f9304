"""What every lab test asks first: is the real component that it needs on this machine?"""

from __future__ import annotations

import os
import shutil

import pytest


def require_part(name: str, present: bool) -> None:
    """Skip the calling test unless `name` is `present`; where `CI` is `true` nothing may stay untested, so fail it."""
    if present:
        return
    message = f"{name} is missing: as root, `make lab-setup` installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture
def chromium() -> str:
    """The browser's program; without one the test is skipped before anything is started."""
    program = shutil.which("chromium") or ""
    require_part("chromium", bool(program))
    return program

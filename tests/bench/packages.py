"""Virtual environments of their own for what is measured: exactly the locked packages, none of the tests' tools.

`python -m tests.bench.packages LOCKED` makes one and prints its interpreter.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

_PLACE = ROOT / ".venv-bench"


def python_with(locked: Path) -> Path | None:
    """The interpreter that has the packages of a hash-locked list; None if they cannot be had, and pip has said why."""
    place = _PLACE / f"{locked.stem}-{hashlib.sha256(locked.read_bytes()).hexdigest()[:12]}"
    program, mark = place / "bin" / "python", place / "complete"
    install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:", "-r", str(locked)]
    if not mark.exists():
        _PLACE.mkdir(exist_ok=True)
        (_PLACE / ".gitignore").write_text("*\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        if subprocess.run([program, *install], check=False).returncode != 0:
            return None
        mark.touch()
    return program


if __name__ == "__main__":
    found = python_with(ROOT / sys.argv[1])
    sys.exit("its packages could not be installed" if found is None else print(found))

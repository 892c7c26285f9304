"""The directory of metric files: made at start, owned by one master and its successors, gone with the last."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

from hola.errors import Fault, SettingsError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - memory, so that counting never waits for a disk
_LOCK = ".lock"
_OWN_NAME = re.compile(r"hola-\d+")


class MetricsDir:
    """Wiped at start, but not by the second master of a USR2, which counts on in the same files.

    Args:
        given: PROMETHEUS_MULTIPROC_DIR, or None for a directory of our own.

    Raises:
        SettingsError: it cannot be written, or a living service owns it.
    """

    def __init__(self, given: Path | None, is_successor: bool) -> None:
        self.path = given or _base() / f"hola-{os.getpid()}"
        self._is_own = given is None or (
            is_successor and given.parent == _base() and _OWN_NAME.fullmatch(given.name) is not None
        )
        self._lock: int | None = None
        if is_successor:
            self.hold()
            return
        if self._is_own:
            _remove_orphans(self.path.parent)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.path)
            for file in (*self.path.glob("*.db"), *self.path.glob("exemplar_*.bin")):
                file.unlink()
            fcntl.lockf(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # the same lock, for successors to share
        except BlockingIOError:
            raise _fault(self.path, "in_use", "belongs to another running service") from None
        except OSError as error:
            raise _fault(self.path, "unwritable", str(error.strerror).lower()) from None

    @classmethod
    def imagined(cls) -> Self:
        """One that is nowhere, for a configuration that is only looked at."""
        directory = cls.__new__(cls)
        directory.path, directory._is_own = Path("/nonexistent"), False  # noqa: SLF001 - its own class
        return directory

    def hold(self) -> None:
        """Own it together with the master before, so that nobody takes it for an orphan when that one is gone.

        Called again then, since an older hola shares its lock with nobody.
        """
        if self._lock is None:
            with suppress(OSError):
                self._lock = _lock(self.path, fcntl.LOCK_SH)

    def remove(self) -> None:
        """Leave nothing behind, unless somebody else gave the directory."""
        if self._is_own:
            shutil.rmtree(self.path, ignore_errors=True)


def _base() -> Path:
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def _is_ours(path: Path) -> bool:
    """True for a directory that hola made for itself, by its place and name."""
    return path.parent == _base() and _OWN_NAME.fullmatch(path.name) is not None


def _lock(directory: Path, kind: int = fcntl.LOCK_EX) -> int:
    """Hold the directory until this process ends; no worker holds it, since such a lock stays behind at a fork."""
    fd = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _remove_orphans(base: Path) -> None:
    """Remove what masters that were killed left behind."""
    for lock in base.glob(f"hola-*/{_LOCK}"):
        if _OWN_NAME.fullmatch(lock.parent.name):  # nobody else's, whatever it is called
            with suppress(OSError):
                os.close(_lock(lock.parent))
                shutil.rmtree(lock.parent, ignore_errors=True)


def _fault(path: Path, code: str, message: str) -> SettingsError:
    return SettingsError([Fault("PROMETHEUS_MULTIPROC_DIR", code, f"{path}: {message}")])

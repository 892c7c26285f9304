"""Every exception that hola raises on purpose.

HolaError
├── SettingsError        the environment is wrong: nothing may start (exit 78)
├── DocumentRejected     a live document has faults: what runs goes on running
├── SourceUnreadable     the mounted directory cannot be read just now: try again
├── LockTimeout          another process holds the scoreboard's lock for too long
├── FaultInjected        a fault of the live document wants this request to fail (500)
└── Unavailable          this process cannot answer yet (503)

Imports nothing of hola, so every room may raise and catch these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where (a setting's name or a JSON pointer), which kind, what to do."""

    path: str
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class HolaError(Exception):
    """Base of all; `code` is for machines, the message for people."""

    code = "hola_error"


class _Faulty(HolaError):
    """An error that carries all the faults found, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in self.faults))


class SettingsError(_Faulty):
    code = "settings_invalid"


class DocumentRejected(_Faulty):
    code = "document_rejected"


class SourceUnreadable(HolaError):
    code = "source_unreadable"


class LockTimeout(HolaError):
    code = "lock_timeout"


class FaultInjected(HolaError):
    code = "fault_injected"


class Unavailable(HolaError):
    code = "unavailable"

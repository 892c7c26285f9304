"""The pod's journal of transitions: what is written into it, and what is read out of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hola.live_config import document as documents
from hola.live_config.document import Document
from hola.scoreboard import Scoreboard

MOST_PATHS = 40


def entry(event: str, **fields: Any) -> dict[str, Any]:
    """An entry for the journal, and the fields of its log line."""
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"event": event, "at": at, **fields}


def applied(old: Document | None, new: Document) -> dict[str, Any]:
    """The entry of a document that was put in force: what changed, and who says so."""
    meta = new.meta.model_dump(exclude_none=True) if new.meta else {"author": "unknown"}
    return entry("config_applied", changed=documents.changed(old, new)[:MOST_PATHS], meta=meta)


def transitions(board: Scoreboard) -> list[dict[str, Any]]:
    """The last 20 transitions of the pod, newest first."""
    return board.journal()


def last_rejection(board: Scoreboard) -> dict[str, Any] | None:
    """What is wrong with the source's present content, or None if nothing is."""
    if not board.pod.rejected:
        return None
    for each in board.journal():
        if each["event"] == "config_rejected":
            return {"revision": each["revision"], "at": each["at"], "errors": each["errors"] or []}
    return {"revision": f"{board.pod.rejected:012x}", "at": "", "errors": []}  # so long ago that the journal lost it

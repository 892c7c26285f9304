"""What `/config/status` lists of the pod's workers."""

from __future__ import annotations

from types import SimpleNamespace

from flask import Flask

from hola.live_config.document import Document
from hola.readiness import Readiness
from hola.scoreboard import BOOTING, READY, Scoreboard
from hola.views.config import SNAPSHOT, ConfigViews
from hola.views.token import Token


def test_a_worker_that_is_not_forked_yet_is_not_listed(board: Scoreboard) -> None:
    """Its pid would be 0, and a signal to that ends whoever sends it."""
    board.rows[0].pid, board.rows[0].state = 4711, READY
    board.rows[1].state = BOOTING
    views = ConfigViews(board, Readiness(board), "pod", Token(SimpleNamespace(accepts=lambda *_: None)))  # type: ignore[arg-type]
    snapshot = SimpleNamespace(generation=0, document=Document())
    with Flask("any").test_request_context(environ_overrides={SNAPSHOT: snapshot}):
        workers = views.describe_status()["workers"]
        board.rows[1].pid = 4712
        assert [worker["pid"] for worker in workers] == [4711]
        assert [worker["pid"] for worker in views.describe_status()["workers"]] == [4711, 4712]

"""The runbook's commands against a real service: what somebody types at three in the morning has to find something."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.support import ROOT, Service

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
PATHS = sorted(set(re.findall(r"curl -so? ?(?:/dev/null )?'?localhost:5000(/[^\s';`]*)", RUNBOOK)))
PATTERNS = sorted(set(re.findall(r"\bgrep (?:-E )?'([^']+)'", RUNBOOK)))
DOCUMENT = '{"faults": [{"id": "drill", "route": "/version", "percent": 100, "status": 503, "delay_ms": 400}]}'


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The output of a service that had an injected error, a slow answer, an error line and a killed worker."""
    with Service(tmp_path_factory.mktemp("troubled"), DOCUMENT, WEB_CONCURRENCY="2") as service:
        service.ready()
        assert service.get("/version").status == 503
        service.wait_for("request_finished", 10, status=503)  # before its worker may be the one that dies
        os.kill(service.workers()[0]["pid"], signal.SIGKILL)
        service.wait_for("worker_exited", 10, reason="killed")
        service.put("{")
        service.wait_for("config_rejected", 10)
    return service


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_the_runbook_answers(service: Service, path: str) -> None:
    """docs/runbook.md: each curl, with a shorter delay where it asks for a long one."""
    assert service.get(path.replace("/delay/20", "/delay/0.1")).status == 200


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_of_the_runbook_finds_its_lines(troubled: Service, pattern: str) -> None:
    """docs/runbook.md: each grep over the log, written as the lines really are."""
    assert any(re.search(pattern, line.decode()) for line in troubled.raw)


def test_the_runbook_has_commands_to_try() -> None:
    """What is read out of the page is really there."""
    assert {"/config/status", "/metrics", "/readyz?verbose"} <= set(PATHS)
    assert len(PATTERNS) >= 4

"""The master forks with its workers' libraries and without their code: pages shared, no thread or lock inherited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hola.server.shared import LIBRARIES, STANDARD
from tests.support import ROOT, clean_environment

FORBIDDEN = ["boto3", "botocore", "opentelemetry.sdk", "opentelemetry.propagate", "requests"]
MASTER = """
import json, runpy, sys, threading
import gunicorn.app.wsgiapp, gunicorn.arbiter
configuration = runpy.run_path("gunicorn.conf.py")
import hola.server.logger, hola.server.master, hola.server.worker
{more}
print(json.dumps({{
    "bind": configuration["bind"],
    "preload": configuration["preload_app"],
    "all": list(sys.modules),
    "threads": threading.active_count(),
}}))
"""


def load(tmp_path: Path, more: str = "") -> dict[str, Any]:
    """What a process has loaded that is as far as a master before its first fork."""
    metrics = tmp_path / "metrics"  # not under /dev/shm, where it would stay
    environ = clean_environment() | {"PORT": "0", "PROMETHEUS_MULTIPROC_DIR": str(metrics), "PYTHONPATH": str(ROOT)}
    program = MASTER.format(more=more)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


PREPARED = "from hola.server import shared; shared.prepare()"


def test_the_master_loads_none_of_the_workers_code(tmp_path: Path) -> None:
    """Or HUP would not take it on."""
    before, after = (set(load(tmp_path, more)["all"]) for more in ("", PREPARED))
    assert {name for name in after - before if name.startswith("hola.")} <= {"hola.server.shared"}
    assert not {name for name in after if name.startswith(("hola.views", "hola.faults", "hola.aws", "hola.app"))}
    assert set(FORBIDDEN) & after == set()
    assert {"gunicorn", "hola", "pydantic", "structlog"} <= before


def test_what_the_master_loads_for_its_workers_is_a_librarys_and_is_used(tmp_path: Path) -> None:
    assert {name.partition(".")[0] for name in STANDARD} <= sys.stdlib_module_names
    assert {name.partition(".")[0] for name in LIBRARIES} & (sys.stdlib_module_names | {"hola"}) == set()
    assert {*STANDARD, *LIBRARIES} - set(load(tmp_path, "import hola.app")["all"]) == set()


def test_the_master_has_one_thread_when_it_forks_and_does_not_preload(tmp_path: Path) -> None:
    found = load(tmp_path, PREPARED)
    assert (found["threads"], found["preload"], found["bind"]) == (1, False, ["0.0.0.0:0"])


def test_a_worker_boots_without_the_aws_sdk(tmp_path: Path) -> None:
    """Half a second and 30 MB a worker, for a question that most pods are never asked."""
    found = load(tmp_path, "import hola.app, hola.commands, hola.aws.sdk")
    assert {"flask", "hola"} <= set(found["all"])
    assert {"boto3", "botocore"} & set(found["all"]) == set()


@pytest.mark.parametrize(
    ("module", "library"), [("hola.telemetry.metrics", "prometheus_client"), ("hola.app", "flask")]
)
def test_what_a_worker_loads_would_be_noticed(tmp_path: Path, module: str, library: str) -> None:
    assert library in load(tmp_path, f"import {module}")["all"]

"""The architecture is the import-linter contract: it is kept, and it does catch what it is there to catch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contract, to be spoilt."""
    shutil.copytree(ROOT / "hola", tmp_path / "hola", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(directory: Path) -> tuple[int, str]:
    """lint-imports' exit code, and what it said in one long line."""
    done = subprocess.run([LINT, "--no-cache"], cwd=directory, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def add(file: Path, line: str) -> None:
    with file.open("a") as stream:
        stream.write(f"\n{line}\n")


def test_the_layers_are_kept(copy: Path) -> None:
    code, said = lint(copy)
    assert code == 0, said
    assert "0 broken" in said


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("errors.py", "from hola import settings", "hola.errors is not allowed to import hola.settings"),
        ("scoreboard.py", "import hola.telemetry.logs", "hola.scoreboard is not allowed to import hola.telemetry"),
        ("telemetry/logs.py", "import hola.views.probes", "hola.telemetry is not allowed to import hola.views"),
        ("live_config/store.py", "import hola.app", "hola.live_config is not allowed to import hola.app"),
        (
            "live_config/source.py",
            "import hola.live_config.store",
            "is not allowed to import hola.live_config.store",
        ),
        ("telemetry/lines.py", "import hola.telemetry.logs", "lines is not allowed to import hola.telemetry.logs"),
    ],
)
def test_an_upward_import_breaks_them(copy: Path, file: str, line: str, told: str) -> None:
    add(copy / "hola" / file, line)
    code, said = lint(copy)
    assert code == 1
    assert told in said


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("faults/injection.py", "import hola.readiness", "hola.faults is not allowed to import hola.readiness"),
        ("readiness.py", "import hola.live_config.store", "hola.readiness is not allowed to import hola.live_config"),
        ("settings.py", "import hola.scoreboard", "hola.settings is not allowed to import hola.scoreboard"),
        (
            "telemetry/metrics.py",
            "import hola.telemetry.traces",
            "is not allowed to import hola.telemetry.traces",
        ),
        ("server/worker.py", "import hola.server.master", "worker is not allowed to import hola.server.master"),
    ],
)
def test_a_sibling_import_breaks_them(copy: Path, file: str, line: str, told: str) -> None:
    add(copy / "hola" / file, line)
    code, said = lint(copy)
    assert code == 1
    assert told in said


@pytest.mark.parametrize("file", ["utils.py", "telemetry/helpers.py", "live_config/common.py", "server/misc.py"])
def test_a_file_without_a_place_breaks_them(copy: Path, file: str) -> None:
    (copy / "hola" / file).write_text("")
    code, said = lint(copy)
    assert code == 1
    assert Path(file).stem in said


def test_a_library_of_the_worker_in_the_masters_rooms_breaks_them(copy: Path) -> None:
    add(copy / "hola/server/lifecycle.py", "import hola.telemetry.metrics")
    code, said = lint(copy)
    assert code == 1
    assert "hola.server is not allowed to import hola.telemetry.metrics" in said

"""The README's tables against the code, in both directions, so that they cannot rot."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hola import settings
from hola.app import Hola, create_app
from hola.commands import cli
from hola.live_config.document import parse
from hola.scoreboard import Place, Scoreboard
from hola.telemetry.metrics import BoardCollector
from hola.views.openapi import describe
from hola.views.twelve_factors import FACTORS
from tests.support import ROOT

README = (ROOT / "README.md").read_text()
SOURCES = sorted((ROOT / "hola").rglob("*.py"))
LOG_METHODS = {"debug", "info", "warning", "error", "critical", "exception"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading or a line that begins with `heading`."""
    lines = README[README.index(heading) :].splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("|---"))
    table = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return table


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_settings_table_is_what_the_code_reads() -> None:
    values = settings.load({"POD_NAME": "x", "NODE_NAME": "x"})
    described = [(row["name"], row["meaning"]) for row in settings.describe(values)]
    assert [
        (names(name)[0], meaning.rstrip("| ").strip()) for name, _default, meaning in rows("## Settings")
    ] == described


def test_routes_table_is_what_is_served(hola: Hola) -> None:
    documented = {name.split("?")[0] for row in rows("## Routes") for name in names(row[0])}
    spec = describe(hola.flask)
    served = {f"{method.upper()} {path}" for path, methods in spec["paths"].items() for method in methods}
    assert documented == served


def test_metrics_table_is_what_is_exposed(hola: Hola) -> None:
    """Read from the registries, since a labelled metric that never counted is not in a scrape."""
    table = {name: (row[1], set(names(row[2]))) for row in rows("**Metrics**") for name in names(row[0])}
    board = Scoreboard()
    board.pod.set_aws_identity("web_identity", "ok")
    figures = BoardCollector(board, "1", "c", lambda: ("0", "none"), lambda: {"api_token": 1.0})
    families = [*hola.metrics.registry.collect(), *figures.collect()]
    exposed = {family.name + "_total" * (family.type == "counter"): family for family in families}
    assert {name: family.type for name, family in exposed.items()} == {name: kind for name, (kind, _) in table.items()}
    labels = {name: {label for sample in family.samples for label in sample.labels} for name, family in exposed.items()}
    assert all(found - {"le"} <= table[name][1] for name, found in labels.items())


def test_the_sample_document_is_taken_on_by_every_pod() -> None:
    """Copied to config/config.json it is valid and does something: no pod holds it back."""
    sample = README[README.index("```json\n") + 8 :].partition("```")[0]
    document = parse(sample.encode())
    assert document.faults
    assert document.meta is not None
    assert document.meta.rollout is None


def test_events_table_is_what_the_code_says() -> None:
    documented = {name for row in rows("| event | when") for name in names(row[0])}
    logged = {event for source in SOURCES for event in _events(ast.parse(source.read_text()))}
    assert documented == logged


def test_commands_table_is_what_can_be_run() -> None:
    documented = {re.split(r" [A-Z\[…]", names(row[0])[0])[0] for row in rows("| command | does")}
    context = cli.make_context("hola", ["help"])
    groups = {name: command for name, command in cli.commands.items() if hasattr(command, "commands")}
    known = {"serve"} | {name for name in cli.list_commands(context) if name not in groups}
    known |= {f"{name} {sub}" for name, group in groups.items() for sub in group.commands}
    assert documented == known


def test_factors_name_files_that_exist() -> None:
    table = [[names(cell)[0] for cell in row[1:]] for row in rows("## The twelve factors")]
    assert table == [[factor["file"], factor["test"]] for factor in FACTORS]
    missing = [path for pair in table for path in pair if not (ROOT / path).exists()]
    assert not missing


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    assert not [target for target in targets if not target.startswith("http") and not (ROOT / target).exists()]


def test_the_readme_stays_short() -> None:
    assert len(README.splitlines()) <= 250


@pytest.mark.parametrize("page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_fits_a_page(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 40


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(source: Path) -> None:
    text = source.read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    assert len(text.splitlines()) <= 300
    assert not [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= 40]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_environment_is_read_in_three_places_only(source: Path) -> None:
    """house rule: the rest gets settings as arguments (lifecycle stands in for gunicorn.conf.py without gunicorn)."""
    if source.name not in {"wsgi.py", "__main__.py", "lifecycle.py", "check.py"}:
        assert "os.environ" not in source.read_text()


@pytest.fixture(scope="module")
def hola(tmp_path_factory: pytest.TempPathFactory) -> Hola:
    """A worker's application, without its server."""
    directory = tmp_path_factory.mktemp("contract")
    values = settings.load({"HOLA_CONFIG_DIR": str(ROOT / "config"), "HOLA_STATE_DIR": str(directory / "state")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
        app = create_app(values, Place(Scoreboard(), 0, directory))
        app.close(0.1)
    return app


def _events(tree: ast.AST) -> set[str]:
    """First arguments of log calls and of `_entry`, and what literal dictionaries have under "event"."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _is_log_call(node.func):
            found |= {part for argument in node.args for part in ast.walk(argument)}
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found |= {value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "event"}
    texts = {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)+", text)}


def _is_log_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in LOG_METHODS | {"entry", "_mark", "log", "write_fit", "run"} or isinstance(
        function, ast.Call | ast.IfExp
    )

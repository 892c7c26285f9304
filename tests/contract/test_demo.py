"""`make demo`: where its steps send a person exists, its numbers are the alert's, its functions are short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from demo.figures import Figures
from demo.stage import Step
from demo.steps import STEPS
from tests.contract.test_readme import names, rows
from tests.promql import BOARDS
from tests.support import ROOT


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
def test_a_step_sends_nobody_where_there_is_nothing(step: Step) -> None:
    assert step.metric in {name for row in rows("**Metrics**") for name in names(row[0])}
    assert step.event in {name for row in rows("| event | when") for name in names(row[0])}
    assert step.board in BOARDS
    assert f"GET {step.path}" in {name for row in rows("## Routes") for name in names(row[0])}


@pytest.mark.parametrize(("failed", "total", "pages"), [(10, 100, True), (9, 100, False), (14, 1000, False)])
def test_the_conditions_numbers_are_the_alerts(failed: int, total: int, pages: bool) -> None:
    """14.4 times the budget of 0.1 %, and at least ten; probes count for nothing."""
    before, now = (
        Figures(
            f'http_requests_total{{method="GET",route="/",status="503"}} {errors}\n'
            f'http_requests_total{{method="GET",route="/",status="200"}} {good}\n'
            f'http_requests_total{{method="GET",route="/readyz",status="503"}} {probes}\n'
        )
        for errors, good, probes in ((5, 50, 0), (5 + failed, 50 + total - failed, 500))
    )
    burnt = now.burn_since(before)
    assert (burnt.failed, burnt.total, burnt.would_page) == (failed, total, pages)


@pytest.mark.parametrize("source", sorted((ROOT / "demo").glob("*.py")), ids=lambda path: path.stem)
def test_a_file_of_the_demo_stays_small_and_imports_nothing_of_hola(source: Path) -> None:
    """It knows hola from outside, as any other client."""
    text = source.read_text()
    nodes = list(ast.walk(ast.parse(text)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    assert not [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= 30]
    assert len(text.splitlines()) <= 250
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module.split(".")[0] in {"hola", "tests"}]

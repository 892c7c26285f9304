"""The plot of docs/performance.md, from what the last `make bench` left in build/. `python -m tests.bench.plot FILE`

Drawn by matplotlib in an environment of its own (requirements-plot.txt), which `make bench-plot` makes.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

BUILD = Path(__file__).parents[2] / "build"
INK, HOLA, PEER = "#3c4043", "#176b4d", "#b06000"
SERVICES = ("peer 0", "peer 0.1", "peer 1", "hola 0", "hola 0.1", "hola 1")
STYLES = {1: ":", 2: "-.", 4: "-", 8: "--"}


def main(path: str) -> None:
    mpl.rcParams.update({"svg.hashsalt": "hola", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(9, 3), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    _draw_ratios(left, _values("load"))
    _draw_curve(right, _values("curve"))
    figure.savefig(path, metadata={"Date": None})


def _values(part: str) -> dict[tuple[str, str], list[float]]:
    """Every value by service and measure."""
    rows = json.loads((BUILD / f"bench-{part}.json").read_text())
    return {(row["service"], row["measure"]): row["values"] for row in rows}


def _draw_ratios(axes: Any, values: dict[tuple[str, str], list[float]]) -> None:
    """CPU time a request, as often as bare Flask's."""
    measure = "CPU µs a request"
    limits = values["bare", measure]
    shown = [name for name in SERVICES if (name, measure) in values]
    ratios = [statistics.median(a / b for a, b in zip(values[name, measure], limits, strict=False)) for name in shown]
    bars = axes.barh(shown[::-1], ratios[::-1], color=[HOLA if "hola" in name else PEER for name in shown[::-1]])
    axes.bar_label(bars, fmt="%.2f", padding=3, color=INK)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xlabel("CPU time a request, bare Flask = 1 (number: share of traces recorded)", color=INK)


def _draw_curve(axes: Any, values: dict[tuple[str, str], list[float]]) -> None:
    """Throughput over connections, a line a number of workers."""
    for kind, color in (("bare", INK), ("hola 0.1", HOLA)):
        for workers, style in STYLES.items():
            name = f"{kind}, {workers} worker{'s' * (workers > 1)}"
            points = sorted(
                (int(measure.split()[0]), statistics.median(found))
                for (who, measure), found in values.items()
                if who == name and measure[0].isdigit()
            )
            axes.plot(*zip(*points, strict=True), color=color, linestyle=style, linewidth=1.2, label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("kept-alive connections", color=INK)
    axes.set_ylabel("requests a second", color=INK)
    axes.legend(ncols=2, frameon=False, fontsize=7)


if __name__ == "__main__":
    main(sys.argv[1])

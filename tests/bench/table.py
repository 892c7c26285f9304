"""The tables: a row a service, a column a measure; median, ratio to bare's ± its error, lowest and highest value."""

from __future__ import annotations

import math
import statistics

from tests.bench.measures import Measure, Results

NOTHING = "–"  # noqa: RUF001 - as the page writes "nothing to show"
LIMIT = "bare"
LEAST_FOR_DOUBT = 5  # ratios


def render(results: Results, measures: tuple[Measure, ...]) -> str:
    """Markdown, aligned for a terminal."""
    rows = [["", *(measure.name for measure in measures)]] + [
        [name, *(_cell(results, name, measure) for measure in measures)] for name in results.names(measures)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(measures) + 1)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cell(results: Results, name: str, measure: Measure) -> str:
    values = results.values.get((name, measure))
    if not values:
        return NOTHING
    low, median, high = (
        f"{value:.{measure.digits}f}" for value in (min(values), statistics.median(values), max(values))
    )
    limit = _limit(results, name, measure)
    ratios = results.ratios(name, measure, limit) if limit != name else []
    times = f" ×{statistics.median(ratios):.2f}{_doubt(ratios)}" if ratios else ""  # noqa: RUF001 - the sign for times
    return f"{median}{times} ({low}…{high})" if len(values) > 1 else f"{median}{times}"


def _doubt(ratios: list[float]) -> str:
    """The standard error of their median, from the middle half of them, which no outlier moves.

    1.253 deviations / √n for a normal distribution, whose middle half is 1.349 deviations wide.
    """
    if len(ratios) < LEAST_FOR_DOUBT:
        return ""
    low, _median, high = statistics.quantiles(ratios, n=4)
    return f"±{1.253 / 1.349 * (high - low) / math.sqrt(len(ratios)):.2f}"


def _limit(results: Results, name: str, measure: Measure) -> str:
    """Who this service is held against: bare Flask in the same place if it was there, else bare Flask, else nobody."""
    _service, comma, place = name.partition(",")
    candidates = (LIMIT + comma + place, LIMIT)
    return next((each for each in candidates if results.values.get((each, measure))), name)

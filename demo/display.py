"""What a person sees: a heading for each step, where to look, how far it is, and a table at the end.

On a terminal the progress is one line that changes; anywhere else there is none of it, and no colour.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

SHOWN, SKIPPED, NOT_SHOWN = "shown", "skipped", "NOT SHOWN"
_COLOURS = {SHOWN: "32", SKIPPED: "33", NOT_SHOWN: "31;1"}
_CLEAR_LINE = "\r\033[K"
_BAR = 14
_REDRAW_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a step. `said` is what was seen, or why not."""

    title: str
    verdict: str
    said: str
    seconds: float


class Display:
    """Writes to `out`; knows how many steps there will be."""

    def __init__(self, out: TextIO, steps: int) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._steps = steps
        self._number = 0
        self._began = self._drawn = time.monotonic()

    def say(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def begin(self, title: str, looks: str) -> None:
        self._number += 1
        self._began = time.monotonic()
        self.say(f"\n{self._paint(f'{self._number}/{self._steps}  {title}', '1')}\n     look at {looks}")

    def progress(self, text: str) -> None:
        """May be called as often as one likes."""
        now = time.monotonic()
        if not self._is_terminal or now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        done = _BAR * (self._number - 1) // self._steps
        line = f"     [{'#' * done}{'-' * (_BAR - done)}] {now - self._began:4.1f} s  {text}"
        self._out.write(_CLEAR_LINE + line[: shutil.get_terminal_size().columns - 1])
        self._out.flush()

    def end(self, verdict: str, said: str) -> float:
        """How long the step took, in seconds."""
        if self._is_terminal:
            self._out.write(_CLEAR_LINE)
        self.say(f"     {self._paint(verdict, _COLOURS[verdict])}: {said}")
        return time.monotonic() - self._began

    def table(self, results: Sequence[Result]) -> None:
        """What was shown, one row a step."""
        width = max(len(result.title) for result in results)
        self.say(f"\n{self._paint('What was shown', '1')}")
        for result in results:
            verdict = self._paint(f"{result.verdict:<9}", _COLOURS[result.verdict])
            self.say(f"  {verdict}  {result.seconds:5.1f} s  {result.title:<{width}}  {result.said}")

    def _paint(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._is_terminal else text

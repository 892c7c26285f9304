"""The performance tables: bare Flask, the usual assembly and hola in one run. `python -m tests.bench --help`

Whatever else this machine does meanwhile hits all of them alike: they are measured in turn, round after round.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable

from tests.bench import curve, lives, load, rounds, table, upkeep
from tests.bench.contenders import PATH, THREADS, WORKERS, Contender
from tests.bench.measures import LIFE, LOAD, UPKEEP, Measure, Results
from tests.bench.packages import python_with
from tests.bench.receiver import receiving
from tests.bench.services import ServiceFailed
from tests.support import ROOT

LOCKED = ("requirements.txt", "tests/bench/requirements-peer.txt")
SAMPLING = (0.0, 0.1, 1.0)
PARTS = ("load", "lives", "upkeep", "curve")
RAW = ROOT / "build"


def main() -> None:
    options = _parser().parse_args()
    contenders = _contenders()
    print(_conditions(options), flush=True)
    try:
        with receiving() as receiver:
            for part in PARTS:
                if part in options.only:
                    results, measures = _measure(part, contenders, receiver, options)
                    results.save(RAW / f"bench-{part}.json")
                    print(f"\n{table.render(results, measures)}", flush=True)
    except ServiceFailed as error:
        sys.exit(f"no table: {error}")


def _measure(
    part: str, contenders: list[Contender], receiver: str, options: argparse.Namespace
) -> tuple[Results, tuple[Measure, ...]]:
    bare, production = contenders[0], next(each for each in contenders if each.name == "hola 0.1")
    if part == "load":
        return rounds.measure(contenders, receiver, options.rounds, options.seconds, options.connections), LOAD
    results = Results()
    if part == "lives":
        lives.measure(contenders, receiver, options.lives, options.connections, results)
        return results, LIFE
    if part == "upkeep":
        upkeep.measure(production, receiver, options.replacements, results)
        return results, UPKEEP
    curve.measure([bare, production], receiver, options.seconds, results)
    return results, curve.COLUMNS


def _contenders() -> list[Contender]:
    python, peer_python = (python_with(ROOT / locked) for locked in LOCKED)
    if python is None:
        sys.exit("no table: hola's packages could not be installed")
    subprocess.run(
        [python, "-m", "compileall", "-q", ROOT / "hola", ROOT / "tests/bench"], check=True
    )  # as in the image
    peers = [Contender("peer", peer_python, sampling) for sampling in SAMPLING] if peer_python else []
    return [Contender("bare", python), *peers, *(Contender("hola", python, sampling) for sampling in SAMPLING)]


def _conditions(options: argparse.Namespace) -> str:
    return (
        f"GET {PATH} over {options.connections} kept-alive connections from {load.generator_name()} on loopback, "
        f"{options.rounds} rounds of {options.seconds} s in turn, {options.lives} lives; "
        f"gunicorn with {WORKERS} gthread workers of {THREADS} threads, "
        f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} processors.\n"
        "The number behind a name is the share of traces recorded. Cells: median, median of the ratios\n"
        "to bare in the same round ± its standard error, lowest and highest."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Print the performance tables.")
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of it (all)")
    add("--rounds", type=_between(1, 200), default=31, help="rounds of load for each service (31)")
    add("--seconds", type=_between(1, 60), default=1, help="seconds of each (1)")
    add("--connections", type=_between(1, 256), default=16, help="kept-alive connections (16)")
    add("--lives", type=_between(1, 20), default=5, help="starts and stops of each service (5)")
    add("--replacements", type=_between(0, 5000), default=1000, help="workers to kill between two scrapes (1000)")
    return parser


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must lie between {least} and {most}")
        return int(text)

    return number


if __name__ == "__main__":
    main()

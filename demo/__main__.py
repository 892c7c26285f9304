"""Show all steps on a hola of the demo's own, on one that runs, or on compose.yaml; exit 1 if one did not show.

`python -m demo --help` has the options, `make demo` the usual ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.bare import Bare
from demo.display import NOT_SHOWN, SHOWN, SKIPPED, Display, Result
from demo.stack import Stack
from demo.stage import Stage, Step
from demo.steps import GOOD, STEPS
from demo.target import ROOT, NotShown, Skipped
from demo.traffic import LOST, Traffic

DIRECTORY = ROOT / "build/demo"
EX_FAILED, EX_UNAVAILABLE, EX_INTERRUPTED = 1, 69, 130
COMPOSE_URL, CONSUL_URL, PROMETHEUS_URL = (f"http://127.0.0.1:{port}" for port in (5000, 8500, 9090))


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    display = Display(sys.stdout, len(STEPS))
    try:
        if options.compose:
            _compose("up", "--detach", "--build")
        with _target(options) as target:
            display.say(target.opening)
            target.start()
            results = _run(target, display, options)
    except (NotShown, *LOST) as error:
        display.say(f"{NOT_SHOWN}: {error}")
        return EX_UNAVAILABLE
    display.table(results)
    if options.compose:
        display.say(
            "\nThe stack runs on: Grafana is http://127.0.0.1:3000; docs/stack.md; docker compose down ends it."
        )
    return EX_FAILED if NOT_SHOWN in {result.verdict for result in results} else 0


def _run(target: Bare | Stack, display: Display, options: argparse.Namespace) -> list[Result]:
    with Traffic(target.url, options.rate) as traffic:
        stage = Stage(target, traffic, display, options.dwell)
        stage.publish(GOOD)
        return [_show(step, stage) for step in STEPS]


def _show(step: Step, stage: Stage) -> Result:
    stage.display.begin(step.title, step.looks(stage.target))
    try:
        verdict, said = SHOWN, step.show(stage)
    except Skipped as reason:
        verdict, said = SKIPPED, str(reason)
    except (NotShown, *LOST) as error:
        verdict, said = NOT_SHOWN, str(error) or type(error).__name__
    return Result(step.title, verdict, said, stage.display.end(verdict, said))


def _target(options: argparse.Namespace) -> Bare | Stack:
    if not options.url:
        return Bare(options.directory, GOOD)
    return Stack(options.url, options.consul, options.prometheus, options.directory)


def _compose(*command: str) -> None:
    engine = os.environ.get("ENGINE") or "docker"
    try:
        subprocess.run([engine, "compose", *command], cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotShown(f"{engine} compose {command[0]}: {error}") from None


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--url", default="", help="a hola that runs; without it the demo starts its own")
    parser.add_argument("--compose", action="store_true", help="start compose.yaml and use its hola")
    parser.add_argument("--consul", default=os.environ.get("CONSUL_HTTP_ADDR", CONSUL_URL), help="of the one that runs")
    parser.add_argument("--prometheus", default="", help="of the one that runs; asked for its alerts")
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second (%(default)g)")
    parser.add_argument("--dwell", type=float, default=3.0, help="seconds to look at a step (%(default)g)")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="for the document and the log; is emptied")
    options = parser.parse_args(arguments)
    if options.compose:
        options.url, options.prometheus = options.url or COMPOSE_URL, options.prometheus or PROMETHEUS_URL
    return options


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(EX_INTERRUPTED)

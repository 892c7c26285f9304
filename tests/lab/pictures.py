"""Takes the pictures in docs/pictures: the live page after three minutes of traffic. `make pictures` runs it."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.browser import PHONE, WIDE, Page
from tests.lab.live_page import rows, viewing, workers
from tests.support import ROOT, Service, eventually

PICTURES = ROOT / "docs/pictures"
NAMES = {
    "POD_NAME": "hola-6d5f9c7b84-x2lqk",
    "POD_NAMESPACE": "shop",
    "NODE_NAME": "node-3",
    "HOLA_ENVIRONMENT": "production",
    "HOLA_COMMIT": "1ea07671c0de",
}
PATHS = {"/": 60, "/version": 30, "/delay/0.03": 8, "/status/503": 0.5}
LOOKS = {  # how to show it, and the section that the picture ends before
    "page-light": ("light", WIDE, 1, "configuration"),
    "page-dark": ("dark", WIDE, 1, "configuration"),
    "page-phone": ("light", PHONE, 1.5, "workers"),
}
FIRST = (
    """+(document.querySelector('[data-sparkline="rate"] .line').getAttribute('d') || 'M999 ').slice(1).split(' ')[0]"""
)
END = "document.getElementById('SECTION').closest('section').getBoundingClientRect().top + scrollY"


def main() -> None:
    """Run a service and its visitors until the curves are full, and take the pictures."""
    chromium = shutil.which("chromium") or sys.exit("chromium is missing: as root, `make lab-setup` installs it")
    PICTURES.mkdir(exist_ok=True)
    with (
        TemporaryDirectory() as name,
        Service(Path(name), document(), **NAMES) as service,
        visiting(service.ready()),
        viewing(chromium, service, Path(name)) as page,
    ):
        os.kill(int(workers(page)["2"]["pid"]), signal.SIGKILL)
        eventually(lambda: page.evaluate(FIRST) < 5, "curves of three minutes", 240)
        assert rows(page, "exits", "reason")["killed"]["count"] == "1"
        for picture in LOOKS:
            take(page, picture)


def document() -> str:
    """A live document with a fault that ends by itself."""
    until = (datetime.now(UTC) + timedelta(minutes=25)).isoformat(timespec="seconds").replace("+00:00", "Z")
    fault = {"id": "slow-home", "route": "/", "percent": 10, "delay_ms": 300, "until": until}
    return json.dumps({"faults": [fault], "_meta": {"author": "ana", "change": "slow home for the alert drill"}})


def take(page: Page, picture: str) -> None:
    """Take one of the pictures, when nothing is marked as new any more."""
    scheme, width, scale, section = LOOKS[picture]
    page.show_as(scheme, width, scale)
    eventually(lambda: page.evaluate("!document.querySelector('.changed')"), "nothing marked as new", 10)
    file = PICTURES / f"{picture}.png"
    page.save_screenshot(file, page.evaluate(END.replace("SECTION", section)))
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")


@contextmanager
def visiting(service: Service) -> Iterator[None]:
    """About twenty requests a second for the time of a block, more and less by turns."""
    ended = threading.Event()
    visitors = [threading.Thread(target=visit, args=(service, ended, number)) for number in range(2)]
    for visitor in visitors:
        visitor.start()
    try:
        yield
    finally:
        ended.set()
        for visitor in visitors:
            visitor.join()


def visit(service: Service, ended: threading.Event, number: int) -> None:
    chance = random.Random(number)
    while not ended.wait(0.08 + 0.05 * math.sin(time.monotonic() / 12) + 0.04 * chance.random()):
        [path] = chance.choices([*PATHS], [*PATHS.values()])
        with suppress(OSError, HTTPException):  # its worker was killed
            service.get(path)


if __name__ == "__main__":
    main()

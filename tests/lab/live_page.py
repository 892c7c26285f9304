"""The live page in a browser, and how to read it: by the names that its template gives to facts, rows and notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.lab.browser import Page, browsing
from tests.support import Service, eventually

_ROWS = """[...document.querySelectorAll('[data-list="NAME"] > *')].map((row) =>
  Object.fromEntries([...row.querySelectorAll('[data-cell]')].map((cell) => [cell.dataset.cell, cell.textContent])))"""


@contextmanager
def viewing(chromium: str, service: Service, directory: Path) -> Iterator[Page]:
    """The page, loaded and live; at the block's end its screenshot is in `directory`."""
    with browsing(chromium, directory / "profile") as page:
        page.open(f"http://127.0.0.1:{service.port}/")
        eventually(lambda: fact(page, "pulse") == "Live, ", "the page's script at work", 10)
        yield page
        page.save_screenshot(directory / "page.png")


def fact(page: Page, name: str) -> str:
    """The text of one fact."""
    return str(page.evaluate(f"document.querySelector('[data-fact=\"{name}\"]').textContent"))


def is_seen(page: Page, selector: str) -> bool:
    """True while all that the selector finds, one at least, has a size."""
    sizes: list[float] = page.evaluate(
        f"[...document.querySelectorAll('{selector}')].map((element) => element.getBoundingClientRect().height)"
    )
    return bool(sizes) and min(sizes) > 0


def is_noticed(page: Page, name: str) -> bool:
    """True while this notice is on the page, with a size."""
    return is_seen(page, f'[data-notice="{name}"]')


def rows(page: Page, name: str, key: str) -> dict[str, dict[str, str]]:
    """The rows of a list by the cell `key`; each is its cells' texts by name."""
    found: list[dict[str, str]] = page.evaluate(_ROWS.replace("NAME", name))
    return {row[key]: row for row in found}


def workers(page: Page) -> dict[str, dict[str, str]]:
    """The rows of the table by their slot."""
    return rows(page, "workers", "slot")


def column(page: Page, name: str) -> list[str]:
    return [row[name] for row in workers(page).values()]


def expect(page: Page, seen: Callable[[], object], wanted: object, what: str) -> None:
    """Wait for the page to show what is wanted: it looks once a second."""
    eventually(lambda: seen() == wanted, f"the page shows {what}", 10)
    assert not page.reports("Runtime.exceptionThrown")


def asked(page: Page, path: str) -> list[dict[str, Any]]:
    """What the page asked this path for so far."""
    requests = page.reports("Network.requestWillBeSent")
    return [request for request in requests if urlsplit(request["request"]["url"]).path == path]

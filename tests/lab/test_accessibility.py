"""The live page for everybody: axe-core in the real page, in every state and look, and what axe cannot see.

By keyboard, by screen reader, without motion, in the dark and on a phone: https://www.w3.org/TR/WCAG22/
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.lab.browser import PHONE, WIDE, Page
from tests.lab.conftest import require_part
from tests.lab.live_page import asked, expect, fact, is_noticed, is_seen, viewing
from tests.support import Service, eventually

AXE = Path("/usr/local/lib/hola-lab/axe/node_modules/axe-core/axe.min.js")
LOOKS = [("light", WIDE), ("dark", WIDE), ("light", PHONE), ("dark", PHONE)]
FAULTS = {"faults": [{"id": "drill", "route": "/version", "percent": 50, "delay_ms": 300, "status": 503}]}
VIOLATIONS = """axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(
  ({ id, impact, nodes }) => [impact, id, ...nodes.map(({ target }) => target.join(' '))]))"""
COUNT_ANNOUNCEMENTS = """(() => {
  window.announced = [];
  const observer = new MutationObserver((changes) => window.announced.push(...changes.map(({ target }) => target.id)));
  for (const region of document.querySelectorAll('[aria-live], [role="status"]'))
    observer.observe(region, { subtree: true, childList: true, characterData: true });
  return document.querySelectorAll('[aria-live], [role="status"]').length;
})()"""
FOCUS = """(() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  const { width, height } = document.activeElement.getBoundingClientRect();
  const { tagName, textContent } = document.activeElement;
  return { tagName, name: textContent, outline: `${outlineStyle} ${outlineWidth}`, seen: width > 0 && height > 0 };
})()"""


@pytest.fixture
def page(chromium: str, service: Service, tmp_path: Path) -> Iterator[Page]:
    with viewing(chromium, service, tmp_path) as page:
        yield page


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, HOLA_DRAIN_SECONDS="120") as service:
        yield service.ready()


@pytest.fixture
def axe() -> str:
    """The engine's script; the page's own policy stays as it is, since the browser's tools are not bound by it."""
    require_part("axe-core", AXE.exists())
    return AXE.read_text()


def test_axe_finds_no_fault_in_any_state_or_look(axe: str, page: Page, service: Service) -> None:
    """Light, dark and phone width while all is well, while a document is refused, with faults, and while draining."""
    page.evaluate(axe)
    found = {}
    for state in states(page, service):
        for scheme, width in LOOKS:
            page.show_as(scheme, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (
                f"{state} scrolls sideways at {width}"
            )
            eventually(lambda: page.evaluate("!document.querySelector('.changed')"), "nothing marked as new", 10)
            if violations := page.evaluate(VIOLATIONS):
                found[state, scheme, width] = violations
    assert found == {}


def states(page: Page, service: Service) -> Iterator[str]:
    """Bring the page from state to state."""
    expect(page, lambda: fact(page, "rateNote"), "a second", "figures")
    yield "normal"
    service.put('{"greetings": "Hola!"}')
    expect(page, lambda: is_noticed(page, "rejected"), True, "the rejection")
    yield "rejected"
    service.put(json.dumps(FAULTS))
    expect(page, lambda: is_seen(page, ".faults tbody tr"), True, "the fault")
    yield "faults in force"
    service.process.terminate()
    expect(page, lambda: is_noticed(page, "draining"), True, "the drain")
    yield "draining"


def test_axe_is_heard(axe: str, page: Page) -> None:
    """A button without a name and a text as pale as paper, put in to prove it, are found."""
    page.evaluate(axe)
    page.evaluate("document.querySelector('footer').innerHTML = '<button></button><p class=\"pale\">Hola!</p>'")
    page.evaluate("document.querySelector('.pale').style.color = '#ddd'")
    assert {rule for _impact, rule, *_nodes in page.evaluate(VIOLATIONS)} == {"button-name", "color-contrast"}


def test_tables_are_tables_on_a_phone(page: Page, service: Service) -> None:
    """Laid out as blocks, they still have their rows, headers and cells for a screen reader."""
    service.put(json.dumps(FAULTS))
    expect(page, lambda: is_seen(page, ".faults tbody tr"), True, "the fault")
    wide = roles(page, WIDE)
    assert wide["table"] == 3
    assert wide["rowheader"] == 4 + 1 + 12
    assert wide["columnheader"] == 9 + 6 + 4
    assert wide["row"] == wide["rowheader"] + 3
    assert roles(page, PHONE) == wide
    told = "[...document.querySelectorAll('table, table :is(thead, tbody, tr, th, td)')].every((part) => part.role)"
    assert page.evaluate(told) is True, "for the browsers that go by the layout"


def roles(page: Page, width: int) -> Counter[str]:
    """How many there are of each of a table's roles, as the browser tells a screen reader."""
    page.show_as("light", width)
    nodes: list[dict[str, Any]] = page.call("Accessibility.getFullAXTree")["nodes"]
    parts = ("table", "row", "rowheader", "columnheader", "cell")
    return Counter(node["role"]["value"] for node in nodes if node["role"]["value"] in parts and not node["ignored"])


def test_the_keyboard_reaches_everything_and_the_focus_is_seen(page: Page) -> None:
    """Tab goes from "Skip to content" through every link; what has the focus has an outline and a size."""
    page.show_as("light", PHONE)
    stops = []
    wanted = page.evaluate("document.querySelectorAll('a[href], [tabindex=\"0\"]').length")
    for _ in range(wanted):
        page.press_tab()
        stops.append(page.evaluate(FOCUS))
    hidden = page.evaluate("document.querySelectorAll('[hidden] a').length")
    reached = [stop for stop in stops if stop["tagName"] != "BODY"]
    assert len(reached) == wanted - hidden
    assert reached[0]["name"] == "Skip to content"
    assert {stop["outline"] for stop in reached} == {"solid 3px"}
    assert all(stop["seen"] for stop in reached)


def test_nothing_is_announced_again_and_again(page: Page, service: Service) -> None:
    """While figures move no live region does; a change of state is told once."""
    expect(page, lambda: fact(page, "rateNote"), "a second", "figures")
    before = fact(page, "updated")
    assert page.evaluate(COUNT_ANNOUNCEMENTS) == 2
    looks = len(asked(page, "/config/status"))
    service.get_many(100, 2, "/version")
    eventually(lambda: len(asked(page, "/config/status")) >= looks + 5, "five looks", 20)
    assert fact(page, "updated") != before
    assert page.evaluate("window.announced") == []
    service.put('{"greetings": "Hola!"}')
    expect(page, lambda: is_noticed(page, "rejected"), True, "the rejection")
    assert page.evaluate("window.announced.length") > 0


def test_headings_and_landmarks_are_in_order(page: Page) -> None:
    """One h1, then h2 and h3 without a gap; each section is named by its own heading."""
    levels: list[int] = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(({ tagName }) => +tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    landmarks = "['header', 'nav', 'main', 'footer'].map((name) => document.querySelectorAll(name).length)"
    assert page.evaluate(landmarks) == [1] * 4
    named = "(section) => section.querySelector('h2').id === section.getAttribute('aria-labelledby')"
    assert page.evaluate(f"[...document.querySelectorAll('section')].every({named})") is True


def test_nothing_moves_for_those_who_ask_for_no_motion(page: Page, service: Service) -> None:
    """A change is still marked, without an animation, and links jump instead of gliding."""
    page.show_as("light", WIDE)
    service.put('{"greeting": "Buenas!"}')
    expect(page, lambda: page.evaluate("Boolean(document.querySelector('.changed'))"), True, "what changed")
    moving = "[document.documentElement, ...document.querySelectorAll('.changed')].map((e) => getComputedStyle(e))"
    assert set(page.evaluate(f"{moving}.map((s) => s.animationName + ' ' + s.scrollBehavior)")) == {"none auto"}

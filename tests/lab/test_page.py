"""The live page at `/`, as a person with a browser sees it: Chromium, loading it from the real service."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.lab.browser import Page
from tests.lab.live_page import asked, column, expect, fact, is_noticed, is_seen, rows, viewing, workers
from tests.support import Service, eventually, free_port

NOTHING = "\N{EN DASH}"
UNKNOWN_KEY = '{"greetings": "Hola!"}'
PROBLEMS_OF_METRICS = "[...document.querySelectorAll('[data-problem=\"metrics\"]')].map((said) => said.textContent)"
REMEMBER_RATES = """(() => {
  const rate = document.querySelector('[data-fact="rate"]');
  window.rates = [];
  new MutationObserver(() => window.rates.push(rate.textContent)).observe(rate, { childList: true });
})()"""
RATES_OF = """import('/static/traffic.js').then(({ Traffic, readScrape }) => {
  const traffic = new Traffic();
  TEXTS.forEach((text, n) => traffic.add(readScrape(text, 2000 * n)));
  return traffic.points.map(({ rate }) => rate ?? null);
})"""
ALL_OF_THEM = re.compile("30 of (39|40)[0-9] requests")
EFFECTS: list[tuple[dict[str, Any], str]] = [
    ({"delay_ms": 300}, "delay 300 ms"),
    ({"delay_ms": 20, "status": 503}, "status 503, delay 20 ms"),
    ({"allocate_mib": 64, "exit_worker": False}, "allocate 64 MiB"),
    ({"exit_worker": True, "cpu_ms": 2.5}, "exit worker, cpu 2.5 ms"),
    ({"exception": "ValueError", "log_lines": 100}, "exception ValueError, log 100 lines"),
    ({"other": {"of": ["any", "kind"]}}, 'other {"of":["any","kind"]}'),
    ({}, "none"),
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path) as service:
        yield service.ready()


@pytest.fixture
def page(chromium: str, service: Service, tmp_path: Path) -> Iterator[Page]:
    with viewing(chromium, service, tmp_path) as page:
        yield page


def test_page_shows_four_ready_workers(page: Page, service: Service) -> None:
    """Each worker has its row, with the pid and the state that the service reports."""
    expect(page, lambda: column(page, "state"), ["ready"] * 4, "four workers ready")
    assert column(page, "pid") == [str(worker["pid"]) for worker in service.workers()]
    assert fact(page, "verdict") == "Ready."


def test_page_follows_a_change_of_configuration_without_a_reload(page: Page, service: Service) -> None:
    """Greeting, revision and each worker's generation change in the page that is open."""
    page.evaluate("window.marker = 'the same page'")
    before = fact(page, "revision")
    service.put('{"greeting": "Buenos días!"}')
    expect(page, lambda: fact(page, "greeting"), "Buenos días!", "the new greeting")
    expect(page, lambda: column(page, "generation"), ["2"] * 4, "every worker's new generation")
    after = service.get("/config/status").json()["revision"]
    expect(page, lambda: fact(page, "revision"), after, "the new revision")
    expect(page, lambda: column(page, "revision"), [after] * 4, "every worker's new revision")
    assert after != before
    assert page.evaluate("window.marker") == "the same page"
    assert len(page.reports("Page.loadEventFired")) == 1


def test_page_shows_a_rejection_with_its_reasons_until_it_ends(page: Page, service: Service) -> None:
    """A refused document is named with each reason, while the greeting in force stays; a good one clears it."""
    assert not is_noticed(page, "rejected")
    service.put(UNKNOWN_KEY)
    expect(page, lambda: is_noticed(page, "rejected"), True, "the rejection")
    rejection = service.get("/config/status").json()["rejection"]
    assert fact(page, "rejectedRevision") == rejection["revision"]
    assert fact(page, "rejectedFor").startswith("/greetings: unknown key")
    assert (fact(page, "greeting"), fact(page, "generation")) == ("Hola!", "1")
    service.put('{"greeting": "Hola again!"}')
    expect(page, lambda: is_noticed(page, "rejected"), False, "no rejection any more")
    expect(page, lambda: fact(page, "greeting"), "Hola again!", "the new greeting")


def test_page_shows_the_successor_of_a_killed_worker(page: Page) -> None:
    """Its slot gets another pid, the other workers keep theirs."""
    before = {slot: row["pid"] for slot, row in workers(page).items()}
    os.kill(int(before["2"]), signal.SIGKILL)
    expect(page, lambda: before["2"] in column(page, "pid"), False, "the end of the old worker")
    expect(page, lambda: column(page, "state"), ["ready"] * 4, "four workers ready again")
    after = {slot: row["pid"] for slot, row in workers(page).items()}
    assert after["2"].isdigit()
    assert after | {"2": before["2"]} == before


def test_page_shows_the_traffic_of_all_workers(page: Page, service: Service) -> None:
    """Rate, errors and latency move under load, in figures, in curves and in words, and come down when it ends."""
    expect(page, lambda: figure(page, "rate") < 5, True, "its own looks and nothing else")
    service.get_many(300, 4, "/version")
    service.get_many(30, 3, "/status/503")
    service.get_many(60, 6, "/delay/0.2")
    expect(page, lambda: bool(ALL_OF_THEM.fullmatch(fact(page, "errorsNote"))), True, "each error and no other")
    assert figure(page, "rate") > 20
    assert 5 < figure(page, "errors") < 10
    assert 100 < figure(page, "latency") <= 250, "in the bucket that a delay of 0.2 s is in"
    assert [curve(page, name) for name in ("rate", "errors", "latency")] == [True] * 3
    assert " a second" in label(page, "rate")
    eventually(lambda: figure(page, "rate") < 5, "the rate after the load", 20)
    assert f"peak {label(page, 'rate').split(' and ')[1].split(',')[0]}" == fact(page, "ratePeak")


def test_page_shows_no_negative_rate_after_a_restart(chromium: str, tmp_path: Path) -> None:
    """Counters begin at 0 again: the curve has a gap there, and goes on with what the new life counts."""
    port = str(free_port())
    with Service(tmp_path, PORT=port) as first, viewing(chromium, first.ready(), tmp_path) as page:
        first.get_many(500, 4, "/version")
        expect(page, lambda: figure(page, "rate") > 20, True, "the load")
        page.evaluate(REMEMBER_RATES)
        first.stop()
        (tmp_path / "again").mkdir()
        with Service(tmp_path / "again", PORT=port) as second:
            second.ready()
            expect(page, lambda: fact(page, "rate"), NOTHING, "no rate of two lives")
            expect(page, lambda: fact(page, "rate").startswith("1."), True, "its own looks again")
        seen = [float(rate) for rate in page.evaluate("window.rates") if rate != NOTHING]
        assert seen
        assert min(seen) >= 0


def test_page_tells_lives_and_pods_apart(page: Page) -> None:
    """A scrape with lower counters, or of none of the workers before it, begins anew; one new worker does not."""
    before, grew, fell = scrape(100, "7", "8"), scrape(140, "7", "9"), scrape(20, "7", "9")
    other, silent = scrape(900, "5", "6"), scrape(900, "5", "6")
    found = page.evaluate(RATES_OF.replace("TEXTS", json.dumps([before, grew, fell, other, silent])))
    assert found == [None, 20, None, None, 0]


def test_page_shows_a_fault_with_its_time_left_until_it_ends(page: Page, service: Service) -> None:
    """Its row says what it does to whom, for how long, and how often it has; then it goes by itself."""
    assert is_seen(page, '[data-problem="faults"]')
    until = datetime.now(UTC) + timedelta(seconds=10)
    fault = {"id": "drill", "route": "/version", "percent": 100, "status": 503, "until": until.isoformat()}
    over = {"id": "over", "route": "/", "until": "2026-01-01T00:00:00Z"}
    service.put(json.dumps({"faults": [over, fault]}))
    expect(page, lambda: [*rows(page, "faults", "id")], ["drill"], "the fault in force, and not the one that is over")
    row = rows(page, "faults", "id")["drill"]
    assert (row["route"], row["share"], row["effect"]) == ("/version", "100 %", "status 503")
    assert row["until"] == until.isoformat()[:19].replace("T", " ")
    assert 2 < int(row["left"].removesuffix(" s left")) <= 11
    assert is_noticed(page, "faults")
    assert [service.get("/version").status for _ in range(3)] == [503] * 3
    expect(page, lambda: rows(page, "faults", "id")["drill"]["injected"], "3", "each injection")
    eventually(lambda: rows(page, "faults", "id") == {}, "the fault's end", 15)
    assert datetime.now(UTC) > until - timedelta(seconds=1)
    assert is_seen(page, '[data-problem="faults"]')
    assert not is_noticed(page, "faults")


def test_page_can_tell_faults_of_any_kind(page: Page) -> None:
    """What a fault does is told from its keys alone, so that another kind needs no change here."""
    fault = {"id": "drill", "route": "/", "percent": 12.5, "until": None, "status": None, "delay_ms": 0}
    faults = json.dumps([fault | keys for keys, _effect in EFFECTS])
    call = f"{faults}.map((fault) => words.faultRow(fault, Date.now()))"
    told = page.evaluate(f"import('/static/words.js').then((words) => {call})")
    assert [row["effect"] for row in told] == [effect for _keys, effect in EFFECTS]
    assert {(row["share"], row["left"]) for row in told} == {("12.5 %", "with the document")}


def test_the_first_page_has_the_words_that_the_script_has(page: Page, service: Service) -> None:
    """What the template writes of a fault is what the page shows later: there is no change at the first look."""
    faults = [{"id": "drill", "route": "/version", "percent": 2.5, "delay_ms": 20, "status": 503}]
    service.put(json.dumps({"faults": faults}))
    expect(page, lambda: [*rows(page, "faults", "id")], ["drill"], "the fault")
    served = service.get("/", Accept="text/html").body.decode()
    for name, text in rows(page, "faults", "id")["drill"].items():
        assert (
            name == "injected" or re.search(rf'data-cell="{name}"[^>]*>{re.escape(text)}<', served) or text == NOTHING
        )


def test_page_counts_a_killed_worker(page: Page) -> None:
    """An exit is counted under its reason, and under no other."""
    expect(page, lambda: exits(page)["killed"], "0", "no exit yet")
    os.kill(int(workers(page)["1"]["pid"]), signal.SIGKILL)
    expect(page, lambda: exits(page)["killed"], "1", "the exit")
    assert {count for reason, count in exits(page).items() if reason != "killed"} == {"0"}


def test_page_shows_a_drain_with_what_is_in_flight(chromium: str, tmp_path: Path) -> None:
    """The drain is announced, what it waits for is counted, and a page that loses its pod says that it was draining."""
    with (
        Service(tmp_path, HOLA_DRAIN_SECONDS="30") as service,
        viewing(chromium, service.ready(), tmp_path) as page,
        ThreadPoolExecutor(1) as client,
    ):
        assert not is_noticed(page, "draining")
        answer = client.submit(service.get, "/delay/4")
        expect(page, lambda: busy(page), 1, "the request")
        service.process.terminate()
        expect(page, lambda: is_noticed(page, "draining"), True, "the drain")
        expect(page, lambda: (fact(page, "verdict"), fact(page, "inFlight")), ("Draining.", "1"), "what is in flight")
        expect(page, lambda: fact(page, "inFlight"), "0", "nothing in flight")
        assert answer.result().status == 200
        service.stop()  # the second TERM ends the drain at once
        expect(page, lambda: is_noticed(page, "gone"), True, "that nobody answers")
        assert fact(page, "farewell").startswith("It was draining")


def test_page_explains_that_metrics_are_on_another_port(chromium: str, tmp_path: Path) -> None:
    """Instead of figures it says where they are, asks for them no more, and shows all the rest."""
    port = str(free_port())
    with Service(tmp_path, HOLA_METRICS_PORT=port) as service, viewing(chromium, service.ready(), tmp_path) as page:
        expect(page, lambda: is_seen(page, '[data-problem="metrics"]'), True, "why there are no figures")
        assert page.evaluate(PROBLEMS_OF_METRICS) == [f"Not shown: metrics are served on port {port}."] * 2
        assert not is_seen(page, '[data-body="metrics"]')
        expect(page, lambda: len(asked(page, "/config/status")) >= 4, True, "some more looks")
        assert len(asked(page, "/metrics")) == 1
        assert column(page, "state") == ["ready"] * 4
        assert len(complaints(page)) == 1, "the browser's own, of that one answer"


def test_page_says_that_nobody_answers_when_the_service_is_stopped(page: Page, service: Service) -> None:
    """It says so and since when, and keeps what was last known, marked as old."""
    service.stop()
    expect(page, lambda: is_noticed(page, "gone"), True, "that nobody answers")
    assert fact(page, "verdict") == "No answer."
    assert fact(page, "greeting") == "Hola!"
    assert page.evaluate("document.querySelector('main').classList.contains('stale')") is True


def test_page_keeps_its_own_security_policy(page: Page, service: Service) -> None:
    """Nothing in the console complains, while an inline style, put in to prove it, is heard at once."""
    markup = "<b style='color:red'>Hola!</b>"
    service.put(f'{{"greeting": "{markup}"}}')
    expect(page, lambda: fact(page, "greeting"), markup, "markup as text")
    assert complaints(page) == []
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">')")
    eventually(lambda: "Content Security Policy" in str(complaints(page)), "that a breach is heard", 10)


def test_page_asks_nobody_but_the_service(page: Page, service: Service) -> None:
    """Not a font, not a script, not an image comes from another host."""
    expect(page, lambda: len(asked(page, "/config/status")) >= 2, True, "a second look")
    urls = [urlsplit(request["request"]["url"]) for request in page.reports("Network.requestWillBeSent")]
    assert {(url.scheme, url.netloc) for url in urls} <= {("http", f"127.0.0.1:{service.port}"), ("data", "")}


def figure(page: Page, name: str) -> float:
    """One of the traffic's figures as a number; one that is not known is none."""
    found = re.match(r"[\d.]+", fact(page, name))
    return float(found[0]) if found else float("nan")


def curve(page: Page, name: str) -> bool:
    """True if something is drawn: a line with more than one point."""
    drawn = page.evaluate(f"document.querySelector('[data-sparkline=\"{name}\"] .line').getAttribute('d')")
    return bool(re.search(r"^M[\d.]+ [\d.]+L", drawn))


def label(page: Page, name: str) -> str:
    """What a screen reader says of a curve."""
    return str(page.evaluate(f"document.querySelector('[data-sparkline=\"{name}\"]').getAttribute('aria-label')"))


def scrape(requests: int, *born: str) -> str:
    """An exposition with so many requests, and workers that were started at these times."""
    workers = [f'hola_worker_start_time_seconds{{slot="{slot}"}} {at}' for slot, at in enumerate(born)]
    return "\n".join([f'http_requests_total{{method="GET",route="/",status="200"}} {requests}.0', *workers])


def exits(page: Page) -> dict[str, str]:
    return {reason: row["count"] for reason, row in rows(page, "exits", "reason").items()}


def busy(page: Page) -> int:
    return sum(int(row["threads"].split(" of ")[0]) for row in workers(page).values())


def complaints(page: Page) -> list[str]:
    """What the console holds: the browser's own entries, and what the page's script wrote."""
    entries = [report["entry"]["text"] for report in page.reports("Log.entryAdded")]
    return entries + [str(report["args"]) for report in page.reports("Runtime.consoleAPICalled")]

"""The steps, in their order: each does something to a hola under traffic and says what was seen of it.

A step that does not see what it promises raises `NotShown`; one that its target cannot show, `Skipped`.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from demo.figures import LIMIT, Burn, Figures
from demo.stage import Stage, Step
from demo.target import Json, NotShown

GOOD: Json = {"greeting": "Hola from the demo!", "_meta": {"author": "make demo", "change": "the first of the demo"}}
CHANGED: Json = GOOD | {"greeting": "Hola again!", "_meta": {"author": "make demo", "change": "another greeting"}}
WRONG = '{"greeting": 5, "fautls": []}'
FAULTS: list[Json] = [
    {"id": "demo-errors", "route": "/", "percent": 40, "status": 503},
    {"id": "demo-slow", "route": "/version", "percent": 100, "delay_ms": 300},
]
ALERT = "HolaErrorBudgetBurn"
ALERT_SECONDS = 60
FEWEST_FAULTS = 10
IN_FLIGHT_SECONDS = 0.3  # until a request has surely reached its worker
MOST_LOST = 8  # a worker's threads: what it may have had in its hands


def serve(stage: Stage) -> str:
    before = stage.traffic.answered
    counted = stage.figures().total("http_requests_total")
    wanted = len(stage.status()["workers"])
    slots: set[int] = set()
    stage.until(lambda: _meet(stage, slots) == wanted, "every worker answers")
    stage.dwell()
    answered = stage.traffic.answered - before
    rise = stage.figures().total("http_requests_total") - counted
    if stage.traffic.failed or stage.traffic.lost or rise < answered:
        raise NotShown(f"{answered} answers, of which /metrics knows {rise:.0f}; {_losses(stage)}")
    return (
        f"{answered} answers by {wanted} workers, every one in /metrics, whichever worker was asked; {_losses(stage)}"
    )


def change(stage: Stage) -> str:
    before = stage.status()
    started = time.monotonic()
    after = stage.publish(CHANGED)
    seconds = time.monotonic() - started
    if stage.traffic.failed or stage.traffic.lost:
        raise NotShown(f"the change was felt: {_losses(stage)}")
    stage.dwell()
    workers = len(after["workers"])
    revisions = f"{before['revision']} → {after['revision']}"
    return f"{workers} workers took {revisions} on in {seconds * 1000:.0f} ms; {_losses(stage)}"


def reject(stage: Stage) -> str:
    running = stage.status()["revision"]
    how = stage.target.slip_in(WRONG)
    rejection = stage.until(lambda: stage.status()["rejection"], "the document is rejected")
    reasons = ", ".join(f"{error['path']} {error['code']}" for error in rejection["errors"])
    told = stage.figures().total("hola_config_last_reload_successful")
    stage.dwell()
    if stage.status()["revision"] != running or stage.get("/readyz").status != 200 or told != 0:
        raise NotShown(f"the document in force, readiness or the metric is not as it should be ({reasons})")
    stage.publish(GOOD)
    stage.until(lambda: stage.figures().total("hola_config_last_reload_successful") == 1, "a good one mends it")
    return f"{how}: {reasons}; {running} stayed in force, and ready; after five minutes HolaConfigRejected tells"


def lose_a_worker(stage: Stage) -> str:
    victim = stage.status()["workers"][0]
    counted, lost = stage.figures(), stage.traffic.lost
    stage.target.kill(victim["pid"])
    started = time.monotonic()
    successor = stage.until(lambda: _successor(stage, victim), "another worker in its slot")
    seconds = time.monotonic() - started
    stage.dwell()
    now = stage.figures()
    killed = _rise(counted, now, "hola_worker_exits_total", reason="killed")
    if killed != 1 or _rise(counted, now, "http_requests_total") < 0 or stage.traffic.lost - lost > MOST_LOST:
        raise NotShown(f"{killed:.0f} exits by kill, {stage.traffic.lost - lost} requests lost")
    return (
        f"slot {victim['slot']}: {victim['pid']} → {successor['pid']} in {seconds:.1f} s; "
        f"{stage.traffic.lost - lost} requests lost with it, and no count"
    )


def inject(stage: Stage) -> str:
    before = stage.figures()
    stage.publish(GOOD | {"faults": FAULTS})
    stage.until(lambda: all(_injected(before, stage.figures(), f) >= FEWEST_FAULTS for f in FAULTS), "enough faults")
    failed = stage.until(lambda: _problem(stage), "a visitor meets one")
    slow = stage.get("/version")
    if slow.status != 200 or slow.seconds < 0.3 or FAULTS[0]["id"] not in failed["detail"]:
        raise NotShown(f"/version: {slow.status} in {slow.seconds:.2f} s; {failed['detail']}")
    stage.dwell()
    errors, slowed = (_injected(before, stage.figures(), fault) for fault in FAULTS)
    return (
        f"{errors:.0f} times {FAULTS[0]['id']} (status 503), {slowed:.0f} times {FAULTS[1]['id']} "
        f"(/version takes {slow.seconds:.2f} s); trace {failed['trace_id']}"
    )


def burn(stage: Stage) -> str:
    before, started = stage.figures(), time.monotonic()
    burnt = stage.until(lambda: _paging(before, stage.figures()), f"the condition of {ALERT}")
    seconds = time.monotonic() - started
    state = stage.target.alert(ALERT)
    if state is not None:
        state = stage.until(lambda: _awake(stage), f"Prometheus: {ALERT} is pending", ALERT_SECONDS)
    stage.publish(GOOD)
    stage.until(lambda: _is_calm(stage), "no errors once the fault is gone")
    says = f"{state} in Prometheus" if state else "true by /metrics"
    return (
        f"{ALERT} is {says}: {burnt.failed:.0f} of {burnt.total:.0f} requests failed in {seconds:.1f} s "
        f"({burnt.ratio:.0%}, it allows {LIMIT:.2%}); over with the fault"
    )


def drain(stage: Stage) -> str:
    with ThreadPoolExecutor(1) as pool:
        in_flight = pool.submit(stage.get, "/delay/3")  # longer than the drain
        stage.dwell(IN_FLIGHT_SECONDS)
        stage.target.terminate()
        stage.until(lambda: stage.get("/readyz").status == 503, "readiness goes")
        served = stage.get("/")
        stage.traffic.end()  # as a balancer does that asked /readyz
        finished = in_flight.result()
    code, account = stage.target.account()
    if (served.status, served.headers.get("Connection"), finished.status, code) != (200, "close", 200, 0):
        raise NotShown(f"drained: / {served.status}, the request in flight {finished.status}, exit code {code}")
    if account["aborted"] or not account["drained"] or stage.traffic.lost > MOST_LOST:
        raise NotShown(f"{account['drained']} requests drained, {account['aborted']} aborted; {_losses(stage)}")
    parts = ("in_flight_at_start", "drained", "aborted", "drain_seconds", "stop_seconds")
    return "/readyz 503 and everything served, exit 0; " + ", ".join(f"{part} {account[part]}" for part in parts)


STEPS = (
    Step("Traffic, served by all workers", "/", "http_requests_total", "request_finished", "service", serve),
    Step(
        "A change, taken on by all", "/config/status", "hola_config_workers", "config_applied", "configuration", change
    ),
    Step(
        "A wrong document, rejected",
        "/config/status",
        "hola_config_last_reload_successful",
        "config_rejected",
        "configuration",
        reject,
    ),
    Step("A worker, killed and replaced", "/", "hola_worker_exits_total", "worker_exited", "workers", lose_a_worker),
    Step(
        "Faults, injected on purpose", "/version", "hola_faults_injected_total", "request_finished", "service", inject
    ),
    Step("An alert's condition", "/metrics", "http_requests_total", "request_finished", "service", burn),
    Step("A drain by TERM", "/readyz", "hola_workers", "server_stopped", "workers", drain),
)


def _meet(stage: Stage, slots: set[int]) -> int:
    """How many workers have answered so far."""
    slots.add(stage.get("/").json()["slot"])
    return len(slots)


def _successor(stage: Stage, victim: Json) -> Json | None:
    workers = stage.status()["workers"]
    others = [w for w in workers if w["slot"] == victim["slot"] and w["pid"] != victim["pid"] and w["state"] == "ready"]
    return others[0] if others else None


def _problem(stage: Stage) -> Json | None:
    answer = stage.get("/")
    return dict(answer.json()) if answer.status == 503 else None


def _injected(before: Figures, now: Figures, fault: Json) -> float:
    return _rise(before, now, "hola_faults_injected_total", id=fault["id"])


def _rise(before: Figures, now: Figures, name: str, **labels: str) -> float:
    return now.total(name, **labels) - before.total(name, **labels)


def _paging(before: Figures, now: Figures) -> Burn | None:
    burnt = now.burn_since(before)
    return burnt if burnt.would_page else None


def _awake(stage: Stage) -> str | None:
    state = stage.target.alert(ALERT)
    return state if state != "inactive" else None


def _is_calm(stage: Stage) -> bool:
    before = stage.figures()
    stage.dwell(0.5)
    burnt = stage.figures().burn_since(before)
    return burnt.total > 0 and burnt.failed == 0


def _losses(stage: Stage) -> str:
    return f"{stage.traffic.failed} with 5xx, {stage.traffic.lost} without an answer"

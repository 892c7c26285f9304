"""What a change tells: what it asks for in vain, who made it, how it is taken back, which pods it is for."""

from __future__ import annotations

import json
from pathlib import Path

from tests.process.volume import all_run, numbered
from tests.support import Service, eventually, run_command


def test_a_setting_that_needs_a_restart_is_reported_and_not_applied(own_service: Service, tmp_path: Path) -> None:
    """Row 24: the rest of the document is in force; event and gauge name what is not."""
    document = numbered(1, static={"workers": 6, "threads": 8})
    own_service.put(document)
    required = own_service.wait_for("config_restart_required", 10)
    assert required["paths"] == ["/static/workers"]
    eventually(lambda: all_run(own_service, 1), "number 1 on four workers", 10)
    assert own_service.metrics()["hola_config_restart_required"] == 1
    (tmp_path / "new.json").write_text(document)
    (tmp_path / "old.json").write_text(numbered(0))
    assert run_command("config", "check", str(tmp_path / "new.json"), "--against", str(tmp_path / "old.json"))[0] == 3
    own_service.put(numbered(2, static={"workers": 4}))
    eventually(lambda: own_service.metrics()["hola_config_restart_required"] == 0, "nothing required", 10)
    assert len(own_service.events("config_restart_required")) == 1


def test_who_changed_what_is_told(own_service: Service) -> None:
    """Row 31: `_meta` is in the event, the history and the document; without it the author is unknown."""
    meta = {"author": "ana", "change": "HOLA-7", "at": "2026-11-23T06:00:00Z"}
    own_service.put(json.dumps({"greeting": "one", "_meta": meta}))
    assert own_service.wait_for("config_applied", 10, generation=2)["meta"] == meta
    assert own_service.get("/config").json()["document"]["_meta"].items() >= meta.items()
    own_service.put(json.dumps({"greeting": "two"}))
    assert own_service.wait_for("config_applied", 10, generation=3)["meta"] == {"author": "unknown"}
    history = own_service.get("/config/history").json()["transitions"]
    assert [entry["meta"]["author"] for entry in history[:2]] == ["unknown", "ana"]


def test_taking_a_change_back_is_a_change(own_service: Service) -> None:
    """Row 32: A, B, A without a restart: A's revision again, two generations more, three events."""
    for generation, number in enumerate((1, 2, 1), start=2):
        own_service.put(numbered(number))
        own_service.wait_for("config_applied", 10, generation=generation)
    eventually(lambda: all_run(own_service, 1), "number 1", 10)
    first, second, third = own_service.events("config_applied")[1:]
    assert first["revision"] == third["revision"] != second["revision"]
    assert third["previous"] == second["revision"]
    assert {worker["generation"] for worker in own_service.workers()} == {4}
    assert own_service.metrics()["hola_config_generation"] == 4


def test_a_rollout_reaches_some_pods_first(tmp_path: Path) -> None:
    """Row 30: at 50 percent one of these two pods takes part and the other tells that it does not; at 100 both do."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        Service(tmp_path / "one", numbered(0), POD_NAME="hola-a") as one,
        Service(tmp_path / "two", numbered(0), POD_NAME="hola-c") as two,
    ):
        pods = [one.ready(), two.ready()]
        _roll_out(pods, 1, percent=50)
        eventually(lambda: sorted(_held(pod) for pod in pods) == [0, 1], "one pod held back", 10)
        held, first = sorted(pods, key=_held, reverse=True)
        assert all_run(held, 0)
        eventually(lambda: all_run(first, 1), "number 1 on the other", 10)
        assert held.wait_for("config_held", 10, percent=50)["revision"] == first.get("/").json()["revision"]
        assert held.get("/config/status").json()["held"] == first.get("/").json()["revision"]
        _roll_out(pods, 2, percent=100)
        eventually(lambda: all_run(one, 2) and all_run(two, 2), "number 2 on both", 10)
        assert [_held(pod) for pod in pods] == [0, 0]


def _roll_out(pods: list[Service], number: int, percent: float) -> None:
    for pod in pods:
        pod.put(numbered(number, _meta={"rollout": {"percent": percent}}))


def _held(service: Service) -> float:
    return service.metrics()["hola_config_held"]

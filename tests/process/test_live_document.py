"""The live document: a change reaches all workers while they serve; a bad one reaches nobody."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support import Service, eventually


def test_a_change_is_taken_on_by_all_workers_within_a_second(own_service: Service) -> None:
    assert own_service.metrics()["hola_config_apply_duration_seconds_count"] == 0
    own_service.put(json.dumps({"greeting": "Adiós!", "features": {"shout": True}, "_meta": {"author": "ana"}}))
    eventually(lambda: _generations(own_service) == {2}, "generation 2 on all workers", 1)
    assert own_service.get("/").json()["greeting"] == "ADIÓS!"
    [_, applied] = own_service.events("config_applied")
    assert applied["meta"]["author"] == "ana"
    assert "/greeting" in applied["changed"]
    assert own_service.metrics()["hola_config_generation"] == 2
    eventually(lambda: own_service.metrics()["hola_config_apply_duration_seconds_count"] == 1, "its duration", 3)


def test_the_page_names_the_faults_in_force_before_any_script(own_service: Service) -> None:
    """Each with what it does in words; not one whose time is over."""
    drill = {"id": "drill", "route": "/version", "percent": 2.5, "delay_ms": 20, "status": 503}
    over = {"id": "long-over", "route": "/version", "until": "2026-01-01T00:00:00Z"}
    own_service.put(json.dumps({"faults": [over, drill]}))
    eventually(lambda: own_service.get("/").json()["generation"] == 2, "the new document", 2)
    page = own_service.get("/", Accept="text/html").body.decode()
    table = page[page.index('data-list="faults"') : page.index("</tbody>", page.index('data-list="faults"'))]
    cells = re.findall(r'data-cell="(id|share|effect|left)"[^>]*>([^<]*)<', table)
    assert dict(cells) == {
        "id": "drill",
        "share": "2.5 %",
        "effect": "delay 20 ms, status 503",
        "left": "with the document",
    }
    assert len(cells) == 4


def test_a_swap_of_the_volume_is_taken_on(own_service: Service) -> None:
    """Rows 7 and 8 of live configuration: kubelet's link, swapped three times."""
    volume = own_service.config_dir
    (volume / "config.json").unlink()
    for number in range(3):
        new = volume / f"..2026_{number}"
        new.mkdir()
        (new / "config.json").write_text(json.dumps({"greeting": f"swap {number}"}))
        (volume / "..data_tmp").symlink_to(new.name)
        (volume / "..data_tmp").rename(volume / "..data")
        if number == 0:
            (volume / "config.json").symlink_to("..data/config.json")
        eventually(lambda: own_service.get("/").json()["greeting"] == f"swap {number}", f"swap {number}", 2)  # noqa: B023 - called at once


def test_a_bad_document_changes_nothing_and_is_told_once(own_service: Service) -> None:
    """Rows 1, 16, 25: what runs goes on; reasons without values; recovery clears it."""
    good = (own_service.config_dir / "config.json").read_text()
    own_service.put('{"greeting": 5, "passwords": "S3NT1NEL"}')
    rejected = own_service.wait_for("config_rejected")
    assert [error["path"] for error in rejected["errors"]] == ["/greeting", "/passwords"]
    assert own_service.get("/readyz").status == 200
    assert own_service.get("/").json()["generation"] == 1
    assert own_service.metrics()["hola_config_last_reload_successful"] == 0
    assert own_service.get("/config/status").json()["rejection"]["errors"]
    own_service.put(good)
    own_service.wait_for("config_recovered")
    assert own_service.metrics()["hola_config_last_reload_successful"] == 1
    assert len(own_service.events("config_rejected")) == 1
    assert b"S3NT1NEL" not in b"".join(own_service.raw)


def test_a_worker_born_while_the_file_is_bad_serves_the_last_good(own_service: Service) -> None:
    """Row B8: a bad document and a death at once are no outage."""
    own_service.put("{")
    own_service.wait_for("config_rejected")
    victim = own_service.workers()[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(own_service.events("worker_ready")) == 5, "the replacement", 5)
    assert {answer.status for answer in own_service.get_many(80, 16)} == {200}
    assert _generations(own_service) == {1}


def test_a_log_level_ends_by_itself(own_service: Service) -> None:
    """A knob with an end: `until`."""
    until = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    own_service.put(json.dumps({"log_level": {"value": "debug", "until": until}}))
    eventually(lambda: own_service.get("/livez") and own_service.events("request_finished"), "debug lines", 2)
    eventually(lambda: datetime.now(UTC).isoformat() > until, "the end", 3)
    eventually(lambda: not _is_probe_told(own_service), "probes quiet again", 3)


def test_what_ends_by_itself_does_not_wait_for_the_next_look(tmp_path: Path) -> None:
    """README: a value with `until` ends by itself, though the source is looked at every ten minutes."""
    until = (datetime.now(UTC) + timedelta(seconds=6)).isoformat()
    fault = {"id": "drill", "route": "/nowhere", "status": 503, "until": until}
    document = json.dumps({"log_level": {"value": "debug", "until": until}, "faults": [fault]})
    with Service(tmp_path, document, HOLA_CONFIG_WATCH="poll", HOLA_CONFIG_POLL_SECONDS="600") as service:
        service.ready()
        ready_at = time.monotonic()
        assert _is_probe_told(service) or datetime.now(UTC).isoformat() > until
        eventually(lambda: datetime.now(UTC).isoformat() > until, "the end", 7)
        service.wait_for("fault_ended", 5, fault_id="drill", reason="expired")
        eventually(lambda: not any(_is_probe_told(service) for _ in range(16)), "probes quiet again", 10)
        elapsed, figures = time.monotonic() - ready_at, service.metrics()
        assert figures["hola_config_source_age_seconds"] >= elapsed, "nobody looked meanwhile"
        assert figures["hola_config_apply_duration_seconds_count"] == 0, "what it booted with is no change"


def test_a_fault_is_injected_and_stamped(own_service: Service) -> None:
    fault = {"id": "broken-version", "route": "/version", "status": 503}
    own_service.put(json.dumps({"faults": [fault]}))
    eventually(lambda: own_service.get("/version").status == 503, "the fault", 2)
    line = own_service.wait_for("request_finished", route="/version", status=503)
    assert line["fault_id"] == "broken-version"
    assert own_service.get("/livez").status == 200
    assert own_service.metrics()['hola_faults_injected_total{id="broken-version"}'] >= 1


def _generations(service: Service) -> set[int]:
    return {worker["generation"] for worker in service.workers()}


def _is_probe_told(service: Service) -> bool:
    trace_id = service.get("/livez").headers["X-Trace-Id"]
    last = service.get("/version").headers["X-Trace-Id"]
    service.wait_for("request_finished", trace_id=last)
    return any(line["trace_id"] == trace_id for line in service.events("request_finished"))

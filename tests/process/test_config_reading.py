"""What may be found on the volume, and when it is believed: whole contents, never events, times or absences."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.process.hammer import Hammer
from tests.process.volume import DOCUMENT, Volume, all_run, numbered, pids, start_through, told
from tests.support import Service, eventually

POLL = {"HOLA_CONFIG_WATCH": "poll", "HOLA_CONFIG_POLL_SECONDS": "0.1"}
# Root may read everything; without these two capabilities it is held to the file's mode like everybody else.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def test_a_document_that_vanishes_leaves_the_last_one(own_service: Service) -> None:
    """Row 4: the value stays, the source is told lost once, and nothing ever falls back to defaults."""
    own_service.put(numbered(1))
    eventually(lambda: all_run(own_service, 1), "number 1", 10)
    with Hammer(own_service, 2) as hammer:
        (own_service.config_dir / DOCUMENT).unlink()
        own_service.wait_for("config_source_lost", 10)
        assert own_service.metrics()["hola_config_source_up"] == 0
        age = own_service.metrics()["hola_config_source_age_seconds"]
        eventually(lambda: own_service.metrics()["hola_config_source_age_seconds"] > age + 1, "a growing age", 10)
        own_service.put(numbered(2))
        own_service.wait_for("config_source_found", 10)
        eventually(lambda: all_run(own_service, 2), "number 2", 10)
    assert {answer.about["greeting"] for answer in hammer.answers} == {"number 1", "number 2"}
    assert {answer.status for answer in hammer.answers} == {200}
    assert told(own_service, "config_source_lost") == 1
    assert own_service.metrics()["hola_config_source_up"] == 1


def test_a_volume_that_is_replaced_as_a_whole_is_watched_again(own_service: Service) -> None:
    """Row 7: the directory itself goes and another comes in its place, twice."""
    for number in (1, 2):
        own_service.config_dir.rename(own_service.config_dir.with_name(f"old{number}"))
        own_service.wait_for("config_source_lost", 10, generation=number)
        own_service.config_dir.mkdir()
        own_service.put(numbered(number))
        eventually(lambda: all_run(own_service, number), f"number {number}", 10)  # noqa: B023 - called at once


def test_a_writer_in_place_is_waited_for(tmp_path: Path) -> None:
    """Row 6: half a document for 200 ms, polled many times: no answer shows it, and it is told at most once."""
    with Service(tmp_path, numbered(1), **POLL | {"HOLA_CONFIG_POLL_SECONDS": "0.02"}) as service:
        service.ready()
        with Hammer(service, 2) as hammer:
            _write_in_two_halves(service.config_dir / DOCUMENT, numbered(2).encode(), pause_seconds=0.2)
            eventually(lambda: all_run(service, 2), "number 2", 10)
        assert {answer.about["greeting"] for answer in hammer.answers} == {"number 1", "number 2"}
        assert told(service, "config_rejected") <= 1
        assert service.get("/config/status").json()["rejection"] is None


@pytest.mark.parametrize("environment", [{}, POLL], ids=["events", "poll"])
def test_same_size_same_time_is_still_another_document(tmp_path: Path, environment: dict[str, str]) -> None:
    """Row 8: two swaps 0.4 s apart whose files agree in size and time of writing; then silence."""
    with Service(tmp_path, numbered(0), **environment) as service:
        service.ready()
        volume, written_at = Volume(service.config_dir), float(int(time.time()))
        for number in (1, 2):
            next_at = time.monotonic() + 0.4
            volume.swap({DOCUMENT: numbered(number)}, written_at)
            eventually(lambda: told(service, "config_applied") == number + 1, f"number {number}", 10)  # noqa: B023 - called at once
            eventually(lambda: time.monotonic() > next_at, "a look of all workers", 1)  # noqa: B023 - called at once
        eventually(lambda: all_run(service, 2), "number 2 on all workers", 10)


def test_a_document_that_may_not_be_read_for_a_moment_is_no_bad_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 27 and 29: mode 000, as an old kubelet left it for a moment: the value stays, nothing is rejected."""
    if os.geteuid() == 0:
        start_through(monkeypatch, tmp_path, *UNPRIVILEGED)
    (tmp_path / "state").mkdir(mode=0o555)
    with Service(tmp_path, numbered(1), **POLL) as service:
        service.ready()
        service.wait_for("config_not_saved", 10, reason="permission denied")
        (service.config_dir / DOCUMENT).chmod(0)
        lost = service.wait_for("config_source_lost", 10)
        assert "permission denied" in lost["reason"]
        assert service.get("/").json()["greeting"] == "number 1"
        (service.config_dir / DOCUMENT).chmod(0o444)
        service.wait_for("config_source_found", 10)
        service.put(numbered(2))
        eventually(lambda: all_run(service, 2), "number 2, although nothing can be saved", 10)
        assert told(service, "config_rejected") == 0
        assert service.metrics()['hola_config_reloads_total{result="applied"}'] == 2


def test_a_directory_in_the_documents_place_costs_no_descriptors(tmp_path: Path) -> None:
    """Row 4: what a container engine makes of a missing file to mount; looked at some hundred times."""
    with Service(tmp_path, numbered(1), **POLL | {"HOLA_CONFIG_POLL_SECONDS": "0.01"}) as service:
        before = _open_fds(service.ready())
        (service.config_dir / DOCUMENT).unlink()
        (service.config_dir / DOCUMENT).mkdir()
        eventually(lambda: told(service, "config_source_lost", "config_rejected"), "a word about it", 10)
        looked_until = time.monotonic() + 3
        eventually(lambda: time.monotonic() > looked_until, "three seconds of looks", 4)
        after = _open_fds(service)
        assert after <= before + 8, f"{before} -> {after} open descriptors"
        (service.config_dir / DOCUMENT).rmdir()
        service.put(numbered(2))
        eventually(lambda: all_run(service, 2), "number 2", 10)


def _write_in_two_halves(file: Path, data: bytes, pause_seconds: float) -> None:
    with file.open("r+b") as stream:
        stream.truncate(0)
        stream.write(data[: len(data) // 2])
        stream.flush()
        threading.Event().wait(pause_seconds)
        stream.write(data[len(data) // 2 :])


def _open_fds(service: Service) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids(service))

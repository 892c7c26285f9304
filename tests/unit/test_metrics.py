"""Every metric: its store in files that outlive a process, and its exposition in both formats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from hola.scoreboard import READY, STOPPING, Scoreboard
from hola.telemetry.metrics import BoardCollector, Exposition, Metrics
from tests.support import ROOT

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
COUNT_TWICE = """
import sys
from pathlib import Path
from hola.scoreboard import Scoreboard
from hola.telemetry.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]), 3, Scoreboard().rows[3])
metrics.observe("GET", "/", 200, 0.1, 0.001)
metrics.observe("GET", "/", 200, 0.1, None)
"""


@pytest.fixture
def exposition(tmp_path: Path, board: Scoreboard) -> Exposition:
    figures = BoardCollector(board, "1.2.3", "abc", lambda: ("5eed5eed5eed", "source"), lambda: {"db": 7.5})
    return Exposition(tmp_path, [figures], board, board.rows[0])


def samples(exposition: Exposition, accept: str = "") -> dict[str, float]:
    """Every sample by its name and labels."""
    body, _content_type = exposition.render(accept)
    families: Any = (parse_openmetrics if accept else parse_text)(body.decode())
    return {_key(sample): sample.value for family in families for sample in family.samples}


def _key(sample: Any) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}" if labels else str(sample.name)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_both_formats_parse_and_say_the_same(
    metrics: Metrics, exposition: Exposition, board: Scoreboard, accept: str
) -> None:
    metrics.observe("GET", "/delay/{seconds}", 200, 0.3, 0.002)
    metrics.rejected.labels("method").inc()
    metrics.faults.labels("slow-home").inc()
    metrics.apply_duration.observe(0.004)
    board.pod.generation, board.rows[3].state = 1, READY
    found = samples(exposition, accept)
    assert found["http_requests_total{method=GET,route=/delay/{seconds},status=200}"] == 1
    assert found["http_request_duration_seconds_bucket{le=0.25,method=GET,route=/delay/{seconds}}"] == 0
    assert found["http_request_duration_seconds_bucket{le=0.5,method=GET,route=/delay/{seconds}}"] == 1
    assert found["http_request_duration_seconds_sum{method=GET,route=/delay/{seconds}}"] == 0.3
    assert found["hola_request_queue_seconds_count"] == 1
    assert found["http_requests_rejected_total{reason=method}"] == 1
    assert found["hola_faults_injected_total{id=slow-home}"] == 1
    assert found["hola_config_apply_duration_seconds_count"] == 1
    assert found["hola_config_info{origin=source,revision=5eed5eed5eed}"] == 1
    assert found["hola_config_revision_hash"] == 0x5EED5EED5EED
    assert found["hola_secret_age_seconds{name=db}"] == 7.5


def test_each_format_is_named_by_its_content_type(exposition: Exposition) -> None:
    assert exposition.render("")[1].startswith("text/plain; version=0.0.4")
    assert exposition.render(OPENMETRICS)[1].startswith(OPENMETRICS)
    assert exposition.render(OPENMETRICS)[0].endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "version", ["x", "", "1.0.x", "-1", "99999999999999999999", "1.0.0; escaping=x", "\xff", "2.x"]
)
@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
def test_a_version_that_nobody_knows_is_no_failure(exposition: Exposition, kind: str, version: str) -> None:
    body, content_type = exposition.render(f"{kind};version={version}")
    assert b"hola_build_info" in body
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))


def test_an_unknown_method_is_counted_as_other(metrics: Metrics, exposition: Exposition) -> None:
    metrics.observe("BREW", "unmatched", 405, 0.1, None)
    found = samples(exposition)
    assert found["http_requests_total{method=other,route=unmatched,status=405}"] == 1
    assert not any("BREW" in key for key in found)


def test_a_queue_time_that_nobody_measured_is_not_counted(metrics: Metrics, exposition: Exposition) -> None:
    metrics.observe("GET", "/", 200, 0.1, None)
    assert samples(exposition)["hola_request_queue_seconds_count"] == 0


def test_a_slots_next_process_goes_on_counting_in_the_same_files(tmp_path: Path, exposition: Exposition) -> None:
    for run in (1, 2):
        subprocess.run([sys.executable, "-c", COUNT_TWICE, str(tmp_path)], cwd=ROOT, check=True, timeout=30)
        found = samples(exposition)
        assert found["http_requests_total{method=GET,route=/,status=200}"] == 2 * run
        assert found["http_request_duration_seconds_count{method=GET,route=/}"] == 2 * run
        assert sorted(file.name for file in tmp_path.glob("*")) == ["counter_3.db", "exemplar_3.bin", "histogram_3.db"]


def test_slots_are_added_up(tmp_path: Path, metrics: Metrics, exposition: Exposition, board: Scoreboard) -> None:
    for each in (metrics, Metrics(tmp_path, 4, board.rows[4])):
        each.observe("GET", "/", 200, 0.1, None)
    assert samples(exposition)["http_requests_total{method=GET,route=/,status=200}"] == 2


@pytest.mark.parametrize("content", [b"", b"\x40\x00\x00\x00" + b"\xff" * 60, b"\x00\x00"])
def test_a_file_that_cannot_be_read_is_skipped_and_counted(
    tmp_path: Path, metrics: Metrics, exposition: Exposition, board: Scoreboard, content: bytes
) -> None:
    metrics.observe("GET", "/", 200, 0.1, None)
    (tmp_path / "counter_9.db").write_bytes(content)
    found = samples(exposition)
    assert found["http_requests_total{method=GET,route=/,status=200}"] == 1
    assert (found["hola_metrics_file_errors_total"], board.rows[0].metrics_errors) == (1, 1)


def test_gauges_come_from_the_rows_of_living_workers(exposition: Exposition, board: Scoreboard) -> None:
    for slot, state in ((0, READY), (1, READY), (2, STOPPING)):
        row = board.rows[slot]
        row.state, row.threads, row.in_progress, row.generation, row.cpu_seconds = state, 8, slot, slot, 1.5
    board.pod.generation = 1
    found = samples(exposition)
    assert found["http_requests_in_progress"] == 3
    assert [found[f"hola_workers{{state={state}}}"] for state in ("ready", "booting", "draining")] == [2, 0, 1]
    assert (found["hola_config_workers{state=current}"], found["hola_config_workers{state=behind}"]) == (1, 2)
    assert found["hola_worker_threads{slot=2}"] == 8
    board.rows[2].state = 0
    found = samples(exposition)
    assert "hola_worker_threads{slot=2}" not in found
    assert found["hola_worker_cpu_seconds_total{slot=2}"] == 1.5, "a counter stays when its worker is gone"


def test_a_pod_without_a_document_names_none(exposition: Exposition) -> None:
    found = samples(exposition)
    assert (found["hola_config_generation"], found["hola_config_source_age_seconds"]) == (0, 0)
    assert not any(key.startswith("hola_config_info") for key in found)


def test_a_rejected_document_shows_until_it_is_mended(exposition: Exposition, board: Scoreboard) -> None:
    board.pod.rejected, board.pod.rejections = 0xBAD, 1
    found = samples(exposition)
    assert (found["hola_config_last_reload_successful"], found["hola_config_reloads_total{result=rejected}"]) == (0, 1)
    board.pod.rejected = 0
    assert samples(exposition)["hola_config_last_reload_successful"] == 1

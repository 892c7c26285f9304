"""compose.yaml and the configurations beside it: files exist, and names, ports, paths and variables fit together."""

from __future__ import annotations

import os.path
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hola import settings
from tests.promql import ALERTS, BOARDS
from tests.support import ROOT

Json = dict[str, Any]
COMPOSE: Json = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Json] = COMPOSE["services"]
FLUSH_SECONDS = 3
SOCKET = "/var/run/docker.sock"
HOLA = SERVICES["hola"]
each_service = pytest.mark.parametrize("name", SERVICES)


def load(path: str) -> Json:
    return dict(yaml.safe_load((ROOT / "compose" / path).read_text()))


PROMETHEUS, ALERTMANAGER = load("prometheus/prometheus.yml"), load("alertmanager/alertmanager.yml")
TEMPO, LOKI = load("tempo/tempo.yaml"), load("loki/loki.yaml")
SOURCES: dict[str, Json] = {
    source["uid"]: source for source in load("grafana/datasources/datasources.yaml")["datasources"]
}
ALLOY = (ROOT / "compose/alloy/config.alloy").read_text()
# Where each one listens, by its own configuration or, where that says nothing, by its program's default.
LISTENS = {
    "hola": int(HOLA["environment"]["PORT"]),
    "consul": 8500,
    "prometheus": 9090,
    "alertmanager": 9093,
    "grafana": 3000,
    "tempo": TEMPO["server"]["http_listen_port"],
    "tempo otlp": int(TEMPO["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]),
    "loki": LOKI["server"]["http_listen_port"],
    "engine": int(re.findall(r"^ *bind :(\d+)$", (ROOT / "compose/engine/haproxy.cfg").read_text(), re.MULTILINE)[0]),
}


def volumes(name: str) -> list[tuple[str, str, bool]]:
    """Source, place in the container and whether it may only be read, of either syntax."""
    found = []
    for volume in SERVICES[name].get("volumes", []):
        if isinstance(volume, dict):
            found.append((volume["source"], volume["target"], volume.get("read_only", False)))
        else:
            match = re.fullmatch(r"(\$\{.*\}|[^:]+):([^:]+)(:ro)?", volume)
            assert match
            found.append((match[1], match[2], bool(match[3])))
    return found


def mounts(name: str) -> dict[str, Path]:
    """Directories of the repository, by their place in the container."""
    return {place: ROOT / source for source, place, _ in volumes(name) if source.startswith("./")}


def mounted(name: str, place: str) -> Path:
    """The repository's file or directory that the container has at `place`."""
    [(root, directory)] = [(at, d) for at, d in mounts(name).items() if place == at or place.startswith(at + "/")]
    return directory / place.removeprefix(root).lstrip("/")


def addressed(url: str) -> tuple[str, int]:
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    return place.hostname, place.port


def test_the_file_fits_the_compose_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, ROOT / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@each_service
def test_mounts_are_existing_directories_and_read_only(name: str) -> None:
    """A single file that is mounted keeps its old content when an editor replaces it."""
    assert all(directory.is_dir() and any(directory.iterdir()) for directory in mounts(name).values())
    others = [volume for volume in volumes(name) if not volume[0].startswith("./")]
    assert {source for source, _, _ in others} <= {"live", "${DOCKER_SOCKET:-/var/run/docker.sock}"}
    assert [place for source, place, read_only in volumes(name) if not read_only] == ["/opt/hola"] * (name == "confd")


@each_service
def test_images_are_pinned_or_built_here(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].partition(":")
    assert tag not in {"", "latest"}
    assert ("build" in service) == image.startswith("hola"), "what no registry has is built"
    if "build" in service:
        assert (ROOT / service["build"] / "Dockerfile").is_file()


@each_service
def test_a_service_runs_without_rights(name: str) -> None:
    """Nothing but named memory can be written, no right gained; only the proxy is root, and has no capability."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "pid", "network_mode", "ipc"} & service.keys()
    assert service.get("user", "").startswith("0") == (name == "engine")


@each_service
def test_a_service_is_reached_from_this_machine_alone(name: str) -> None:
    for published in SERVICES[name].get("ports", []):
        address, outside, inside = published.split(":")
        assert (address, int(outside)) == ("127.0.0.1", int(inside))
        assert int(inside) == LISTENS[name]


@each_service
def test_what_is_waited_for_exists_and_can_be_healthy(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    conditions = waits if isinstance(waits, dict) else {other: {"condition": "service_started"} for other in waits}
    for other, wait in conditions.items():
        assert ("healthcheck" in SERVICES[other]) >= (wait["condition"] == "service_healthy")


@each_service
def test_a_healthcheck_asks_the_port_where_it_listens(name: str) -> None:
    asked = re.findall(r"http://127\.0\.0\.1:(\d+)", " ".join(SERVICES[name].get("healthcheck", {}).get("test", [])))
    assert {int(port) for port in asked} <= {LISTENS.get(name)}


def test_only_known_settings_are_set_and_with_values_that_hola_takes() -> None:
    for name in ("hola", "first-document"):
        environment = SERVICES[name]["environment"]
        names = {field.alias for field in settings.Settings.model_fields.values()}
        assert set(environment) <= names
        settings.load(environment)


def test_stopping_waits_for_drain_requests_and_flush() -> None:
    values = settings.load(HOLA["environment"])
    needed = values.drain_seconds + values.graceful_seconds + FLUSH_SECONDS
    assert needed < float(HOLA["stop_grace_period"].removesuffix("s"))


def test_spans_go_where_they_are_received() -> None:
    assert addressed(HOLA["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]) == ("tempo", LISTENS["tempo otlp"])


def test_the_document_goes_from_consul_through_confd_to_hola() -> None:
    """One key, one directory in memory, one user who may write there; and a first document that is pushed."""
    resource = (mounted("confd", "/etc/confd") / "conf.d/hola.toml").read_text()
    assert f'dest = "{settings.Settings.model_fields["config_dir"].default}/config.json"' in resource
    assert [(s, p, r) for s, p, r in volumes("hola") + volumes("confd") if s == "live"] == [
        ("live", "/opt/hola", True),
        ("live", "/opt/hola", False),
    ]
    options = COMPOSE["volumes"]["live"]["driver_opts"]
    assert options["type"] == "tmpfs"
    user, _, group = SERVICES["confd"]["user"].partition(":")
    assert {f"uid={user}", f"gid={group}"} <= set(options["o"].split(","))
    assert f"USER {user}:{group}" in (ROOT / "Dockerfile").read_text()
    first = SERVICES["first-document"]
    assert first["command"][:2] == ["config", "push"]
    assert mounted("first-document", first["command"][2]) == ROOT / "config/config.json"
    assert addressed(first["environment"]["CONSUL_HTTP_ADDR"]) == ("consul", LISTENS["consul"])


def test_confd_is_started_as_in_a_cluster() -> None:
    """The same line but for node and interval, and built from what the lab tests run."""
    patch = yaml.safe_load((ROOT / "k8s/components/confd/deployment.yaml").read_text())
    [container] = patch["spec"]["template"]["spec"]["initContainers"]
    theirs, ours = (
        {option: value for option, _, value in (word.partition("=") for word in words)}
        for words in (container["args"], SERVICES["confd"]["command"])
    )
    assert ours == theirs | {"-node": f"consul:{LISTENS['consul']}", "-interval": "1"}
    assert (ROOT / SERVICES["confd"]["build"] / "go.mod").is_file()
    version = re.findall(r"kelseyhightower/confd v(\S+)", (ROOT / "tests/lab/confd/go.mod").read_text())[0]
    assert SERVICES["confd"]["image"].endswith(f":{version.partition('+')[0]}")


def test_prometheus_finds_rules_and_service_under_the_names_that_the_rules_use() -> None:
    command = dict(word.removeprefix("--").partition("=")[::2] for word in SERVICES["prometheus"]["command"])
    config = mounted("prometheus", command["config.file"])
    assert yaml.safe_load(config.read_text()) == PROMETHEUS
    assert [(config.parent / name).resolve() for name in PROMETHEUS["rule_files"]] == [ROOT / "dashboards/rules.yaml"]
    inside = Path(command["config.file"]).parent / PROMETHEUS["rule_files"][0]
    assert mounted("prometheus", os.path.normpath(inside)) == ROOT / "dashboards/rules.yaml"
    [scrape] = PROMETHEUS["scrape_configs"]
    assert f'job="{scrape["job_name"]}"' in (ROOT / "dashboards/rules.yaml").read_text()
    assert scrape["static_configs"][0]["targets"] == [f"hola:{LISTENS['hola']}"]
    assert command["enable-feature"] == "exemplar-storage"
    assert command["storage.tsdb.path"] in SERVICES["prometheus"]["tmpfs"]


def test_alerts_go_where_they_are_received_and_each_to_somebody() -> None:
    [managers] = PROMETHEUS["alerting"]["alertmanagers"]
    assert managers["static_configs"][0]["targets"] == [f"alertmanager:{LISTENS['alertmanager']}"]
    named = {receiver["name"] for receiver in ALERTMANAGER["receivers"]}
    routes = [ALERTMANAGER["route"], *ALERTMANAGER["route"]["routes"]]
    assert {route["receiver"] for route in routes} == named
    severities = {alert["labels"]["severity"] for alert in ALERTS}
    matchers = [matcher for route in routes[1:] for matcher in route["matchers"]]
    assert {matcher.partition(" = ")[2] for matcher in matchers} <= severities


def test_grafana_asks_the_stores_where_they_listen() -> None:
    for uid, source in SOURCES.items():
        assert addressed(source["url"]) == (uid, LISTENS[uid])
        assert source["type"] == uid


def test_from_a_metric_to_its_trace_to_its_lines_and_back() -> None:
    """Each link leads to a source that exists; its name and pattern are those of hola's exemplars and lines."""
    [exemplar] = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert (exemplar["name"], SOURCES[exemplar["datasourceUid"]]["type"]) == ("trace_id", "tempo")
    lines = SOURCES["tempo"]["jsonData"]["tracesToLogsV2"]
    assert SOURCES[lines["datasourceUid"]]["type"] == "loki"
    assert lines["query"] == '{service_name="hola"} | json | trace_id="$${__trace.traceId}"'
    [field] = SOURCES["loki"]["jsonData"]["derivedFields"]
    assert SOURCES[field["datasourceUid"]]["type"] == "tempo"
    line = '{"level":"info","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}'
    assert re.findall(field["matcherRegex"], line) == ["0af7651916cd43dd8448eb211c80319c"]


def test_grafana_shows_the_dashboards_of_the_repository() -> None:
    [provider] = load("grafana/dashboards/dashboards.yaml")["providers"]
    assert mounted("grafana", provider["options"]["path"]) == ROOT / "dashboards"
    assert mounted("grafana", SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).is_file()
    assert mounted("grafana", "/etc/grafana/provisioning/datasources/datasources.yaml").is_file()


def test_lines_are_read_through_the_proxy_and_written_where_they_are_kept() -> None:
    """Nobody but the proxy has the engine's socket, and nobody but Alloy reaches the proxy."""
    assert [name for name in SERVICES if SOCKET in [place for _, place, _ in volumes(name)]] == ["engine"]
    assert [name for name, service in SERVICES.items() if "engine" in service.get("networks", [])] == [
        "alloy",
        "engine",
    ]
    assert SERVICES["engine"]["networks"] == ["engine"]
    assert COMPOSE["networks"]["engine"] == {"internal": True}
    assert set(re.findall(r'host *= "tcp://(.*)"', ALLOY)) == {f"engine:{LISTENS['engine']}"}
    assert re.findall(r'url = "(.*)"', ALLOY) == [f"http://loki:{LISTENS['loki']}/loki/api/v1/push"]
    assert re.findall(r"com\.docker\.compose\.service=(\w+)", ALLOY) == ["hola"]
    assert re.findall(r'target_label *= "(\w+)"', ALLOY) == ["service_name"]


@pytest.mark.parametrize(("name", "kept"), [("tempo", "wal"), ("loki", "chunks")])
def test_stores_write_into_memory_alone(name: str, kept: str) -> None:
    """Every path of their configurations lies in a directory that is memory."""
    text = (ROOT / f"compose/{name}/{name}.yaml").read_text()
    paths = re.findall(r": (/\S+)$", text, re.MULTILINE)
    assert any(path.endswith(kept) for path in paths)
    assert all(path.startswith(tuple(SERVICES[name]["tmpfs"])) for path in paths)


def test_the_guide_opens_what_is_published_and_names_what_is_there() -> None:
    """docs/stack.md: addresses, panels, and the links that Grafana shows."""
    guide = (ROOT / "docs/stack.md").read_text()
    published = {int(port.rpartition(":")[2]) for service in SERVICES.values() for port in service.get("ports", [])}
    assert {int(port) for port in re.findall(r"localhost:(\d+)", guide)} == published
    titles = {panel["title"] for board in BOARDS.values() for panel in board["panels"]}
    titles |= {board["title"] for board in BOARDS.values()}
    links = {"The trace", "Logs for this span", "Explore"}
    assert set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", guide)) <= titles | links
    shown = [link.get("urlDisplayLabel") for source in SOURCES.values() for link in _links(source["jsonData"])]
    assert shown == ["The trace"] * 2


def _links(options: Json) -> list[Json]:
    return [*options.get("exemplarTraceIdDestinations", []), *options.get("derivedFields", [])]

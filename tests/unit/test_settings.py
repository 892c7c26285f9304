"""The environment, read once: typed values, all faults at once, no secret shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hola import settings
from hola.errors import SettingsError
from hola.settings import Settings, load


def rows(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in settings.describe(load(environ))}


def test_an_empty_environment_gives_the_contracts_defaults() -> None:
    values = load({})
    assert (values.port, values.metrics_port, values.workers, values.threads) == (5000, None, 4, 8)
    assert (values.config_dir, values.secrets_dir) == (Path("/opt/hola"), Path("/opt/hola-secrets"))
    assert (values.config_poll_seconds, values.config_boot_timeout_seconds) == (1.0, 30.0)
    assert (values.drain_seconds, values.graceful_seconds) == (5.0, 20.0)
    assert (values.request_head_seconds, values.request_seconds, values.max_body_bytes) == (5.0, 30.0, 1_048_576)
    assert (values.log_format, values.environment, values.forwarded_allow_ips) == ("json", "local", "127.0.0.1,::1")


def test_an_empty_variable_counts_as_unset() -> None:
    assert load({"PORT": "", "HOLA_METRICS_PORT": "", "POD_NAME": ""}) == load({})


def test_the_pod_is_named_by_the_host_unless_the_environment_does() -> None:
    host = load({})
    assert host.pod_name == host.node_name != ""
    assert load({"POD_NAME": "hola-7", "NODE_NAME": "n1"}).pod_name == "hola-7"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load({}).port = 1  # type: ignore[misc]  # what a type checker refuses is the point


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("HOLA_METRICS_PORT", "0"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "65"),
        ("HOLA_THREADS", "1.5"),
        ("HOLA_CONFIG_POLL_SECONDS", "0"),
        ("HOLA_DRAIN_SECONDS", "nan"),
        ("HOLA_GRACEFUL_SECONDS", "inf"),
        ("HOLA_REQUEST_SECONDS", "-3"),
        ("HOLA_LOG_FORMAT", "xml"),
        ("HOLA_CONFIG_WATCH", "inotify"),
        ("POD_NAME", "a\nb"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:abc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:65536"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/spän"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/own#part"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: value})
    (fault,) = caught.value.faults
    assert fault.path == name
    assert repr(value) in fault.message


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
@pytest.mark.parametrize("url", ["https://c/own?sig=S3NT1NEL", "https://c?sig=S3NT1NEL", "https://me:S3NT1NEL@c/own"])
def test_a_collectors_address_that_holds_a_secret_is_refused_and_not_shown(name: str, url: str) -> None:
    """A query would not be sent, and both would be shown."""
    with pytest.raises(SettingsError) as caught:
        load({name: url})
    (fault,) = caught.value.faults
    assert fault.path == name
    assert "S3NT1NEL" not in fault.message


@pytest.mark.parametrize(
    ("environ", "is_asked_for"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/own"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_are_needed_and_cannot_be_read_are_a_fault(
    tmp_path: Path, content: str | None, environ: dict[str, str], is_asked_for: bool
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    given = environ | {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}
    if not is_asked_for:
        assert load(given).otlp_certificate == tmp_path / "ca.pem"
        return
    with pytest.raises(SettingsError) as caught:
        load(given)
    (fault,) = caught.value.faults
    assert fault.path == "OTEL_EXPORTER_OTLP_CERTIFICATE"
    assert str(tmp_path / "ca.pem") in fault.message


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"PORT": "x", "HOLA_THREADS": "0", "HOLA_LOG_FORMAT": "xml"})
    assert {fault.path for fault in caught.value.faults} == {"PORT", "HOLA_THREADS", "HOLA_LOG_FORMAT"}
    assert all(name in str(caught.value) for name in ("PORT", "HOLA_THREADS", "HOLA_LOG_FORMAT"))


def test_the_two_ports_must_differ() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"PORT": "8000", "HOLA_METRICS_PORT": "8000"})
    assert [fault.path for fault in caught.value.faults] == ["HOLA_METRICS_PORT"]
    assert load({"PORT": "8000", "HOLA_METRICS_PORT": "8001"}).metrics_port == 8001


@pytest.mark.parametrize(
    ("sampler", "ratio"),
    [("always_on", 1.0), ("parentbased_always_off", 0.0), ("traceidratio", 0.25), ("parentbased_traceidratio", 0.25)],
)
def test_the_samplers_name_decides_the_ratio(sampler: str, ratio: float) -> None:
    environ = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert load(environ).default_sample_ratio == ratio


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/own"}, "https://t/own"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/own", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"},
            "https://t/own",
        ),
    ],
)
def test_spans_go_where_opentelemetry_says(environ: dict[str, str], url: str | None) -> None:
    assert load(environ).traces_endpoint == url


def test_a_mistyped_name_is_told_with_the_one_probably_meant() -> None:
    environ = {"HOLA_THREAD": "4", "HOLA_THREADS": "4", "PATH": "/bin", "HOLA_QQQ": "1"}
    assert settings.unknown(environ) == ["HOLA_QQQ", "HOLA_THREAD (did you mean HOLA_THREADS?)"]


@pytest.mark.parametrize(
    "name", ["HOLA_PORT", "HOLA_PORT_5000_TCP_ADDR", "HOLA_SERVICE_HOST", "HOLA_SERVICE_PORT_HTTP"]
)
def test_kubernetes_service_variables_are_no_typing_errors(name: str) -> None:
    assert settings.unknown({name: "tcp://10.0.0.1:5000"}) == []


def test_the_description_has_a_row_for_each_variable_with_all_that_a_reader_needs() -> None:
    found = rows({"PORT": "8080"})
    assert found["PORT"] == {
        "name": "PORT",
        "type": "integer",
        "default": 5000,
        "meaning": "HTTP port; 0 = any free port, named in server_ready",
        "value": 8080,
    }
    assert found["HOLA_LOG_FORMAT"]["type"] == "json | console"
    assert found["HOLA_METRICS_PORT"]["type"] == "integer"
    assert len(found) == len(Settings.model_fields)
    assert all(row["meaning"] for row in found.values())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://me:S3NT1NEL@consul:8500", "http://***@consul:8500"),
        ("http://me:S3N@/T1NEL@consul:8500", "http://***@consul:8500"),
        ("me:S3NT1NEL@consul:8500", "***@consul:8500"),
        ("http://consul:8500/?token=S3NT1NEL&dc=1", "http://consul:8500/?***"),
        ("http://consul:8500", "http://consul:8500"),
        ("consul:8500", "consul:8500"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_secret(value: str, shown: str) -> None:
    assert rows({"CONSUL_HTTP_ADDR": value})["CONSUL_HTTP_ADDR"]["value"] == shown


def test_what_only_looks_like_an_address_is_shown_as_it_is() -> None:
    role = "arn:aws:iam::111122223333:role/hola@prod"
    assert rows({"HOLA_EXPECTED_ROLE_ARN": role})["HOLA_EXPECTED_ROLE_ARN"]["value"] == role


def test_a_collectors_token_is_masked_in_descriptions_and_faults() -> None:
    assert rows({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=S3NT1NEL"})["OTEL_EXPORTER_OTLP_HEADERS"]["value"] == "***"
    assert rows({})["OTEL_EXPORTER_OTLP_HEADERS"]["value"] is None
    assert "S3NT1NEL" not in str(
        settings._fault({"loc": ("OTEL_EXPORTER_OTLP_HEADERS",), "msg": "M", "type": "t", "input": "S3NT1NEL"})
    )


def test_a_text_of_the_wrong_form_is_told_by_an_example() -> None:
    """No regular expression at three in the morning."""
    wrong = {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "HOLA_BUCKET": "My_Bucket", "CONSUL_HTTP_TOKEN": "a b"}
    with pytest.raises(SettingsError) as told:
        load(wrong)
    assert {fault.path: fault.message for fault in told.value.faults} == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "must be like http://collector:4318, without a user, not 'collector:4318'",
        "HOLA_BUCKET": "must be a bucket's name, like my-bucket, not 'My_Bucket'",
        "CONSUL_HTTP_TOKEN": "must be visible ASCII characters without a space",
    }

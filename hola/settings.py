"""Static configuration: the environment, read once, typed, all faults reported together.

Owns the names, defaults and bounds of every environment variable that hola reads itself.
What may change while hola runs is not here but in `live_config`.
"""

from __future__ import annotations

import difflib
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from hola.errors import Fault, SettingsError

MOST_WORKERS = 64  # half the scoreboard's slots: a reload has two generations alive at once
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[^\x00-\x1f]+$")]

# Kubernetes gives each pod variables of the services around it: HOLA_PORT, HOLA_SERVICE_HOST, ...
_URL = r"^https?://[^/@\s?#]+(/[^@\s]*)?$"  # without a password, which would be shown
_IN_URL = re.compile(r"(?<=://)\S+(?=@)|^[^\s/@]+:[^\s/@]+(?=@)|(?<=\?)\S+")  # what of an address may be a secret
_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
ROLE_ARN = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/([\x21-\x7e]{1,511}/)?[A-Za-z0-9+=,.@_-]{1,64}$"
_VISIBLE = r"^[\x21-\x7e]+$"
_LIKE = {
    _URL: "must be like http://collector:4318, without a user",
    _BUCKET: "must be a bucket's name, like my-bucket",
    ROLE_ARN: "must be like arn:aws:iam::111122223333:role/hola",
    _VISIBLE: "must be visible ASCII characters without a space",
}
_SERVICE_LINK = re.compile(r"HOLA_(SERVICE_.*|PORT(_.*)?)$")


def _env(name: str, default: Any, meaning: str, *, masked: bool = False, **bounds: Any) -> Any:
    extra: dict[str, Any] = {"masked": masked}
    return Field(default, alias=name, description=meaning, json_schema_extra=extra, **bounds)


class Settings(BaseModel):
    """The environment as typed, frozen values. Each field's alias is its variable's name."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_alias=True, validate_by_name=True)

    port: int = _env("PORT", 5000, "HTTP port; 0 = any free port, named in server_ready", ge=0, le=65535)
    metrics_port: Port | None = _env(
        "HOLA_METRICS_PORT", None, "second port: /metrics only there; /config* and the probes there too"
    )
    workers: int = _env("WEB_CONCURRENCY", 4, "worker processes", ge=1, le=MOST_WORKERS)
    threads: int = _env("HOLA_THREADS", 8, "threads a worker", ge=1, le=256)
    environment: Name = _env("HOLA_ENVIRONMENT", "local", "a name to show, never a switch in logic")
    config_dir: Path = _env("HOLA_CONFIG_DIR", Path("/opt/hola"), "mounted directory with config.json")
    secrets_dir: Path = _env(
        "HOLA_SECRETS_DIR", Path("/opt/hola-secrets"), "mounted directory, one file a secret; may be absent"
    )
    state_dir: Path = _env("HOLA_STATE_DIR", Path("/tmp/hola"), "writable; last known good document")  # noqa: S108 - the contract's default
    config_poll_seconds: Positive = _env(
        "HOLA_CONFIG_POLL_SECONDS", 1.0, "how often content is compared when no file event came"
    )
    config_watch: Literal["auto", "poll"] = _env(
        "HOLA_CONFIG_WATCH", "auto", "auto = file events and polling; poll = polling alone"
    )
    config_boot_timeout_seconds: Seconds = _env(
        "HOLA_CONFIG_BOOT_TIMEOUT_SECONDS", 30.0, "how long boot waits for a first document, not ready meanwhile"
    )
    drain_seconds: Seconds = _env("HOLA_DRAIN_SECONDS", 5.0, "SIGTERM: how long it goes on serving with readiness down")
    graceful_seconds: Positive = _env("HOLA_GRACEFUL_SECONDS", 20.0, "then: how long requests in flight may take")
    request_head_seconds: Positive = _env(
        "HOLA_REQUEST_HEAD_SECONDS",
        5.0,
        "a client must finish its request head in this time, go on sending its body, and take each 64 KiB of an answer",
    )
    request_seconds: Positive = _env(
        "HOLA_REQUEST_SECONDS",
        30.0,
        "a handler that runs longer is reported with its stack, and its worker replaced; a body must come in this time",
    )
    max_body_bytes: int = _env("HOLA_MAX_BODY_BYTES", 1_048_576, "larger: 413", ge=0)
    log_format: Literal["json", "console"] = _env(
        "HOLA_LOG_FORMAT", "json", "json, or console for a person at a terminal"
    )
    bucket: str | None = _env("HOLA_BUCKET", None, "the S3 bucket the pod should see", pattern=_BUCKET)
    expected_role_arn: str | None = _env(
        "HOLA_EXPECTED_ROLE_ARN", None, "the role the pod should have, as IAM writes its ARN", pattern=ROLE_ARN
    )
    consul_http_addr: Name = _env(
        "CONSUL_HTTP_ADDR", "http://127.0.0.1:8500", "the Consul of `config push`; serving never asks it"
    )
    consul_http_token: str | None = _env(
        "CONSUL_HTTP_TOKEN", None, "its ACL token, only ever sent to it", masked=True, pattern=_VISIBLE
    )
    commit: Name = _env("HOLA_COMMIT", "unknown", "the commit this was built from; the image sets it")
    build_time: Name = _env("HOLA_BUILD_TIME", "unknown", "when it was built (RFC 3339); the image sets it")
    pod_name: Name = _env("POD_NAME", None, "this pod (downward API); default the host's name")
    pod_namespace: Name = _env("POD_NAMESPACE", "default", "its namespace (downward API)")
    pod_ip: Name | None = _env("POD_IP", None, "its address (downward API)")
    node_name: Name = _env("NODE_NAME", None, "its node (downward API); default the host's name")
    metrics_dir: Path | None = _env(
        "PROMETHEUS_MULTIPROC_DIR",
        None,
        "metric files; default a directory of its own under /dev/shm or the temporary directory",
    )
    forwarded_allow_ips: str = _env(
        "FORWARDED_ALLOW_IPS", "127.0.0.1,::1", "proxies whose forwarded headers count (gunicorn's own)"
    )
    otlp_endpoint: str | None = _env(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "where spans go (OTLP over HTTP); unset = no export",
        pattern=_URL,
    )
    otlp_traces_endpoint: str | None = _env(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        None,
        "the same for traces alone, with its path",
        pattern=_URL,
    )
    otlp_headers: str | None = _env(
        "OTEL_EXPORTER_OTLP_HEADERS", None, "headers for the collector, its token for instance", masked=True
    )
    otlp_timeout_ms: int = _env(
        "OTEL_EXPORTER_OTLP_TIMEOUT", 2000, "how long one step of an export may take, in ms", ge=1, le=30_000
    )
    otlp_compression: Literal["none", "gzip"] = _env(
        "OTEL_EXPORTER_OTLP_COMPRESSION", "none", "none or gzip, of what is exported"
    )
    otlp_certificate: Path | None = _env(
        "OTEL_EXPORTER_OTLP_CERTIFICATE", None, "authorities (PEM) to trust for an https endpoint"
    )
    otel_service_name: Name = _env("OTEL_SERVICE_NAME", "hola", "service.name of spans and lines")
    otel_resource_attributes: str | None = _env(
        "OTEL_RESOURCE_ATTRIBUTES", None, "more attributes of the resource, key=value,key=value"
    )
    otel_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = _env("OTEL_TRACES_SAMPLER", "parentbased_always_on", "sampling while the live document sets none")
    otel_sampler_ratio: float = _env(
        "OTEL_TRACES_SAMPLER_ARG", 1.0, "the ratio of the traceidratio samplers", ge=0, le=1
    )
    otel_disabled: bool = _env("OTEL_SDK_DISABLED", False, "true = no span is recorded or exported")
    gunicorn_cmd_args: str = _env(
        "GUNICORN_CMD_ARGS", "", "gunicorn's own; what it overrides is visible in server_ready"
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_host(cls, values: dict[str, Any]) -> dict[str, Any]:
        host = socket.gethostname()
        return {"POD_NAME": host, "NODE_NAME": host} | values

    @field_validator("otlp_endpoint", "otlp_traces_endpoint")
    @classmethod
    def _can_be_asked(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)  # raises what it finds wrong itself, as `url.port` does
        if url.port == 0 or not url.hostname or not value.isascii():
            raise ValueError("must be like http://collector:4318")
        if url.query or url.fragment:
            raise ValueError("must have no query, which is never sent: a token goes into OTEL_EXPORTER_OTLP_HEADERS")
        return value

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        if self.metrics_port is not None and self.metrics_port == self.port:
            raise ValueError("HOLA_METRICS_PORT must differ from PORT")
        return self

    @model_validator(mode="after")
    def _authorities_can_be_read(self) -> Settings:
        if self.otlp_certificate and (self.traces_endpoint or "").startswith("https:"):
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=self.otlp_certificate)
            except OSError as error:  # ssl.SSLError is one
                why = f"{self.otlp_certificate}: {str(error.strerror).lower()}"
                raise ValueError(f"OTEL_EXPORTER_OTLP_CERTIFICATE holds no authorities: {why}") from None
        return self

    @property
    def default_sample_ratio(self) -> float:
        """The ratio (0 to 1) in force while the live document sets none."""
        if self.otel_sampler.endswith("always_on"):
            return 1.0
        return 0.0 if self.otel_sampler.endswith("always_off") else self.otel_sampler_ratio

    @property
    def traces_endpoint(self) -> str | None:
        """The full URL spans are posted to, or None for no export.

        https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
        """
        if self.otel_disabled:
            return None
        if self.otlp_traces_endpoint or not self.otlp_endpoint:
            return self.otlp_traces_endpoint
        return self.otlp_endpoint.rstrip("/") + "/v1/traces"


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an empty variable counts as unset.

    Raises:
        SettingsError: with one fault for each wrong variable.
    """
    given = {
        field.alias: environ[field.alias]
        for field in Settings.model_fields.values()
        if field.alias and environ.get(field.alias)
    }
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError([_fault(detail) for detail in error.errors(include_url=False)]) from None


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like hola's but are not, each with the name probably meant."""
    names = {field.alias or "" for field in Settings.model_fields.values()}
    strangers = [n for n in environ if n.startswith("HOLA_") and n not in names and not _SERVICE_LINK.match(n)]
    return [_with_guess(name, names) for name in sorted(strangers)]


def describe(settings: Settings) -> list[dict[str, Any]]:
    """One row a variable: name, type, default, meaning, effective value (secrets masked)."""
    schema = Settings.model_json_schema(by_alias=True)["properties"]
    effective = settings.model_dump(mode="json")
    return [
        {
            "name": field.alias,
            "type": _type_name(schema[field.alias]),
            "default": schema[field.alias].get("default"),
            "meaning": field.description,
            "value": _masked(effective[name], field.json_schema_extra),
        }
        for name, field in Settings.model_fields.items()
    ]


def _masked(value: Any, extra: Any) -> Any:
    if value and extra["masked"]:
        return "***"
    return _IN_URL.sub("***", value) if isinstance(value, str) else value


def _fault(detail: Any) -> Fault:
    message = _LIKE.get(detail.get("ctx", {}).get("pattern"), str(detail["msg"]).removeprefix("Value error, "))
    name, message = (str(detail["loc"][0]), message) if detail["loc"] else message.split(" ", 1)
    masked = any(f.alias == name and _masked("x", f.json_schema_extra) == "***" for f in Settings.model_fields.values())
    may_hold_a_password = not {"@", "?"}.isdisjoint(str(detail["input"]))
    shown = "" if masked or may_hold_a_password or not detail["loc"] else f", not {str(detail['input'])[:80]!r}"
    return Fault(name, str(detail["type"]), message[:1].lower() + message[1:] + shown)


def _with_guess(name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"{name} (did you mean {close[0]}?)" if close else name


def _type_name(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf", [schema])
    names = [" | ".join(map(str, o["enum"])) if "enum" in o else str(o.get("format", o.get("type"))) for o in options]
    return " or ".join(name for name in names if name != "null")

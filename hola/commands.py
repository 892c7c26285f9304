"""The admin commands, run as one-off processes of the same image with the same settings (factor 12).

What each asks, prints and returns; the process around it (events, span, signals, exit) is `admin_process`.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import click

from hola import admin_process
from hola import settings as environment
from hola.admin_process import EX_FAILED, EX_INVALID, EX_OK, EX_RESTART, show
from hola.aws import bucket as buckets
from hola.aws import sdk
from hola.aws.identity import identity_look
from hola.aws.look import COMMAND_SECONDS
from hola.consul import ConsulError, ConsulKey
from hola.errors import DocumentRejected, Fault, SettingsError
from hola.live_config import document as documents
from hola.settings import Settings


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command and return its exit code."""
    return admin_process.run(cli, arguments, environ)


class _Command(click.Command):
    """A command whose `--help` is a result like any other: one line of JSON."""

    def get_help(self, ctx: click.Context) -> str:
        options = [param.get_help_record(ctx) for param in self.params if isinstance(param, click.Option)]
        arguments = " ".join(piece for param in self.params for piece in param.get_usage_pieces(ctx))
        name = ctx.command_path.removeprefix(ctx.find_root().command_path).strip()
        shown = {"command": name, "does": self.get_short_help_str(200), "arguments": arguments}
        return json.dumps(shown | {"options": dict(told for told in options if told)})


class _Group(click.Group):
    """Its `--help` is the table of its commands."""

    command_class = _Command
    group_class = type  # groups are of this class, too

    def get_help(self, ctx: click.Context) -> str:
        path = ctx.command_path.removeprefix(ctx.find_root().command_path).strip()
        return json.dumps({"commands": dict(sorted(_commands(self, f"{path} " if path else "")))})


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        context.invoke(show_help)


@cli.command("help")
def show_help() -> None:
    """Print this table of commands."""
    show({"commands": dict(sorted(_commands(cli, "")))})


@cli.command("settings")
@click.pass_obj
def show_settings(settings: Settings) -> None:
    """Every environment variable: name, type, default, meaning, effective value."""
    show(environment.describe(settings))


@cli.group("config")
def config_group() -> None:
    """The live document."""


@config_group.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path), help="report what differs from this document")
def check(files: tuple[Path, ...], against: Path | None) -> int:
    """Validate live documents; exit 4 if one is invalid, 3 if one needs a restart after --against."""
    reports = [_check_one(file, _parse_old(against) if against else None) for file in files]
    is_valid = all(report["valid"] for report in reports)
    show({"valid": is_valid, "files": reports})
    if not is_valid:
        return EX_INVALID
    return EX_RESTART if any(report.get("restart_required") for report in reports) else EX_OK


@config_group.command("schema")
def show_schema() -> None:
    """The live document's JSON Schema."""
    show(documents.schema())


@config_group.command("status")
@click.option("--url", help="where the service answers; default this pod's own port")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0.0, help="seconds to wait for --revision")
@click.option("--revision", help="the revision that all workers should run")
@click.pass_obj
def status(settings: Settings, url: str | None, wait: float, revision: str | None) -> int:
    """What each worker runs; exit 1 if not all run --revision in time."""
    base = url or f"http://127.0.0.1:{settings.port}"
    if not _can_be_asked(base):
        raise click.UsageError(f"--url must be like http://127.0.0.1:5000, not {base!r}")
    deadline = time.monotonic() + wait
    while True:
        found = _fetch(base.rstrip("/") + "/config/status")
        if _runs(found, revision) or time.monotonic() >= deadline:
            show(found)
            return EX_OK if _runs(found, revision) else EX_FAILED
        time.sleep(0.1)  # between two questions over HTTP, which nobody answers earlier


@config_group.command("push")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--consul", "address", metavar="URL", help="where Consul answers; default CONSUL_HTTP_ADDR")
@click.option("--key", default="hola/config.json", help="the key to write")
@click.pass_obj
def push(settings: Settings, file: Path, address: str | None, key: str) -> int:
    """Write a valid document to Consul, unless somebody else wrote meanwhile."""
    data = _read(file)
    try:
        place = ConsulKey(address or settings.consul_http_addr, key, settings.consul_http_token)
        document = documents.parse(data)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except DocumentRejected as error:
        show({"key": key, "written": False, "errors": [fault.as_dict() for fault in error.faults]})
        return EX_INVALID
    report: dict[str, Any] = {"key": key, "revision": documents.revision(data)}
    try:
        old = place.read()
        report |= _compare(old.value, document)
        if old.value == data:
            report |= {"written": False, "message": "this very document is there already"}
        else:
            place.write(data, old.index)
            report["written"] = True
    except ConsulError as error:
        report |= {"written": error.written, "error": str(error)}
    show(report)
    return EX_FAILED if "error" in report else EX_OK


@cli.command("identity")
@click.option("--expect", metavar="ROLE_ARN", help="the role this pod should have; default HOLA_EXPECTED_ROLE_ARN")
@click.pass_obj
def identity(settings: Settings, expect: str | None) -> int:
    """Who AWS says this pod is; exit 1 if it is not the expected role."""
    if expect is not None and not re.fullmatch(environment.ROLE_ARN, expect):
        raise click.UsageError(f"--expect must be like arn:aws:iam::111122223333:role/hola, not {expect[:80]!r}")
    sdk.load()
    expected = expect or settings.expected_role_arn
    found = identity_look(expected, lambda _found: None, COMMAND_SECONDS).answer()
    show(found.as_dict())
    return EX_OK if found.ok else EX_FAILED


@cli.group("bucket")
def bucket_group() -> None:
    """The pod's bucket."""


@bucket_group.command("ls")
@click.option("--prefix", default="", help="only keys that begin with this")
@click.option("--limit", type=click.IntRange(1, buckets.MOST_OBJECTS), default=20, help="at most so many")
@click.pass_obj
def list_bucket(settings: Settings, prefix: str, limit: int) -> int:
    """The first objects that the pod's role may list; exit 1 if it may not."""
    if settings.bucket is None:
        raise SettingsError([Fault("HOLA_BUCKET", "missing", "names the bucket to list, and is not set")])
    if len(prefix.encode("utf-8", "surrogateescape")) > buckets.MOST_PREFIX_BYTES or not prefix.isprintable():
        raise click.UsageError(f"--prefix must be printable, and of at most {buckets.MOST_PREFIX_BYTES} bytes")
    sdk.load()
    found = buckets.bucket_look(settings.bucket, prefix, limit, COMMAND_SECONDS).answer()
    show(found.as_dict())
    return EX_OK if found.ok else EX_FAILED


def _compare(old: bytes | None, new: documents.Document) -> dict[str, Any]:
    """What `config push` tells of the value before; one that is no document differs in everything."""
    try:
        before = documents.parse(old) if old is not None else None
    except DocumentRejected:
        before = None
    return {"previous": None if old is None else documents.revision(old), "changed": documents.changed(before, new)}


def _can_be_asked(address: str) -> bool:
    try:
        url = urlsplit(address)
        is_meant = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return False
    return bool(is_meant) and not re.search(r"[\s@?#]", address) and address.isprintable()


def _runs(found: dict[str, Any], revision: str | None) -> bool:
    if "error" in found:
        return False
    is_current = all(worker["current"] for worker in found["workers"]) and bool(found["workers"])
    return revision is None or (found["revision"] == revision and is_current)


def _fetch(url: str) -> dict[str, Any]:
    proxies: dict[str, str] | None = (
        {} if _is_loopback(urlsplit(url).hostname or "") else None
    )  # None: those of the environment
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler(proxies)).open(url, timeout=5) as response:
            found = json.load(response)
    except (OSError, ValueError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        why = os.strerror(cause.errno).lower() if isinstance(cause, OSError) and cause.errno else str(cause)
        return {"error": f"{url}: {why or type(error).__name__}"}
    return found if _is_status(found) else {"error": f"{url}: what answers there is not hola's status"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_status(found: Any) -> TypeGuard[dict[str, Any]]:
    if not isinstance(found, dict) or "revision" not in found or not isinstance(found.get("workers"), list):
        return False
    return all(isinstance(worker, dict) and "current" in worker for worker in found["workers"])


def _check_one(file: Path, old: documents.Document | None) -> dict[str, Any]:
    try:
        data = _read(file)
        document = documents.parse(data)
    except DocumentRejected as error:
        return {"file": str(file), "valid": False, "errors": [fault.as_dict() for fault in error.faults]}
    report: dict[str, Any] = {"file": str(file), "valid": True, "revision": documents.revision(data)}
    if old:
        report["changed"] = documents.changed(old, document)
        report["restart_required"] = documents.restart_keys(old, document)
    return report


def _parse_old(file: Path) -> documents.Document:
    try:
        return documents.parse(_read(file))
    except DocumentRejected as error:
        raise click.UsageError(f"{file}: nothing can be compared with an invalid document: {error}") from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file}: {str(error.strerror).lower()}") from None


def _commands(group: click.Group, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = [("serve", "Serve HTTP; what is run without a command.")] if not prefix else []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += _commands(command, f"{prefix}{name} ")
        else:
            found.append((f"{prefix}{name}", command.get_short_help_str(200)))
    return found

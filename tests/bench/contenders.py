"""Who is measured, and how each is started: on the same gunicorn, with the same workers and settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT, clean_environment

WORKERS, THREADS = 4, 8
DOCUMENT = '{"greeting": "Hola!"}'
PATH = "/version"  # hola's simplest view, so that what differs is not the view's own work
_SETTINGS = (
    f"--worker-class gthread --threads {THREADS} --keep-alive 75 "
    "--timeout 30 --worker-tmp-dir /dev/shm --no-control-socket --log-level warning"
).split(" ")


@dataclass(frozen=True)
class Contender:
    """A service to measure: `kind` is bare, peer or hola; `sampling` the share of traces recorded."""

    kind: str
    python: Path
    sampling: float | None = None
    workers: int = WORKERS

    @property
    def name(self) -> str:
        return self.kind if self.sampling is None else f"{self.kind} {self.sampling:g}"

    def command(self, port: int) -> list[str | Path]:
        gunicorn: list[str | Path] = [self.python, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
        if self.kind == "hola":  # as entrypoint.sh does it
            return [*gunicorn, "--config", ROOT / "gunicorn.conf.py", "hola.wsgi:app"]
        gunicorn += ["--config", ROOT / f"tests/bench/{self.kind}_gunicorn.py", "--workers", str(self.workers)]
        return [*gunicorn, *_SETTINGS, f"tests.bench.{self.kind}:app"]

    def environment(self, directory: Path, receiver: str) -> dict[str, str]:
        """Its settings; what it needs of files is made in `directory`."""
        for name in ("config", "metrics"):
            (directory / name).mkdir()
        (directory / "config" / "config.json").write_text(DOCUMENT)
        return clean_environment() | {
            "PYTHONPATH": str(ROOT),
            "HOLA_CONFIG_DIR": str(directory / "config"),
            "HOLA_STATE_DIR": str(directory / "state"),
            "HOLA_DRAIN_SECONDS": "0",
            "WEB_CONCURRENCY": str(self.workers),
            "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(self.sampling or 0),
        }

"""What workers have of their master without paying for it again: pages that it filled before it forked.

The libraries that all workers use, never the application: a worker loads hola's own code, so that HUP takes it on
(docs/decisions/0003). Loading these starts no thread and reads
none of hola's settings; a test holds that there is one thread when the master forks.
Frozen objects are left alone by the garbage collector, which would write into every one of them, and so copy its
page, in every worker. https://docs.python.org/3/library/gc.html#gc.freeze
"""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

# What hola's own workers load, beyond what the master has anyway: of the standard library
STANDARD = (
    "ctypes",
    "email.parser",
    "gzip",
    "http.client",
    "http.server",
    "mimetypes",
    "pkgutil",
    "pprint",
    "socketserver",
    "timeit",
    "unicodedata",
    "urllib.request",
    "wsgiref.simple_server",
)
# and of the libraries. Not boto3: few requests need it, and it is larger than all of these.
LIBRARIES = (
    "flask",
    "opentelemetry.context",
    "opentelemetry.trace",
    "opentelemetry.trace.propagation.tracecontext",
    "prometheus_client.multiprocess",
    "prometheus_client.openmetrics.exposition",
    "pydantic.type_adapter",
)

_loaded: dict[str, tuple[int, int] | None] = {}  # of each module's file: when it was written, its size


def prepare() -> None:
    """Load what the workers will ask for. In the master, before its first fork."""
    for name in (*STANDARD, *LIBRARIES):
        importlib.import_module(name)
    _loaded.update({name: _stamp(name) for name in sys.modules})
    gc.collect()


def freeze() -> None:
    """Keep the collector away from all that exists now. In the master, before each fork; takes no time."""
    gc.freeze()


def outdated() -> list[str]:
    """What this process keeps though its file is another one now: hola's modules, and others by their package.

    A reload does not bring these in; USR2 does, since it begins with a new interpreter. One stat(2) a module.
    """
    names = {name for name, stamp in _loaded.items() if _stamp(name) != stamp}
    return sorted({name if name.startswith("hola.") else name.partition(".")[0] for name in names})


def _stamp(name: str) -> tuple[int, int] | None:
    file = getattr(sys.modules.get(name), "__file__", None)
    try:
        found = Path(file).stat() if file else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size)

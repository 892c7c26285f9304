"""What workers have of their master without paying for it again: pages that it filled before it forked.

Only the standard library's modules, which no reload brings in another version; the workers' own libraries and code
are loaded by each worker, so that HUP takes them on (docs/decisions/0003). Frozen objects are left alone by the
garbage collector, which would write into every one of them, and so copy its page, in every worker.
https://docs.python.org/3/library/gc.html#gc.freeze
"""

from __future__ import annotations

import gc
import importlib

# What Flask, prometheus-client and hola's own workers load of it, beyond what the master has anyway.
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


def prepare() -> None:
    """Load what the workers will ask for. In the master, before its first fork."""
    for name in STANDARD:
        importlib.import_module(name)
    gc.collect()


def freeze() -> None:
    """Keep the collector away from all that exists now. In the master, before each fork; takes no time."""
    gc.freeze()

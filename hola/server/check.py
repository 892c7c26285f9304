"""`python -m hola.server.check CONFIG`: would a reload load? Run by the master before it changes anything.

In a process of its own, since code that does not load may do anything. Prints why not, and exits 1.
"""

from __future__ import annotations

import importlib
import os
import sys

from gunicorn.app.wsgiapp import WSGIApplication

from hola import settings
from hola.server import lifecycle


def main(config: str) -> int:
    """Load settings, gunicorn's configuration and the application's code; nothing is started."""
    lifecycle.rehearse(settings.load(os.environ))
    sys.argv = ["gunicorn", "--config", config, "hola.wsgi:app"]
    WSGIApplication("%(prog)s")
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # a metric that a module makes counts nowhere here
    importlib.import_module("hola.app")  # all that a worker loads, without the side effect of hola.wsgi
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

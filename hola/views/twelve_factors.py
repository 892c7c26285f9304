"""The twelve factors (https://12factor.net): where each is kept, and the test that proves it."""

from __future__ import annotations

from typing_extensions import TypedDict


class Factor(TypedDict):
    number: int
    name: str
    sentence: str
    file: str
    test: str


_TABLE = """
.drone.yml | tests/contract/test_drone.py | Codebase | One repository, one image, every deploy.
requirements.txt | tests/contract/test_dependencies.py | Dependencies | Declared, pinned and hashed.
hola/settings.py | tests/unit/test_settings.py | Config | From the environment, checked at start; live from a volume.
hola/telemetry/traces.py | tests/process/test_traces.py | Backing services | Attached by URL; without one it goes on.
Dockerfile | tests/lab/test_image.py | Build, release, run | The image is built once; configuration makes the release.
hola/scoreboard.py | tests/unit/test_scoreboard.py | Processes | Workers share nothing but figures and the socket.
gunicorn.conf.py | tests/process/test_serving.py | Port binding | The service brings its own server and names its port.
gunicorn.conf.py | tests/process/test_workers.py | Concurrency | More processes, more threads, by two settings.
hola/server/master.py | tests/process/test_stopping.py | Disposability | Starts fast, drains, and loses no request.
entrypoint.sh | tests/process/test_serving.py | Dev/prod parity | The same entry point and server everywhere.
hola/telemetry/lines.py | tests/process/test_signals_of_a_request.py | Logs | Unbuffered lines on stdout, nothing else.
hola/commands.py | tests/process/test_commands.py | Admin processes | Commands of the same image, run as jobs.
"""


def _factors() -> tuple[Factor, ...]:
    rows = [line.split(" | ") for line in _TABLE.strip().splitlines()]
    return tuple(
        Factor(number=number, name=name, sentence=sentence, file=file, test=test)
        for number, (file, test, name, sentence) in enumerate(rows, start=1)
    )


FACTORS = _factors()

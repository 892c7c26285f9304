"""Real services for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector import Collector, collecting
from tests.process.checkout import checkout
from tests.support import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One running service for all tests of a module that only ask it."""
    with Service(tmp_path_factory.mktemp("service")) as running:
        yield running.ready()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A running service that this test alone may change or kill."""
    with Service(tmp_path) as running:
        yield running.ready()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout whose code a test may change."""
    return checkout(tmp_path / "checkout")


@pytest.fixture
def reloadable(copy: Path, tmp_path: Path) -> Iterator[Service]:
    """A running service of that checkout."""
    running = Service(tmp_path)
    running.root = copy
    with running:
        yield running.ready()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as receiver:
        yield receiver

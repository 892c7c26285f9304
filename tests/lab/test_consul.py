"""From `config push` through a real Consul and confd into four workers, and what must not get through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from tests.lab.parts import INTERVAL_SECONDS, KEY, Confd, Consul, document, ending, pushed
from tests.support import Service, eventually

SERVED_SECONDS = INTERVAL_SECONDS + 1


@dataclass(frozen=True)
class Chain:
    """All the parts between whoever pushes and whoever asks."""

    consul: Consul
    confd: Confd
    service: Service

    def follows(self, greeting: str) -> None:
        """Push a new document; every worker serves it in time, and the file is what was pushed, byte for byte."""
        report = pushed(self.consul, greeting)
        eventually(lambda: runs(self.service, report["revision"]), f"four workers run {greeting}", SERVED_SECONDS)
        assert self.service.get().json()["greeting"] == greeting
        assert self.file() == document(greeting).encode()

    def notices(self) -> None:
        """Wait until confd has looked and complained."""
        before = self.confd.errors()
        eventually(lambda: self.confd.errors() > before, "confd complains", 10 * INTERVAL_SECONDS)

    def file(self) -> bytes:
        return (self.service.config_dir / "config.json").read_bytes()


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[Consul]:
    agent = Consul(tmp_path)
    with ending(agent):
        agent.start()
        yield agent


@pytest.fixture
def chain(tmp_path: Path, consul: Consul) -> Iterator[Chain]:
    """Everything runs, and serves a document that came all the way from Consul."""
    with Service(tmp_path) as service:
        confd = Confd(tmp_path, consul.node, service.config_dir)
        with ending(confd):
            service.ready()
            parts = Chain(consul, confd, service)
            parts.follows("first")
            yield parts


def test_a_push_reaches_every_worker(chain: Chain) -> None:
    """Row 20 of live configuration: within the interval and a second, without a signal to anybody."""
    with asking(chain.service):
        chain.follows("second")
    assert "reload_cmd" not in (Path(__file__).parents[2] / "k8s/confd/conf.d/hola.toml").read_text()


@pytest.mark.parametrize("path", [KEY, "hola/?recurse", "hola?recurse"], ids=["key", "tree", "tree-without-slash"])
def test_what_is_deleted_in_consul_stays_in_service(chain: Chain, path: str) -> None:
    """Rows 2 and 18: no empty file, no default; the next document is followed like any other."""
    with asking(chain.service):
        chain.consul.delete(path)
        chain.notices()
        assert chain.file() == document("first").encode()
        chain.follows("second")


@pytest.mark.parametrize("value", ['{"greeting": "torn",', "", "null"], ids=["torn", "empty", "null"])
def test_what_is_no_json_object_does_not_reach_the_file(chain: Chain, value: str) -> None:
    """Rows 1, 2 and 3, for somebody who writes past `config push`."""
    with asking(chain.service):
        chain.consul.put(value)
        chain.notices()
        assert chain.file() == document("first").encode()
        chain.follows("second")
    assert chain.service.events("config_rejected") == []


@pytest.mark.parametrize(
    ("value", "path"), [('{"greeting": 5}', "/greeting"), ("{} {}", ""), ('{"greeting": "comma",}', "")]
)
def test_what_only_looks_like_a_document_is_refused_by_hola_itself(chain: Chain, value: str, path: str) -> None:
    """Rows 1 and 3: confd passes on what begins and ends like an object; hola tells with pointers what is wrong."""
    with asking(chain.service):
        chain.consul.put(value)
        rejected = chain.service.wait_for("config_rejected", SERVED_SECONDS)
        assert [error["path"] for error in rejected["errors"]] == [path]
        chain.follows("second")
    assert chain.service.metrics()["hola_config_last_reload_successful"] == 1


def test_a_sibling_key_is_not_the_document(chain: Chain) -> None:
    """Row 3: a copy beside the key, which its prefix matches, neither joins nor replaces it."""
    with asking(chain.service):
        chain.consul.put(document("backup"), f"{KEY}.bak")
        chain.follows("second")
        chain.consul.delete()
        chain.notices()
        assert chain.file() == document("second").encode()


def test_consul_may_come_back_empty(chain: Chain) -> None:
    """Row 18: a restart that lost all data changes nothing, and its new and lower indexes hide no new document."""
    with asking(chain.service):
        chain.consul.stop()
        chain.notices()
        chain.consul.start()
        assert chain.consul.entry() is None
        chain.notices()
        assert chain.file() == document("first").encode()
        chain.follows("second")


def test_a_pod_that_has_run_before_needs_no_consul_to_start(tmp_path: Path) -> None:
    """Row 19: it is ready with its last good document, and follows Consul when that is back."""
    (tmp_path / "before").mkdir()
    with Service(tmp_path / "before", document("last good")) as before:
        state = before.ready().environment["HOLA_STATE_DIR"]
    with absent_consul(tmp_path, HOLA_STATE_DIR=state) as chain, asking(chain.service.ready()):
        chain.notices()
        assert chain.service.get().json()["greeting"] == "last good"
        chain.consul.start()
        chain.follows("second")


def test_a_first_pod_waits_for_consul(tmp_path: Path) -> None:
    """Row 19: without any document it is not ready, and becomes so by itself."""
    with absent_consul(tmp_path) as chain:
        eventually(lambda: len(chain.service.events("worker_ready")) == 4, "four workers", 20)
        chain.notices()
        assert chain.service.events("server_ready") == []
        chain.consul.start()
        pushed(chain.consul, "first")
        chain.service.ready(SERVED_SECONDS)
        chain.follows("second")


@contextmanager
def absent_consul(directory: Path, **environment: str) -> Iterator[Chain]:
    """A service without a document of its own, and a confd that asks a Consul that is not there yet."""
    with ExitStack() as stack:
        service = stack.enter_context(Service(directory, document=None, **environment))
        consul = Consul(directory)
        confd = Confd(directory, consul.node, service.config_dir)
        stack.enter_context(ending(consul, confd))
        yield Chain(consul, confd, service)


@contextmanager
def asking(service: Service) -> Iterator[None]:
    """Ask the service all the while, first and last of all too: always 200, one revision and then one other."""
    answers = [service.get()]
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.wait(0.01):
            answers.append(service.get())

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            yield
        finally:
            is_over.set()
        asked.result()
    answers.append(service.get())
    assert {answer.status for answer in answers} == {200}
    assert len([revision for revision, _ in groupby(a.headers["X-Config-Revision"] for a in answers)]) == 2


def runs(service: Service, revision: str) -> bool:
    """True if /metrics say that four workers run `revision`, which came from the directory."""
    samples = service.metrics()
    infos = [name for name in samples if name.startswith("hola_config_info")]
    is_new = len(infos) == 1 and f'revision="{revision}"' in infos[0] and 'origin="source"' in infos[0]
    return is_new and samples['hola_config_workers{state="current"}'] == 4

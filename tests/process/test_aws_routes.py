"""`/aws/identity` and `/aws/bucket` of a real service: bounded, shared, told by whichever worker is scraped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.process.cloud import CANARY, NODE, OTHER, ROLE, cloud, pod, pod_identity, web_identity
from tests.support import Answer, Service, eventually

GAUGE = "hola_aws_identity_ok"
KEEP_SECONDS = 5


@contextmanager
def serving(directory: Path, environment: dict[str, str]) -> Iterator[Service]:
    """A service in this pod; nothing that it ever wrote holds a credential."""
    with Service(
        directory, **{"HOLA_EXPECTED_ROLE_ARN": ROLE, "HOLA_BUCKET": "example-bucket"} | environment
    ) as running:
        yield running.ready()
        assert CANARY.encode() not in b"".join(running.raw + running.errors)


def gauge(service: Service) -> dict[str, float]:
    return {name: value for name, value in service.metrics().items() if name.startswith(GAUGE)}


def series(provider: str, reason: str, value: float) -> dict[str, float]:
    return {f'{GAUGE}{{provider="{provider}",reason="{reason}"}}': value}


def timed(service: Service, path: str) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = service.get(path)
    assert CANARY.encode() not in answer.body
    return answer, time.monotonic() - started


def settled(service: Service, path: str, status: int) -> Answer:
    """The answer with this status: on a machine that is busy the first may come too late, and says so in time."""

    def ask() -> Answer | None:
        answer, seconds = timed(service, path)
        assert seconds < 3
        assert answer.status in (status, 504)
        return answer if answer.status == status else None

    found = eventually(ask, f"{path} with {status}", 20)
    assert found is not None
    return found


def threads(service: Service) -> int:
    """The threads of all workers."""
    return sum(1 for worker in service.workers() for _ in Path(f"/proc/{worker['pid']}/task").iterdir())


def test_the_identity_is_told_and_every_worker_exposes_the_verdict(tmp_path: Path) -> None:
    """No series before anybody asked, then one, the same on every scrape, and scraping asks nobody."""
    with cloud() as endpoints, serving(tmp_path, web_identity(endpoints, tmp_path)) as service:
        assert gauge(service) == {}
        assert endpoints.asked == []
        answer, _ = timed(service, "/aws/identity")
        found = answer.json()
        assert (answer.status, found["ok"], found["provider"], found["assumed_role_arn"]) == (
            200,
            True,
            "web_identity",
            ROLE,
        )
        asked = len(endpoints.asked)
        assert all(gauge(service) == series("web_identity", "ok", 1) for _ in range(12))
        assert len(endpoints.asked) == asked


@pytest.mark.parametrize(
    ("role", "provider", "verdict"), [(OTHER, "web_identity", "wrong_role"), ("", "node_role", "node_role_fallback")]
)
def test_a_wrong_identity_is_an_answer_and_a_gauge_of_zero(
    tmp_path: Path, role: str, provider: str, verdict: str
) -> None:
    """200, since the question was answered; ready all the same, since every pod can still serve."""
    with cloud(node=NODE) as endpoints:
        environment = web_identity(endpoints, tmp_path, role) if role else pod(endpoints)
        with serving(tmp_path, environment) as service:
            answer, _ = timed(service, "/aws/identity")
            assert (answer.status, answer.json()["ok"], answer.json()["verdict"]) == (200, False, verdict)
            assert gauge(service) == series(provider, verdict, 0)
            assert service.get("/readyz").status == 200


def test_a_verdict_follows_what_changes(tmp_path: Path) -> None:
    """An answer is kept for some seconds and no longer; nothing of the look before is used again."""
    with cloud(agent="expired") as endpoints, serving(tmp_path, pod_identity(endpoints, tmp_path)) as service:
        assert timed(service, "/aws/identity")[0].json()["verdict"] == "token_expired"
        endpoints.faults.clear()
        eventually(lambda: timed(service, "/aws/identity")[0].json()["ok"], "it has a role", KEEP_SECONDS + 5)
        eventually(lambda: gauge(service) == series("pod_identity", "ok", 1), "the gauge follows", KEEP_SECONDS + 5)


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_hanging_sts_costs_three_seconds_and_no_threads(tmp_path: Path, fault: str) -> None:
    """Forty requests share one look a worker, late ones are told at once, and the rest is served meanwhile."""
    with cloud(sts=fault) as endpoints, serving(tmp_path, web_identity(endpoints, tmp_path)) as service:
        service.get_many(400, 40, "/delay/0.1")  # so that every worker has all its threads
        before, began = threads(service), time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            looks = [pool.submit(timed, service, "/aws/identity") for _ in range(40)]
            eventually(lambda: endpoints.asked, "STS is asked", 10)
            others = [timed(service, "/version") for _ in range(20)]
        answers, more = [look.result() for look in looks], threads(service) - before
        longest, other = (max(seconds for _, seconds in each) for each in (answers, others))
        print(f"{fault}: identity after at most {longest:.2f} s, others {other:.2f} s, {more} threads more")
        assert {(answer.status, answer.json()["verdict"]) for answer, _ in answers} == {(200, "unreachable")}
        assert longest < 3
        assert {answer.status for answer, _ in others} == {200}
        assert endpoints.asked.count("sts") <= 4 * (1 + (time.monotonic() - began) // KEEP_SECONDS)
        assert more <= 8  # one a worker, and what a pool had still to start; forty would be one a request
        assert gauge(service) == series("web_identity", "unreachable", 0)


def test_the_first_objects_of_the_bucket_are_shown(tmp_path: Path) -> None:
    """At most twenty, whatever the query asks for: what is listed is the operator's choice."""
    with cloud() as endpoints, serving(tmp_path, web_identity(endpoints, tmp_path)) as service:
        endpoints.objects = [f"{number:03}" for number in range(50)]
        found = settled(service, "/aws/bucket?prefix=04&limit=50", 200).json()
        assert (found["bucket"], found["truncated"]) == ("example-bucket", True)
        assert [each["key"] for each in found["objects"]] == endpoints.objects[:20]
        assert gauge(service) == {}


@pytest.mark.parametrize(
    ("part", "fault", "status", "code"),
    [
        ("s3", "denied", 502, "denied"),
        ("s3", "missing", 502, "bucket_missing"),
        ("s3", "hang", 504, "unreachable"),
        ("sts", "expired", 502, "token_expired"),
        ("sts", "drip", 504, "unreachable"),
    ],
)
def test_a_bucket_that_cannot_be_listed_is_a_problem_in_time(
    tmp_path: Path, part: str, fault: str, status: int, code: str
) -> None:
    """With a code for programs and a sentence for people."""
    with cloud(**{part: fault}) as endpoints, serving(tmp_path, web_identity(endpoints, tmp_path)) as service:
        answer = settled(service, "/aws/bucket", status)
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["detail"]


def test_without_a_bucket_there_is_none(tmp_path: Path) -> None:
    """404, and nobody is asked."""
    with cloud() as endpoints, serving(tmp_path, pod(endpoints) | {"HOLA_BUCKET": ""}) as service:
        answer, _ = timed(service, "/aws/bucket")
        assert (answer.status, answer.json()["code"], endpoints.asked) == (404, "not_configured", [])


def test_the_bucket_needs_the_pods_token(tmp_path: Path) -> None:
    """What a bucket holds is not for everybody who reaches the port, if the pod has a token; the identity is."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/api_token").write_text("example-token")
    with cloud() as endpoints, serving(tmp_path, web_identity(endpoints, tmp_path)) as service:
        assert service.get("/aws/bucket").status == 401
        assert endpoints.asked == []

        def is_admitted() -> bool:
            return service.get("/aws/bucket", Authorization="Bearer example-token").status == 200

        eventually(is_admitted, "the bucket is shown", 20)
        assert service.get("/aws/identity").status == 200

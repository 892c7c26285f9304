"""Who AWS says this pod is, and whether that is who it should be.

A pod without a role of its own does not fail: the SDK quietly takes the node's, which may do more or less than was
meant. So the provider that won is part of the verdict, and verdicts are of a closed set, each with what to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from hola.aws.look import ANSWER_SECONDS, Look, now
from hola.aws.sdk import Access, AwsError, too_late
from hola.scoreboard import Pod

_ASSUMED = re.compile(r"arn:([\w-]+):sts::(\d{12}):assumed-role/([^/]+)/.+")
_BIND = "annotate its ServiceAccount (eks.amazonaws.com/role-arn) or make a Pod Identity association, then restart it"
_SENTENCES = {
    "ok": "this pod has the role it should have",
    "wrong_role": "this is not the expected role: compare the ServiceAccount's role with HOLA_EXPECTED_ROLE_ARN",
    "node_role_fallback": f"no role is bound to this pod, so it fell back to the node's: {_BIND}",
    "no_credentials": f"no provider has credentials, and the node's metadata service gives none: {_BIND}",
    "token_expired": "the token or the credentials have expired: look at the token file's age and the node's clock",
    "refused": "AWS refuses what this pod shows: look at the role's trust policy, or at the key if it is one",
    "misconfigured": "the AWS_* settings cannot be used as they are",
    "unreachable": "no usable answer, or none in time: look at network policy, endpoints and DNS",
    "failed": "the look failed in a way that has no name here",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a look found. `verdict` is one of `scoreboard.AWS_REASONS`, `provider` one of `AWS_PROVIDERS`.

    The assumed role stands without its path, which STS does not tell. `expires_at` is None for what does not expire.
    """

    verdict: str
    message: str
    provider: str
    expected_role_arn: str | None
    assumed_role_arn: str | None = None
    caller_arn: str | None = None
    expires_at: str | None = None
    aws_error: str | None = None
    looked_at: str = field(default_factory=now)

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def identity_look(
    expected_role_arn: str | None, told: Callable[[Identity], None], answer_seconds: float = ANSWER_SECONDS
) -> Look[Identity]:
    """Looks at the identity; `told` hears of each answer, by the thread that has it."""

    def tell(identity: Identity) -> Identity:
        told(identity)
        return identity

    return Look(
        lambda access: tell(_find_out(access, expected_role_arn)),
        lambda access: tell(_failure(access, expected_role_arn, too_late(access))),
        answer_seconds,
    )


def publish(pod: Pod) -> Callable[[Identity], None]:
    """Return a function that puts a verdict on the scoreboard, for the gauge of whichever worker is scraped."""
    return lambda identity: pod.set_aws_identity(identity.provider, identity.verdict)


def judge(provider: str, caller_arn: str, expected_role_arn: str | None) -> str:
    """The verdict on a caller that AWS knows. Without an expected role any is right but the node's."""
    if expected_role_arn is not None and assumed_role(caller_arn) == _without_path(expected_role_arn):
        return "ok"
    if provider == "node_role":
        return "node_role_fallback"
    return "ok" if expected_role_arn is None else "wrong_role"


def assumed_role(caller_arn: str) -> str | None:
    """The role's ARN, without its path, of a caller by STS; None if the caller has assumed none.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
    """
    found = _ASSUMED.fullmatch(caller_arn)
    return f"arn:{found[1]}:iam::{found[2]}:role/{found[3]}" if found else None


def _without_path(role_arn: str) -> str:
    start, role, name = role_arn.partition(":role/")
    return start + role + name.rpartition("/")[2]


def _find_out(access: Access, expected: str | None) -> Identity:
    try:
        access.open()
        caller = access.caller_arn()
    except AwsError as error:
        return _failure(access, expected, error)
    verdict = judge(access.provider, caller, expected)
    nothing_expected = "HOLA_EXPECTED_ROLE_ARN is not set, so there is nothing to compare with"
    message = nothing_expected if verdict == "ok" and expected is None else _SENTENCES[verdict]
    return Identity(verdict, message, access.provider, expected, assumed_role(caller), caller, _expiry(access))


def _failure(access: Access, expected: str | None, error: AwsError) -> Identity:
    message = _SENTENCES[error.reason] + (f" ({error.hint})" if error.hint else "")
    return Identity(
        error.reason, message, access.provider, expected, expires_at=_expiry(access), aws_error=error.aws_code
    )


def _expiry(access: Access) -> str | None:
    return access.expires_at.isoformat(timespec="seconds").replace("+00:00", "Z") if access.expires_at else None

"""The pod's role at work: who AWS says it is, and the first objects of its bucket.

Neither route takes arguments: what is asked of AWS is the operator's choice, so nobody on the network can walk
through a bucket or make every request a call.
"""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, Response
from typing_extensions import TypedDict

from hola.aws.bucket import Listing
from hola.aws.identity import Identity
from hola.aws.look import Look
from hola.views.problems import problem
from hola.views.token import Token

FIRST_OBJECTS = 20
_STATUSES = {"unreachable": 504}  # else 502: AWS was asked, and it went wrong there


class AwsIdentity(TypedDict):
    """Who AWS says this pod is; `verdict` says whether that is right, `message` what to do."""

    ok: bool
    verdict: str
    message: str
    provider: str
    assumed_role_arn: str | None
    expected_role_arn: str | None
    caller_arn: str | None
    expires_at: str | None
    aws_error: str | None
    looked_at: str


class AwsBucket(TypedDict):
    """The first objects of the pod's bucket."""

    ok: bool
    bucket: str
    reason: str
    message: str
    provider: str
    objects: list[dict[str, Any]]
    truncated: bool
    aws_error: str | None
    looked_at: str


class AwsViews:
    def __init__(self, identity: Look[Identity], bucket: Look[Listing] | None, token: Token) -> None:
        self._identity = identity
        self._bucket = bucket
        self._token = token

    def identity(self) -> AwsIdentity:
        """Who AWS says this pod is, against the role it should have; always with a verdict, within 3 s."""
        return cast(AwsIdentity, self._identity.answer().as_dict())

    def bucket(self) -> AwsBucket | Response:
        """The first 20 objects of the pod's bucket, within 3 s. Needs the bearer token if the pod has one."""
        if not self._token.admits():
            return self._token.refusal()
        if self._bucket is None:
            return problem(404, "this pod has no bucket: HOLA_BUCKET is not set", code="not_configured")
        listing = self._bucket.answer()
        if not listing.ok:
            return problem(_STATUSES.get(listing.reason, 502), listing.message, code=listing.reason)
        return cast(AwsBucket, listing.as_dict())


def blueprint(views: AwsViews) -> Blueprint:
    routes = Blueprint("aws", __name__)
    routes.add_url_rule("/aws/identity", view_func=views.identity)
    routes.add_url_rule("/aws/bucket", view_func=views.bucket)
    return routes

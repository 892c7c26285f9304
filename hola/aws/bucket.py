"""The pod's role at work: the first objects of its bucket, listed with nothing but `s3:ListBucket`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hola.aws.look import ANSWER_SECONDS, Look, now
from hola.aws.sdk import Access, AwsError, too_late

MOST_OBJECTS = 1000  # S3's own limit of one answer
MOST_PREFIX_BYTES = 1024  # S3's own limit of a key
_MEANINGS = {"NoSuchBucket": "bucket_missing", "AccessDenied": "denied", "AllAccessDisabled": "denied"}
_SENTENCES = {
    "ok": "listed",
    "bucket_missing": "there is no such bucket: look at HOLA_BUCKET and the region",
    "denied": "the role may not list this: it needs s3:ListBucket on the bucket, for this prefix",
    "no_credentials": "no credentials: the identity says why",
    "token_expired": "the token or the credentials have expired: the identity says more",
    "refused": "AWS refuses the credentials or the request: the identity says more",
    "misconfigured": "the AWS_* settings cannot be used as they are",
    "unreachable": "no usable answer, or none in time: look at network policy, endpoints and DNS",
    "failed": "the look failed in a way that has no name here",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What a look found; `reason` is `ok` or why there are no objects."""

    bucket: str
    reason: str
    message: str
    provider: str
    objects: list[dict[str, Any]] = field(default_factory=list)
    truncated: bool = False
    aws_error: str | None = None
    looked_at: str = field(default_factory=now)

    @property
    def ok(self) -> bool:
        return self.reason == "ok"

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def bucket_look(bucket: str, prefix: str, limit: int, answer_seconds: float = ANSWER_SECONDS) -> Look[Listing]:
    """Looks for the first `limit` (1 to 1000) objects whose keys begin with `prefix`."""
    return Look(
        lambda access: _list(access, bucket, prefix, limit),
        lambda access: _failure(access, bucket, too_late(access)),
        answer_seconds,
    )


def _list(access: Access, bucket: str, prefix: str, limit: int) -> Listing:
    try:
        access.open()
    except AwsError as error:
        return _failure(access, bucket, error)
    try:
        found, has_more = access.first_objects(bucket, prefix, limit)
    except AwsError as error:
        reason = _MEANINGS.get(error.aws_code or "", error.reason)
        return _failure(access, bucket, AwsError(reason, error.aws_code, error.hint))
    objects = [_shown(each) for each in found]
    return Listing(bucket, "ok", _SENTENCES["ok"], access.provider, objects, has_more)


def _failure(access: Access, bucket: str, error: AwsError) -> Listing:
    message = _SENTENCES[error.reason] + (f" ({error.hint})" if error.hint else "")
    return Listing(bucket, error.reason, message, access.provider, aws_error=error.aws_code)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    at = found.get("LastModified")
    return {
        "key": str(found.get("Key", "")),
        "size_bytes": int(found.get("Size", 0)),
        "last_modified": at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None,
    }

"""The AWS SDK, bounded and quiet: the one place that imports it, and only when it is used (half a second, 30 MB).

Owns one look at AWS: the walk over the SDK's own providers of credentials, the calls, and what each failure
means. Nothing is tried twice. What leaves this file is a closed reason, AWS's error code and a hint of hola's
own; never a message of the SDK or of a service, which may quote what an endpoint answered, credentials included.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from hola.errors import HolaError

CONNECT_SECONDS = 1.0
READ_SECONDS = 1.0
METADATA_SECONDS = 0.5  # asked twice, for IMDSv2's token and for the role
AGENT_SECONDS = 1.0

# The SDK's names of its providers; what is not here is "other".
# https://docs.aws.amazon.com/boto3/latest/guide/credentials.html
_PROVIDERS = {
    "assume-role-with-web-identity": "web_identity",
    "container-role": "pod_identity",
    "env": "environment",
    "shared-credentials-file": "shared_file",
    "config-file": "shared_file",
    "ec2-credentials-file": "shared_file",
    "boto-config": "shared_file",
    "iam-role": "node_role",
}
_ARN = re.compile(r"arn:aws[a-z-]*:(sts|iam)::[0-9]{12}:[\x21-\x7e]{1,2048}")
_NOT_AWS = "what answers there is not AWS"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,63}")
_BUSY = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "RequestTimeout"})
_HINTS = {
    "NoRegionError": "AWS_DEFAULT_REGION is not set",
    "PartialCredentialsError": "only a part of the access key is set",
    "ProfileNotFound": "AWS_PROFILE names no profile",
    "InvalidConfigError": "a role or a profile is set only in part: AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE",
    "ParamValidationError": "AWS_ROLE_ARN or AWS_ROLE_SESSION_NAME is not what STS takes",
    "ValueError": "an endpoint, a region or a token file among AWS_* is not what the SDK takes",
}


class AwsError(HolaError):
    """AWS was not asked, did not answer or said no. `reason` is of a closed set, `aws_code` is AWS's or the SDK's."""

    code = "aws_failed"

    def __init__(self, reason: str, aws_code: str | None = None, hint: str = "") -> None:
        self.reason, self.aws_code, self.hint = reason, aws_code, hint
        super().__init__(f"{reason}: {hint or aws_code or 'no more is known'}")


def load() -> None:
    """Import the SDK now, so that a look begins with asking. In a service the first look does it."""
    import boto3  # noqa: F401, PLC0415 - see this module's docstring


class Access:
    """One look at AWS with credentials found anew, so that a rotated token or another role counts at once.

    `provider` is who is being asked for credentials, or who gave them. Cheap to make; one thread uses it.
    """

    def __init__(self) -> None:
        self.provider = "none"
        self.expires_at: datetime | None = None
        self._boto: Any = None

    def open(self) -> None:
        """Get credentials. Raises `AwsError`."""
        with _translating():
            import boto3  # noqa: PLC0415 - see this module's docstring

            session = _bounded_session()
            found = self._find(session)
            keys = found.get_frozen_credentials()
            self.expires_at = getattr(found, "_expiry_time", None)  # the SDK has no public name for it
            self._boto = boto3.Session(keys.access_key, keys.secret_key, keys.token, botocore_session=session)

    def caller_arn(self) -> str:
        """Who STS says this is. Raises `AwsError`. Needs no permission:
        https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
        """
        with _translating():
            arn = str(self._boto.client("sts").get_caller_identity()["Arn"])
        if not _ARN.fullmatch(arn):
            raise AwsError("unreachable", None, _NOT_AWS)
        return arn

    def first_objects(self, bucket: str, prefix: str, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """The first objects by their keys, and whether there are more. Raises `AwsError`."""
        with _translating():
            found = self._boto.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=limit)
            return list(found.get("Contents", [])), bool(found.get("IsTruncated"))

    def _find(self, session: Any) -> Any:
        """The credentials of the first provider that has some: the SDK's own walk, with a note of where it is."""
        for provider in _bounded_chain(session):
            self.provider = _PROVIDERS.get(provider.METHOD, "other")
            found = provider.load()
            if found is not None:
                return found
        self.provider = "none"
        raise AwsError("no_credentials")


def too_late(access: Access) -> AwsError:
    """What is told of a look that goes on after its time."""
    return AwsError("unreachable", None, "" if access.provider != "none" else "too busy to ask anybody yet, ask again")


def _bounded_session() -> Any:
    import botocore.session  # noqa: PLC0415 - see this module's docstring
    from botocore.config import Config  # noqa: PLC0415

    # Its debug lines hold requests and credentials, and its warnings tell what the verdict tells.
    logging.getLogger("botocore").setLevel(logging.CRITICAL)
    session = botocore.session.get_session()
    once = {"total_max_attempts": 1}
    session.set_default_client_config(
        Config(
            connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=once
        )  # also for STS inside a provider
    )
    session.set_config_variable("metadata_service_timeout", 1)
    session.set_config_variable("metadata_service_num_attempts", 1)
    return session


def _bounded_chain(session: Any) -> list[Any]:
    """The SDK's providers, two of them with shorter timeouts than any setting allows.

    Its own client of a container's agent tries three times for 2 s with a pause in between, and metadata's timeout
    is a whole number of seconds, once for the token and once for the role.
    """
    from botocore import credentials, httpsession, utils  # noqa: PLC0415 - see this module's docstring

    agent = utils.ContainerMetadataFetcher(
        session=httpsession.URLLib3Session(timeout=AGENT_SECONDS), sleep=lambda _seconds: None
    )
    agent.RETRY_ATTEMPTS = 1
    names = ("ec2_metadata_service_endpoint", "ec2_metadata_v1_disabled")
    config = {name: session.get_config_variable(name) for name in names}
    config["ec2_metadata_service_endpoint_mode"] = utils.resolve_imds_endpoint_mode(session)
    metadata = utils.InstanceMetadataFetcher(METADATA_SECONDS, 1, user_agent=session.user_agent(), config=config)
    bounded = {
        "container-role": credentials.ContainerProvider(fetcher=agent),
        "iam-role": credentials.InstanceMetadataProvider(metadata),
    }
    return [bounded.get(each.METHOD, each) for each in session.get_component("credential_provider").providers]


@contextmanager
def _translating() -> Iterator[None]:
    """Turn whatever the SDK raises into an `AwsError`, and leave the original behind: it may quote credentials."""
    try:
        yield
    except AwsError:
        raise
    except Exception as error:  # noqa: BLE001 - the SDK raises its own kinds, OSError, KeyError, RuntimeError, ...
        raise _meaning(error) from None


def _meaning(error: Exception) -> AwsError:
    from botocore import exceptions, parsers  # noqa: PLC0415 - see this module's docstring

    name = type(error).__name__
    if isinstance(error, exceptions.ClientError):
        return _refusal(error.response)
    if isinstance(error, exceptions.CredentialRetrievalError | exceptions.MetadataRetrievalError):
        return _endpoint_failure(str(error), name)
    kinds: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
        ((exceptions.HTTPClientError, exceptions.ConnectionError), "unreachable", ""),
        ((parsers.ResponseParserError, LookupError, TypeError), "unreachable", _NOT_AWS),
        ((OSError,), "misconfigured", f"{getattr(error, 'filename', None)} cannot be read"),
        ((exceptions.BotoCoreError, ValueError), "misconfigured", _HINTS.get(name, "")),
        ((RuntimeError,), "token_expired" if "expired" in str(error) else "failed", ""),
        ((Exception,), "failed", ""),
    )
    reason, hint = next((reason, hint) for types, reason, hint in kinds if isinstance(error, types))
    return AwsError(reason, name, hint)


def _refusal(response: Any) -> AwsError:
    """What a service that answered with an error means by it."""
    told = str(response.get("Error", {}).get("Code", ""))
    code = told if _CODE.fullmatch(told) else None
    if told.startswith("ExpiredToken"):
        return AwsError("token_expired", code)
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return AwsError("unreachable" if status >= 500 or told in _BUSY else "refused", code)


def _endpoint_failure(text: str, name: str) -> AwsError:
    """What a credential endpoint's failure means: the SDK tells it in text only, which stays here."""
    refused = re.search(r"non 200 response (\d{3})", text)
    if refused is None:
        return AwsError("unreachable", name)
    if "expired" in text.lower():
        return AwsError("token_expired", name)
    is_down = refused[1].startswith("5")
    return AwsError("unreachable" if is_down else "refused", name, f"its credential endpoint answers {refused[1]}")

"""What the SDK's failures mean, that nothing it quotes gets out, and that what is used of its inside is still there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import credentials, exceptions, parsers, utils

from hola.aws import sdk
from hola.aws.sdk import AwsError

CANARY = "S3NT1NEL"


def refusal(code: str, status: int) -> exceptions.ClientError:
    response: Any = {"Error": {"Code": code, "Message": CANARY}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return exceptions.ClientError(response, "GetCallerIdentity")


def agent(text: str) -> exceptions.CredentialRetrievalError:
    return exceptions.CredentialRetrievalError(provider="container-role", error_msg=text)


@pytest.mark.parametrize(
    ("error", "reason", "aws_code"),
    [
        (refusal("ExpiredToken", 400), "token_expired", "ExpiredToken"),
        (refusal("ExpiredTokenException", 400), "token_expired", "ExpiredTokenException"),
        (refusal("AccessDenied", 403), "refused", "AccessDenied"),
        (refusal(f"{CANARY} {CANARY}", 403), "refused", None),
        (refusal("ServiceUnavailable", 503), "unreachable", "ServiceUnavailable"),
        (refusal("Throttling", 400), "unreachable", "Throttling"),
        (
            agent(f"Received non 200 response 400 from container metadata: {CANARY} Token expired"),
            "token_expired",
            None,
        ),
        (agent(f"Received non 200 response 403 from container metadata: {CANARY}"), "refused", None),
        (agent(f"Received non 200 response 503 from container metadata: {CANARY}"), "unreachable", None),
        (agent(f"Received error when attempting to retrieve container metadata: {CANARY}"), "unreachable", None),
        (exceptions.ReadTimeoutError(endpoint_url=f"http://{CANARY}"), "unreachable", "ReadTimeoutError"),
        (exceptions.EndpointConnectionError(endpoint_url=f"http://{CANARY}"), "unreachable", "EndpointConnectionError"),
        (exceptions.SSLError(endpoint_url=CANARY, error=CANARY), "unreachable", "SSLError"),
        (parsers.ResponseParserError(CANARY), "unreachable", "ResponseParserError"),
        (KeyError("AccessKeyId"), "unreachable", "KeyError"),
        (exceptions.NoRegionError(), "misconfigured", "NoRegionError"),
        (exceptions.PartialCredentialsError(provider="env", cred_var=CANARY), "misconfigured", None),
        (FileNotFoundError(2, "No such file", "/nonexistent/token"), "misconfigured", "FileNotFoundError"),
        (ValueError(CANARY), "misconfigured", "ValueError"),
        (RuntimeError(f"the refreshed credentials are still expired {CANARY}"), "token_expired", "RuntimeError"),
        (RuntimeError(CANARY), "failed", "RuntimeError"),
        (MemoryError(CANARY), "failed", "MemoryError"),
    ],
)
def test_a_failure_has_a_reason_and_quotes_nothing(error: Exception, reason: str, aws_code: str | None) -> None:
    with pytest.raises(AwsError) as caught, sdk._translating():
        raise error
    assert caught.value.reason == reason
    assert aws_code is None or caught.value.aws_code == aws_code
    assert CANARY not in f"{caught.value} {caught.value.hint} {caught.value.aws_code}"
    assert caught.value.__suppress_context__


def test_what_is_used_of_the_sdks_inside_is_still_there() -> None:
    """`_expiry_time`, the agent's attempts, and the names of the providers are its own business until they change."""
    expiry = datetime(2099, 1, 1, tzinfo=UTC)
    found = credentials.RefreshableCredentials("a", "b", "c", expiry, dict, "env")
    assert found._expiry_time == expiry
    assert utils.ContainerMetadataFetcher.RETRY_ATTEMPTS > 1
    chain = [provider.METHOD for provider in sdk._bounded_chain(sdk._bounded_session())]
    assert sdk._PROVIDERS.keys() <= {*chain, "ec2-credentials-file"}
    assert [
        method for method in chain if method in ("env", "assume-role-with-web-identity", "container-role", "iam-role")
    ] == [
        "env",
        "assume-role-with-web-identity",
        "container-role",
        "iam-role",
    ]


def test_only_an_arn_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def client(self, _name: str) -> Any:
            return self

        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": f"Authorization: {CANARY}"}

    access = sdk.Access()
    access._boto = Session()
    with pytest.raises(AwsError) as caught:
        access.caller_arn()
    assert (caught.value.reason, CANARY in str(caught.value)) == ("unreachable", False)

"""The policies in k8s/iam: the least that hola's calls need, for one ServiceAccount, and visibly examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

PLACE = ROOT / "k8s/iam"
FILES = sorted(PLACE.glob("*.json"))
CALLS = {"list_objects_v2": "s3:ListBucket", "get_caller_identity": None}  # the latter needs no permission
SUBJECT = "system:serviceaccount:hola:hola"


def statement(name: str) -> dict[str, Any]:
    """A policy's only statement."""
    policy = json.loads((PLACE / name).read_text())
    assert policy["Version"] == "2012-10-17"
    (only,) = policy["Statement"]
    assert only["Effect"] == "Allow"
    return dict(only)


def actions(name: str) -> set[str]:
    action = statement(name)["Action"]
    return {action} if isinstance(action, str) else set(action)


def test_the_role_may_do_what_hola_calls_and_nothing_else() -> None:
    source = (ROOT / "hola/aws/sdk.py").read_text()
    called = set(re.findall(r'\.client\("\w+"\)\.(\w+)\(', source))
    assert called == CALLS.keys()
    for name in ("permissions.json", "permissions-prefix.json"):
        assert actions(name) == {action for action in CALLS.values() if action}
        assert statement(name)["Resource"] == "arn:aws:s3:::example-bucket", (
            "a bucket, not its objects, and no wildcard"
        )


def test_a_prefix_restricts_what_the_smaller_policy_lists() -> None:
    assert "s3:prefix" not in json.dumps(statement("permissions.json"))
    assert statement("permissions-prefix.json")["Condition"]["StringLike"] == {"s3:prefix": "public/*"}


def test_irsa_trusts_one_service_account_of_one_cluster() -> None:
    trust = statement("trust-irsa.json")
    provider = trust["Principal"]["Federated"].partition(":oidc-provider/")[2]
    assert provider
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"] == {
        "StringEquals": {f"{provider}:aud": "sts.amazonaws.com", f"{provider}:sub": SUBJECT}
    }, "both, exactly, or any pod of the cluster may assume the role"


def test_pod_identity_trusts_one_service_account_of_one_cluster() -> None:
    trust = statement("trust-pod-identity.json")
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert actions("trust-pod-identity.json") == {"sts:AssumeRole", "sts:TagSession"}
    (operator,) = trust["Condition"]
    tags = {key.removeprefix("aws:RequestTag/"): value for key, value in trust["Condition"][operator].items()}
    assert operator == "StringEquals"
    assert tags["kubernetes-namespace"] == SUBJECT.split(":")[2]
    assert tags["kubernetes-service-account"] == SUBJECT.split(":")[3]
    assert tags["eks-cluster-arn"].endswith(":111122223333:cluster/example")


def test_the_service_account_that_is_trusted_is_the_one_that_is_deployed() -> None:
    account = yaml.safe_load((ROOT / "k8s/base/serviceaccount.yaml").read_text())
    assert account["metadata"]["name"] == SUBJECT.rpartition(":")[2]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_values_are_visibly_examples_and_nothing_is_open(file: Path) -> None:
    text = file.read_text()
    assert set(re.findall(r"\b\d{12}\b", text)) == {"111122223333"}
    assert "NotAction" not in text
    assert not re.search(r'"(Action|Resource|Principal|AWS|Federated|Service)": *(\[ *)?"[^"]*\*', text)
    assert "example" in text.lower()


def test_every_policy_is_explained() -> None:
    readme = (PLACE / "README.md").read_text()
    assert len(FILES) == 4
    assert [file.name for file in FILES if f"`{file.name}`" not in readme] == []

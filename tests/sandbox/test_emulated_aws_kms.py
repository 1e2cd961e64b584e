from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_provider import Driver, Refused, unique

if TYPE_CHECKING:
    from lightly_infra.sandbox.aws.ministack import Ministack
    from tests.sandbox.emulated_provider import Made

KEY = "aws:kms/key:Key"
GRANT = "aws:kms/grant:Grant"


def _policy(sid: str) -> str:
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def key(aws: Driver) -> Made:
    return aws.create(KEY, {"description": "for a test"})


@pytest.fixture
def principal(aws: Driver) -> str:
    made = aws.create("aws:iam/user:User", {"name": unique("user"), "path": "/some/path/"})
    return str(made.outputs["arn"])


def test_a_key_lives_its_life(aws: Driver, ministack: Ministack) -> None:
    inputs: dict[str, Any] = {"description": "one", "policy": _policy("One"), "tags": {"a": "1", "b": "1"}}
    made = aws.create(KEY, inputs)
    assert made.outputs["arn"] == f"arn:aws:kms:eu-central-1:123456789012:key/{made.id}"
    assert made.outputs["keyId"] == made.id
    assert made.outputs["isEnabled"] is True
    assert aws.drifted(made, inputs) == []

    after = {"description": "two", "policy": _policy("Two"), "tags": {"a": "2"}, "enableKeyRotation": True}
    changed = aws.update(made, after)
    assert aws.drifted(changed, after) == []
    assert changed.outputs["policy"] == _policy("Two")
    ministack.client("kms").put_key_policy(KeyId=made.id, PolicyName="default", Policy=_policy("Theirs"))
    ministack.client("kms").update_key_description(KeyId=made.id, Description="theirs")
    assert set(aws.drifted(changed, after)) == {"policy", "description"}

    seen = aws.refresh(changed)
    assert seen is not None
    bare = {"description": "two"}
    assert aws.drifted(aws.update(seen, bare), bare) == []
    aws.delete(changed)
    aws.delete(changed)
    assert aws.refresh(changed) is None
    state = ministack.client("kms").describe_key(KeyId=made.id)["KeyMetadata"]
    assert state["KeyState"] == "PendingDeletion"


def test_a_key_whose_policy_is_not_given_has_the_one_of_kms_and_that_is_no_drift(aws: Driver, key: Made) -> None:
    assert "kms:*" in key.outputs["policy"]
    assert aws.drifted(key, {"description": "for a test"}) == []


def test_a_key_rotates_when_asked(aws: Driver) -> None:
    made = aws.create(KEY, {"enableKeyRotation": True, "region": "eu-west-1"})
    assert made.outputs["enableKeyRotation"] is True
    assert ":eu-west-1:" in made.outputs["arn"]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"policy": "{"}, "policy: MalformedPolicyDocument"),
        ({"deletionWindowInDays": 6}, "deletionWindowInDays: 6 is outside 7 to 30 days"),
        ({"multiRegion": True}, "multiRegion: .*does not support this input"),
    ],
)
def test_a_key_that_kms_or_the_emulator_does_not_take_is_refused(aws: Driver, inputs: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        aws.check(KEY, inputs)


def test_a_grant_lives_its_life(aws: Driver, key: Made, principal: str) -> None:
    inputs = {
        "keyId": key.id,
        "granteePrincipal": principal,
        "operations": ["Decrypt", "GenerateDataKey"],
        "constraints": [{"encryptionContextSubset": {"aws:s3:arn": "arn:aws:s3:::b"}}],
    }
    made = aws.create(GRANT, inputs, name="lightly")
    assert made.id == f"{key.id}:{made.outputs['grantId']}"
    assert made.outputs["name"].startswith("lightly-")
    assert isinstance(made.outputs["grantToken"], Secret)
    assert aws.drifted(made, inputs) == []
    changes = aws.diff(made, {**inputs, "operations": ["Decrypt"]})
    assert list(changes.replaces) == ["operations"]
    assert not aws.diff(made, {**inputs, "retireOnDelete": True}).replaces
    aws.update(made, {**inputs, "retireOnDelete": True})

    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)


def test_a_grant_can_be_retired(aws: Driver, key: Made, principal: str) -> None:
    inputs = {
        "keyId": key.outputs["arn"],
        "granteePrincipal": principal,
        "operations": ["Decrypt"],
        "retireOnDelete": True,
    }
    made = aws.create(GRANT, inputs)
    assert aws.drifted(made, inputs) == []
    aws.delete(made)
    assert aws.refresh(made) is None


def test_a_grant_needs_a_key_a_principal_that_exists_and_operations_that_kms_knows(
    aws: Driver, key: Made, principal: str
) -> None:
    valid = {"keyId": key.id, "granteePrincipal": principal, "operations": ["Decrypt"]}
    with pytest.raises(ResourceError, match="NotFoundException"):
        aws.create(GRANT, {**valid, "keyId": "00000000-0000-0000-0000-000000000000"})
    for kind in ("role", "user"):
        with pytest.raises(ResourceError, match=r"InvalidArnException: .*does not exist"):
            aws.create(GRANT, {**valid, "granteePrincipal": f"arn:aws:iam::123456789012:{kind}/nobody"})
    with pytest.raises(ResourceError, match="not a valid grant operation"):
        aws.create(GRANT, {**valid, "operations": ["Sing"]})

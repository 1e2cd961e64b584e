"""What the sandbox prepares on AWS of users and keys that a stack takes as given, and what it cannot have."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.aws.cloud import AwsCloud
from lightly_infra.sandbox.cloud import CannotSeed, Source
from lightly_infra.sandbox.probe import INSIDE
from lightly_infra.spec.s3 import S3Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsCloud]:
    with AwsCloud() as aws:
        yield aws


def source(access: dict[str, Any], purpose: Purpose = Purpose.INPUT, **more: Any) -> Source:
    given = {"prefix": "raw/", "region": REGION, "access": access} | ({} if more else {"bucket": "acme-raw"}) | more
    return Source("street-scenes.input.s3", purpose, S3Spec.model_validate(given))


def fresh() -> str:
    return f"user-{secrets.token_hex(6)}"


def test_a_user_that_is_named_is_there_and_may_do_nothing(aws: AwsCloud) -> None:
    name = fresh()
    for _ in range(2):
        aws.prepare([source({"kind": "keys", "user": name})])
    iam = aws.client("iam")
    assert iam.get_user(UserName=name)["User"]["UserName"] == name
    assert iam.list_access_keys(UserName=name)["AccessKeyMetadata"] == []
    assert iam.list_user_policies(UserName=name)["PolicyNames"] == []


def test_the_user_of_a_key_that_is_brought_may_do_what_the_manual_says(aws: AwsCloud) -> None:
    iam, name = aws.client("iam"), fresh()
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    access = {"kind": "keys", "access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}

    aws.prepare([source(access), source(access, Purpose.LIGHTLY, bucket="acme-lightly")])

    granted = [
        iam.get_user_policy(UserName=name, PolicyName=it)["PolicyDocument"]
        for it in iam.list_user_policies(UserName=name)["PolicyNames"]
    ]
    assert granted == [
        policy.access_policy(purpose=purpose, bucket_arn=f"arn:aws:s3:::{bucket}", prefix="raw/")
        for purpose, bucket in ((Purpose.INPUT, "acme-raw"), (Purpose.LIGHTLY, "acme-lightly"))
    ]
    held = {
        "type": "S3",
        "purpose": "INPUT",
        "fullPath": "s3://acme-raw/raw/",
        "s3Region": REGION,
        "s3AccessKeyId": key["AccessKeyId"],
        "s3SecretAccessKey": key["SecretAccessKey"],
    }
    tried = {it.operation: it.outcome for it in aws.probe(held, []) if it.target == INSIDE}
    assert (tried["list"], tried["read"], tried["write"]) == ("allowed", "allowed", "refused")


def test_a_key_of_a_real_account_is_not_there_and_not_repeated(aws: AwsCloud) -> None:
    access = {"kind": "keys", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "canary-secret"}
    with pytest.raises(CannotSeed, match=r"street-scenes\.input\.s3\.access\.access_key_id: .* no such key") as caught:
        aws.prepare([source(access)])
    assert "canary" not in str(caught.value)


def test_a_key_cannot_be_granted_a_bucket_whose_name_nobody_knows_yet(aws: AwsCloud) -> None:
    iam, name = aws.client("iam"), fresh()
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    access = {"kind": "keys", "access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
    with pytest.raises(CannotSeed, match="name the bucket, or leave the key out"):
        aws.prepare([source(access, Purpose.LIGHTLY, create=True)])


def test_while_an_external_id_is_renewed_either_opens_the_role_and_no_other_does(aws: AwsCloud) -> None:
    iam, name = aws.client("iam"), fresh()
    ids = ["new-external-id", "old-external-id"]
    trust = policy.trust_policy(external_id=ids[0], previous_external_id=ids[1])
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=43_200)["Role"][
        "Arn"
    ]
    aws.put_images("acme-raw", "raw/")
    held = {"type": "S3DelegatedAccess", "purpose": "INPUT", "fullPath": "s3://acme-raw/raw/", "s3Region": REGION}
    for external_id in ids:
        tried = aws.probe(held | {"s3ARN": arn, "s3ExternalId": external_id}, [])
        assert not [it for it in tried if it.operation == "assume the role" and not it.holds]
    (refused, *_) = aws.probe(held | {"s3ARN": arn, "s3ExternalId": "another-external-id"}, [])
    assert refused.outcome == "refused"

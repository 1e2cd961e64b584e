"""Plays the user's part in the emulated AWS account: what a stack takes as given must be there before it runs."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lightly_infra.clouds.aws import policy
from lightly_infra.sandbox.aws.ministack import ACCOUNT
from lightly_infra.sandbox.cloud import CannotSeed
from lightly_infra.sandbox.seed import BESIDE, ELSEWHERE, IMAGES, image
from lightly_infra.spec.s3 import S3Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from types_boto3_iam import IAMClient
    from types_boto3_s3 import S3Client

    from lightly_infra.sandbox.aws.ministack import Ministack
    from lightly_infra.sandbox.cloud import Source


def prepare(aws: Ministack, given: Sequence[Source], lightly_account_id: str) -> None:
    """Makes the buckets, images, roles, users and policies that datasources take as given, and a bucket for nobody.

    Raises:
        CannotSeed: a role lies in another account than the emulated one, or a KMS key or an access key is named that
            the emulated account has not minted.
    """
    sources = [(it, it.spec) for it in given if isinstance(it.spec, S3Spec)]
    created = {s3.bucket for _, s3 in sources if s3.create}
    make_bucket(aws.client("s3", "eu-central-1"), ELSEWHERE, "eu-central-1")
    for it, s3 in sources:
        client = aws.client("s3", s3.region)
        if s3.bucket is not None and s3.bucket not in created:
            put_images(client, s3.bucket, s3.region, s3.prefix, it.files)
        if s3.access_logs:
            make_bucket(client, s3.access_logs.bucket, s3.region)
        if s3.kms_key_arn and not _has_key(aws, s3.kms_key_arn):
            raise CannotSeed(
                f"{it.where}.kms_key_arn: the emulated account has no such key, and mints the ids of its keys itself; "
                "leave kms_key_arn out here"
            )
        if boundary := s3.access.permissions_boundary:
            _boundary(aws.client("iam"), f"{it.where}.access.permissions_boundary", boundary)
    _roles(aws.client("iam"), sources, lightly_account_id)
    _users(aws.client("iam"), sources)


def put_images(client: S3Client, bucket: str, region: str, prefix: str, files: Iterable[str] = IMAGES) -> None:
    """Makes the bucket where it is missing, with these files under the prefix and one object beside it."""
    make_bucket(client, bucket, region)
    for name in files:
        client.put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=image(), ContentType="image/png")
    client.put_object(Bucket=bucket, Key=BESIDE, Body=image(), ContentType="image/png")


def put_aged_images(client: S3Client, bucket: str, prefix: str, days_kept: int, now: datetime) -> None:
    """Images of several ages, in a bucket that deletes them after so many days: the oldest go within two days."""
    for days in sorted({0, days_kept // 3, days_kept * 2 // 3, max(0, days_kept - 2), max(0, days_kept - 1)}):
        client.put_object(
            Bucket=bucket,
            Key=f"{prefix}image-{days}-days-old.png",
            Body=image(),
            ContentType="image/png",
            Metadata={"written": f"{now - timedelta(days=days):%Y-%m-%dT%H:%M:%S.000Z}"},  # see `server`
        )


def make_bucket(client: S3Client, bucket: str, region: str) -> None:
    """Makes the bucket where it is missing."""
    if bucket in {it["Name"] for it in client.list_buckets()["Buckets"]}:
        return
    if region == "us-east-1":  # the one region that S3 does not take by name
        client.create_bucket(Bucket=bucket)
    else:
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item] # any of AWS's regions


def _has_key(aws: Ministack, arn: str) -> bool:
    client = aws.client("kms", arn.split(":")[3])
    try:
        client.describe_key(KeyId=arn)
    except client.exceptions.NotFoundException:
        return False
    return True


def _boundary(client: IAMClient, where: str, arn: str) -> None:
    account, name = arn.split(":")[4], arn.rsplit("/", 1)[-1]
    if account == "aws":  # AWS's own policies are there already
        return
    if account != ACCOUNT:
        raise CannotSeed(f"{where}: the emulated account is {ACCOUNT}; write the ARN with it")
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}],
    }
    try:
        client.create_policy(PolicyName=name, PolicyDocument=json.dumps(everything))
    except client.exceptions.EntityAlreadyExistsException:
        return


def _roles(client: IAMClient, sources: Sequence[tuple[Source, S3Spec]], lightly_account_id: str) -> None:
    """The roles that users bring, with the trust and the policies that the manual tells them to give."""
    statements: dict[str, list[Any]] = {}
    for it, s3 in sources:
        if s3.access.role_arn is None or s3.access.external_id is None or s3.bucket is None:
            continue
        account, name = s3.access.role_arn.split(":")[4], s3.access.role_arn.rsplit("/", 1)[-1]
        if account != ACCOUNT:
            raise CannotSeed(f"{it.where}.access.role_arn: the emulated account is {ACCOUNT}; write the ARN with it")
        if name not in statements:
            external_id = s3.access.external_id.get_secret_value()
            trust = policy.to_json(policy.trust_policy(external_id=external_id, lightly_account_id=lightly_account_id))
            try:
                client.create_role(
                    RoleName=name, AssumeRolePolicyDocument=trust, MaxSessionDuration=policy.MAX_SESSION_SECONDS
                )
            except client.exceptions.EntityAlreadyExistsException:
                client.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        grants = statements.setdefault(name, [])
        document = policy.access_policy(purpose=it.purpose, bucket_arn=f"arn:aws:s3:::{s3.bucket}", prefix=s3.prefix)
        client.put_role_policy(
            RoleName=name, PolicyName=f"lightly-{len(grants)}", PolicyDocument=policy.to_json(document)
        )
        grants.append(document)


def _users(client: IAMClient, sources: Sequence[tuple[Source, S3Spec]]) -> None:
    """The users that are named, and for keys that are brought the policies that the manual tells to give."""
    granted: Counter[str] = Counter()
    for it, s3 in sources:
        if s3.access.user is not None:
            with suppress(client.exceptions.EntityAlreadyExistsException):
                client.create_user(UserName=s3.access.user)
        if s3.access.access_key_id is None:
            continue
        user = _owner(client, f"{it.where}.access", s3.access.access_key_id)
        if s3.bucket is None:
            raise CannotSeed(
                f"{it.where}.access.access_key_id: its user is yours to be granted something, on a bucket whose name "
                "is only generated here; name the bucket, or leave the key out"
            )
        document = policy.access_policy(purpose=it.purpose, bucket_arn=f"arn:aws:s3:::{s3.bucket}", prefix=s3.prefix)
        granted[user] += 1
        client.put_user_policy(
            UserName=user, PolicyName=f"lightly-{granted[user]}", PolicyDocument=policy.to_json(document)
        )


def _owner(client: IAMClient, where: str, access_key_id: str) -> str:
    try:
        return client.get_access_key_last_used(AccessKeyId=access_key_id)["UserName"]
    except client.exceptions.NoSuchEntityException:
        raise CannotSeed(
            f"{where}.access_key_id: the emulated account has no such key, and mints its keys itself; leave "
            "access_key_id and secret_access_key out here, and a user is made"
        ) from None

"""Plays the user's part in an emulated account: what a stack does not make must be there before it runs."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.clouds.aws import policy
from lightly_infra.lightly.models import DatasetType
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox import project
from lightly_infra.sandbox.aws.ministack import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_iam import IAMClient
    from types_boto3_s3 import S3Client

    from lightly_infra import spec
    from lightly_infra.sandbox.aws.ministack import Ministack
    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.lightly import LightlyServer

IMAGES: Final = ("image-1.png", "image-2.png", "image-3.png")
BESIDE: Final = "not-for-lightly/private.png"
"""Lies beside every prefix, so that there is something that Lightly must not reach."""


class CannotSeed(ValueError):
    """The stack wants something of the user's that an emulated account cannot have; the message says what to do."""


def prepare(aws: Ministack, lightly: LightlyServer, program: Program) -> None:
    """Makes the buckets, images, roles, policies and datasets that the program's config takes as given.

    Raises:
        SpecError: the config does not hold.
        CannotSeed: a role lies in another account than the emulated one, or a KMS key is named.
    """
    settings = project.settings(program)
    for key, dataset in settings.datasets.items():
        if dataset.id is not None:
            lightly.put_dataset(dataset.id, key, dataset.type or DatasetType.IMAGES)
    sources = list(_sources(settings.datasets))
    created = {s3.bucket for _, _, s3 in sources if s3.create}
    for where, purpose, s3 in sources:
        client = aws.client("s3", s3.region)
        if s3.bucket is not None and s3.bucket not in created:
            put_images(client, s3.bucket, s3.region, s3.prefix if purpose is Purpose.INPUT else None)
        if s3.access_logs:
            _bucket(client, s3.access_logs.bucket, s3.region)
        if s3.kms_key_arn and not _has_key(aws, s3.kms_key_arn):
            raise CannotSeed(
                f"{where}.kms_key_arn: the emulated account has no such key, and mints the ids of its keys itself; "
                "leave kms_key_arn out here"
            )
        if boundary := s3.access.permissions_boundary:
            _boundary(aws.client("iam"), f"{where}.access.permissions_boundary", boundary)
    _roles(aws.client("iam"), sources, settings.lightly_account_id or policy.LIGHTLY_ACCOUNT_ID)


def put_images(client: S3Client, bucket: str, region: str, prefix: str | None) -> None:
    """Makes the bucket where it is missing, with images under `prefix` (none for `None`) and one object beside it."""
    _bucket(client, bucket, region)
    image = _png()
    for name in IMAGES if prefix is not None else ():
        client.put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=image, ContentType="image/png")
    client.put_object(Bucket=bucket, Key=BESIDE, Body=image, ContentType="image/png")


def _sources(datasets: Mapping[str, spec.DatasetSpec]) -> Iterator[tuple[str, Purpose, spec.S3Spec]]:
    for key, dataset in datasets.items():
        yield f"{key}.input.s3", Purpose.INPUT, dataset.input.s3
        yield f"{key}.lightly.s3", Purpose.LIGHTLY, dataset.lightly.s3


def _bucket(client: S3Client, bucket: str, region: str) -> None:
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


def _roles(client: IAMClient, sources: list[tuple[str, Purpose, spec.S3Spec]], lightly_account_id: str) -> None:
    """The roles that users bring, with the trust and the policies that the manual tells them to give."""
    statements: dict[str, list[Any]] = {}
    for where, purpose, s3 in sources:
        if s3.access.role_arn is None or s3.access.external_id is None or s3.bucket is None:
            continue
        account, name = s3.access.role_arn.split(":")[4], s3.access.role_arn.rsplit("/", 1)[-1]
        if account != ACCOUNT:
            raise CannotSeed(f"{where}.access.role_arn: the emulated account is {ACCOUNT}; write the ARN with it")
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
        document = policy.access_policy(purpose=purpose, bucket_arn=f"arn:aws:s3:::{s3.bucket}", prefix=s3.prefix)
        client.put_role_policy(
            RoleName=name, PolicyName=f"lightly-{len(grants)}", PolicyDocument=policy.to_json(document)
        )
        grants.append(document)


def _png() -> bytes:
    """A picture of one grey pixel: a whole PNG file, so that whatever reads it finds an image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)  # 1 x 1, 8 bit, greyscale
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\x00\x80")) + chunk(b"IEND", b"")
    )

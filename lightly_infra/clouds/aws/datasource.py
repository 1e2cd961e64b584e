"""The S3 datasource: a prefix of a bucket, and an access that is granted just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from lightly_infra import paths, retention
from lightly_infra.clouds.aws import policy
from lightly_infra.clouds.aws.access import KEEPS_ITS_NAME, known_name
from lightly_infra.clouds.aws.storage import Bucket
from lightly_infra.clouds.interface import CloudDatasource
from lightly_infra.located import located

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightly_infra.clouds.aws.access import Access
    from lightly_infra.permissions import Purpose

KMS_SETTLES = 330.0
"""Seconds until a KMS grant works: "usually less than five minutes" (KMS developer guide, "Eventual consistency")."""


class S3DatasourceArgs(TypedDict):
    """Where the data is, and how Lightly gets in."""

    purpose: Purpose
    """Decides what Lightly may do: see `lightly_infra.permissions`."""

    bucket: Bucket | pulumi.Input[str]
    """The name of a bucket of yours, which is not changed, or one made with `Bucket`."""

    prefix: str
    """The directory in the bucket, such as `street-scenes/`; empty for the whole bucket."""

    region: str
    """The bucket's AWS region, one of the 30 that Lightly's API knows."""

    access: Access
    """How Lightly gets in. It is granted the prefix."""

    kms_key_arn: NotRequired[pulumi.Input[str]]
    """The ARN of the KMS key that the bucket of yours is encrypted with. Default: that of a `Bucket`, or none."""

    allowed_source_ips: NotRequired[Sequence[str]]
    """CIDR ranges that S3 calls must come from, such as your workers'. Lightly's own servers are then shut out:
    they cannot verify, and the worker needs `datasource.bypass_verify`. Default: from anywhere."""


class S3Datasource(CloudDatasource):
    """Grants an access the operations of a purpose under one prefix of one bucket.

    It writes no policy, lifecycle, CORS or notification document on a bucket of the user's own: each is one
    document per bucket, and writing it would replace theirs. The use of a KMS key is granted, not written into
    the key's policy, for the same reason.
    """

    def __init__(self, name: str, args: S3DatasourceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aws:S3Datasource", name, opts)
        bucket, access, self.purpose = args["bucket"], args["access"], args["purpose"]
        prefix = paths.normalise_prefix(args["prefix"])
        source_ips = list(args.get("allowed_source_ips", ()))
        owned = bucket if isinstance(bucket, Bucket) else None
        kms_key_arn = args.get("kms_key_arn", owned.kms_key_arn if owned else None)
        if isinstance(kms_key_arn, str):  # what is known is refused here, and not later in a task
            policy.check_kms_key(kms_key_arn)
        bucket_keys = owned is not None and owned.kms_key_arn is not None
        if isinstance(bucket, Bucket):
            with located(name):
                retention.check_kept(bucket.expiries, self.purpose, prefix)
            bucket_name, bucket_arn = bucket.bucket, bucket.arn
        else:
            if isinstance(bucket, str):  # what is known is refused here, and not later in a task
                paths.check_s3_bucket(bucket)
            bucket_name = pulumi.Output.from_input(bucket).apply(paths.check_s3_bucket)
            bucket_arn = bucket_name.apply(f"arn:{policy.partition(args['region'])}:s3:::{{}}".format)

        self.granted = pulumi.Output.all(bucket_arn, kms_key_arn).apply(
            lambda known: policy.to_json(
                policy.access_policy(
                    purpose=self.purpose,
                    bucket_arn=known[0],
                    prefix=prefix,
                    kms_key_arn=known[1],
                    allowed_source_ips=source_ips,
                )
            )
        )
        # Whoever waits for the access waits for what guards the bucket, too.
        access.grant(name, self.granted, self.child(depends_on=[owned] if owned else []))
        if kms_key_arn is not None:
            for suffix, principal_arn in access.principal_arns.items():
                aws.kms.Grant(
                    f"{name}{suffix}",
                    name=known_name(f"{name}{suffix}", self.owner),
                    key_id=kms_key_arn,
                    grantee_principal=principal_arn,
                    operations=policy.kms_operations(self.purpose),
                    # S3 names the bucket to KMS only where bucket keys are on, as on those made here with a key.
                    constraints=[{"encryption_context_equals": {"aws:s3:arn": bucket_arn}}] if bucket_keys else None,
                    region=pulumi.Output.from_input(kms_key_arn).apply(lambda it: it.split(":")[3]),
                    opts=pulumi.ResourceOptions.merge(self.child(), KEEPS_ITS_NAME),
                )
        if owned and prefix:
            # Lightly wants the directory to exist; it may be empty.
            aws.s3.BucketObjectv2(
                name,
                bucket=bucket_name,
                key=prefix,
                content="",
                content_type="application/x-directory",
                region=owned.region,
                opts=self.child(depends_on=[owned], deleted_with=owned.resource),
            )

        self.path = bucket_name.apply(lambda it: paths.resource_path("s3", it, prefix))
        self.config = {**access.config, "full_path": self.path, "s3_region": args["region"]}
        if kms_key_arn is not None:
            self.config = {**self.config, "s3_server_side_encryption_kms_key": kms_key_arn}
        self.identity, self.secrets, self.credential = access.identity, access.secrets, access.credential
        self.verifiable = not source_ips
        if kms_key_arn is not None:
            self.settles = KMS_SETTLES
        self.register_outputs({"path": self.path, **self.identity})

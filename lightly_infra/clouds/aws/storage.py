"""S3 buckets that we create. A bucket of the user's own is never touched here: see `datasource`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from lightly_infra import retention
from lightly_infra.clouds.aws import policy
from lightly_infra.clouds.aws.failures import FAILURES
from lightly_infra.component import Component, marked
from lightly_infra.located import located

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AccessLogsArgs(TypedDict):
    """Where S3 writes the bucket's server access logs."""

    bucket: pulumi.Input[str]
    """An existing bucket of yours, whose policy lets `logging.s3.amazonaws.com` write to it."""

    prefix: NotRequired[pulumi.Input[str]]
    """What the log objects' keys start with. Default: nothing."""


class BucketArgs(TypedDict, total=False):
    """A bucket for Lightly. Every field is optional; the defaults are the safe ones."""

    bucket: pulumi.Input[str]
    """The bucket's name. Default: the component's name and a random suffix."""

    region: pulumi.Input[str]
    """The AWS region. Default: the provider's."""

    kms_key_arn: pulumi.Input[str]
    """Encrypt with this KMS key (its ARN, not an alias) and a bucket key. Default: SSE-S3 (AES-256)."""

    versioning: bool
    """Keep old versions of objects. Default: no. Without a rule that ends them they cost storage for ever."""

    expiries: Sequence[retention.Expiry]
    """What shall be deleted, and at which age: 30 days or more. Default: nothing. Nothing may expire where Lightly
    writes. With `versioning` it stays as an old version."""

    access_logs: AccessLogsArgs
    """Write server access logs. Default: no."""

    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]]
    """More tags of the bucket than those that say who made it (`lightly_infra.ownership`)."""


class Bucket(Component):
    """A private, encrypted, TLS-only S3 bucket.

    Nothing in it expires but what `expiries` say: what Lightly writes must stay. The bucket stays at AWS when it
    leaves the program, with all that guards it.
    """

    failures = FAILURES
    identified_by = "bucket"

    bucket: pulumi.Output[str]
    """The bucket's name."""

    arn: pulumi.Output[str]
    """The bucket's ARN."""

    resource: aws.s3.Bucket
    """The bucket itself, for what shall go with it."""

    expiries: Sequence[retention.Expiry]
    """What expires in it."""

    def __init__(self, name: str, args: BucketArgs | None = None, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aws:Bucket", name, opts)
        args = args or {}
        self.region = args.get("region")
        self.kms_key_arn = args.get("kms_key_arn")
        with located(f"{name}: expiries"):
            self.expiries = retention.check_expiries(args.get("expiries", ()))
        bucket = aws.s3.Bucket(
            name,
            bucket=args.get("bucket"),
            region=self.region,
            tags=marked(self.owner.tags, args.get("tags")),
            opts=self.child(retain_on_delete=True),
        )
        self.resource, self.bucket, self.arn = bucket, bucket.bucket, bucket.arn
        # What guards the bucket stays with it: alone it would be deleted, and the bucket left open.
        going_with_it = self.child(deleted_with=bucket)
        # What is always there never leaves alone, and is shown as kept. What may be turned off has to be deleted then.
        guarded = pulumi.ResourceOptions.merge(going_with_it, pulumi.ResourceOptions(retain_on_delete=True))

        private = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            region=self.region,
            opts=guarded,
        )
        aws.s3.BucketOwnershipControls(
            name,
            bucket=bucket.bucket,
            rule={"object_ownership": "BucketOwnerEnforced"},
            region=self.region,
            opts=guarded,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[_encryption_rule(self.kms_key_arn)],
            region=self.region,
            opts=guarded,
        )
        aws.s3.BucketPolicy(
            name,
            bucket=bucket.bucket,
            policy=bucket.arn.apply(lambda it: policy.to_json(policy.tls_only_policy(it))),
            region=self.region,
            # S3 refuses to change a bucket's policy and its public access block at the same time.
            opts=pulumi.ResourceOptions.merge(guarded, pulumi.ResourceOptions(depends_on=[private])),
        )
        versioning = None
        if args.get("versioning"):
            versioning = aws.s3.BucketVersioning(
                name,
                bucket=bucket.bucket,
                versioning_configuration={"status": "Enabled"},
                region=self.region,
                opts=going_with_it,
            )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[_lifecycle_rule(it) for it in policy.lifecycle(self.expiries)],
            region=self.region,
            opts=pulumi.ResourceOptions.merge(
                guarded, pulumi.ResourceOptions(depends_on=[versioning] if versioning else [])
            ),
        )
        if logs := args.get("access_logs"):
            aws.s3.BucketLogging(
                name,
                bucket=bucket.bucket,
                target_bucket=logs["bucket"],
                target_prefix=logs.get("prefix", ""),
                region=self.region,
                opts=going_with_it,
            )
        self.register_outputs({"bucket": self.bucket, "arn": self.arn})


def _lifecycle_rule(rule: policy.Document) -> aws.s3.BucketLifecycleConfigurationRuleArgsDict:
    """A rule of S3's API as Pulumi calls its parts."""
    made: aws.s3.BucketLifecycleConfigurationRuleArgsDict = {
        "id": rule["ID"],
        "status": rule["Status"],
        "filter": {"prefix": rule["Filter"]["Prefix"]},
    }
    if abort := rule.get("AbortIncompleteMultipartUpload"):
        made["abort_incomplete_multipart_upload"] = {"days_after_initiation": abort["DaysAfterInitiation"]}
    if expiration := rule.get("Expiration"):
        made["expiration"] = {"days": expiration["Days"]}
    return made


def _encryption_rule(
    kms_key_arn: pulumi.Input[str] | None,
) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgsDict:
    if kms_key_arn is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    return {
        "apply_server_side_encryption_by_default": {
            "sse_algorithm": "aws:kms",
            "kms_master_key_id": kms_key_arn,
        },
        "bucket_key_enabled": True,  # one KMS call for many objects instead of one for each
    }

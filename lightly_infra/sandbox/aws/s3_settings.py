"""Emulated settings of a bucket: each is one document per bucket, put, read and removed as a whole."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore.exceptions import ClientError

from lightly_infra.sandbox.aws.policies import PolicyKind, refuse_policy, statements
from lightly_infra.sandbox.aws.session import REGION, AwsType, refused
from lightly_infra.sandbox.resource_type import Input, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from types_boto3_s3 import S3Client

    from lightly_infra.sandbox.resource_type import Properties, Refusal

_ID_CHARACTERS: Final = 255  # of a lifecycle rule

_BUCKET: Final = {"bucket": Input(required=True, replaces=True), "region": REGION}


class BucketSetting(AwsType):
    """One document of a bucket; its id is the bucket's name."""

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Put the document."""
        return inputs["bucket"], self.update(inputs["bucket"], {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """Get the document; None when it, or the bucket, is gone."""
        live = self.get(self.session.s3(olds), resource_id)
        return None if live is None else {"bucket": resource_id, "region": self.session.region_of(olds)} | live

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Put the document anew."""
        self.put(self.session.s3(inputs), resource_id, inputs)
        return inputs | {"region": self.session.region_of(inputs)}

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Remove the document."""
        self.remove(self.session.s3(olds), resource_id)

    @abstractmethod
    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Write the document."""

    @abstractmethod
    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read the document as inputs; None when there is none."""

    @abstractmethod
    def remove(self, client: S3Client, bucket: str) -> None:
        """Remove the document."""


class BucketPolicy(BucketSetting):
    """The one policy of a bucket."""

    type_name = "aws:s3/bucketPolicy:BucketPolicy"
    inputs: ClassVar[Mapping[str, Input]] = _BUCKET | {
        "policy": Input(required=True, document=True, refuse=lambda policy: refuse_policy(policy, PolicyKind.RESOURCE))
    }

    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Write the policy, which may be about this bucket only."""
        arn = f"arn:aws:s3:::{bucket}"
        for statement in statements(inputs["policy"]):
            resources = statement.get("Resource", statement.get("NotResource", []))
            for resource in [resources] if isinstance(resources, str) else resources:
                if resource != arn and not resource.startswith(f"{arn}/"):
                    raise refused("MalformedPolicy", f"the policy has a resource outside the bucket: {resource!r}")
        client.put_bucket_policy(Bucket=bucket, Policy=inputs["policy"])

    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read the policy."""
        return {"policy": client.get_bucket_policy(Bucket=bucket)["Policy"]}

    def remove(self, client: S3Client, bucket: str) -> None:
        """Remove the policy."""
        client.delete_bucket_policy(Bucket=bucket)


class BucketPublicAccessBlock(BucketSetting):
    """What the public may never get."""

    type_name = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    _flags: ClassVar = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    inputs: ClassVar[Mapping[str, Input]] = _BUCKET | {name: Input(default=False) for name in _flags}

    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Write the four flags."""
        flags: Any = {_capital(name): bool(inputs.get(name)) for name in self._flags}
        client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=flags)

    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read the four flags."""
        live: Any = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        return {name: live.get(_capital(name), False) for name in self._flags}

    def remove(self, client: S3Client, bucket: str) -> None:
        """Remove the block."""
        client.delete_public_access_block(Bucket=bucket)


class BucketOwnershipControls(BucketSetting):
    """Who owns what others write."""

    type_name = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    _shape: ClassVar = Shape({"objectOwnership": "ObjectOwnership"})
    inputs: ClassVar[Mapping[str, Input]] = _BUCKET | {"rule": Input(required=True, shape=_shape)}

    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Write the one rule."""
        rule = self._shape.to_api(inputs["rule"])
        client.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [rule]})

    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read the one rule."""
        rules = client.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        return {"rule": self._shape.from_api(rules[0])} if rules else None

    def remove(self, client: S3Client, bucket: str) -> None:
        """Remove the rule."""
        client.delete_bucket_ownership_controls(Bucket=bucket)


class BucketEncryption(BucketSetting):
    """How what is written is encrypted when the writer does not say."""

    type_name = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    _shape: ClassVar = Shape(
        {
            "applyServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault",
            "bucketKeyEnabled": "BucketKeyEnabled",
        },
        {
            "applyServerSideEncryptionByDefault": Shape(
                {"sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"}
            )
        },
    )
    inputs: ClassVar[Mapping[str, Input]] = _BUCKET | {"rules": Input(required=True, shape=_shape)}

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """An algorithm that S3 does not know, or a key for one that takes none."""
        for rule in _rules(inputs):
            by_default = rule.get("applyServerSideEncryptionByDefault")
            by_default = by_default if isinstance(by_default, dict) else {}
            algorithm = by_default.get("sseAlgorithm")
            if isinstance(algorithm, str) and algorithm not in ("AES256", "aws:kms", "aws:kms:dsse"):
                yield "rules", f"sseAlgorithm {algorithm!r} is not one of AES256, aws:kms, aws:kms:dsse"
            if algorithm == "AES256" and by_default.get("kmsMasterKeyId"):
                yield "rules", "kmsMasterKeyId needs the sseAlgorithm aws:kms"

    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Write the rules."""
        rules = self._shape.to_api(inputs["rules"])
        client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})

    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read the rules; S3 always has one."""
        live = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        return {"rules": self._shape.from_api(live)}

    def remove(self, client: S3Client, bucket: str) -> None:
        """Go back to S3's own keys."""
        client.delete_bucket_encryption(Bucket=bucket)


class BucketLifecycle(BucketSetting):
    """When objects, versions and unfinished uploads go."""

    type_name = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    _actions: ClassVar = {
        "abortIncompleteMultipartUpload": Shape({"daysAfterInitiation": "DaysAfterInitiation"}),
        "expiration": Shape({"days": "Days", "expiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}),
        "noncurrentVersionExpiration": Shape(
            {"noncurrentDays": "NoncurrentDays", "newerNoncurrentVersions": "NewerNoncurrentVersions"}
        ),
    }
    _shape: ClassVar = Shape(
        {
            "id": "ID",
            "status": "Status",
            "filter": "Filter",
            "abortIncompleteMultipartUpload": "AbortIncompleteMultipartUpload",
            "expiration": "Expiration",
            "noncurrentVersionExpiration": "NoncurrentVersionExpiration",
        },
        _actions | {"filter": Shape({"prefix": "Prefix"})},
    )
    inputs: ClassVar[Mapping[str, Input]] = _BUCKET | {"rules": Input(required=True, shape=_shape)}

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """What S3 calls MalformedXML, and ministack takes."""
        rules = _rules(inputs)
        ids = [rule["id"] for rule in rules if isinstance(rule.get("id"), str)]
        if len(set(ids)) != len(ids):
            yield "rules", "two rules have the same id"
        for index, rule in enumerate(rules):
            if isinstance(name := rule.get("id"), str) and len(name) > _ID_CHARACTERS:
                yield "rules", f"rules[{index}].id has {len(name)} characters; {_ID_CHARACTERS} are the most"
            expiration = rule.get("expiration")
            if isinstance(expiration, dict) and {"days", "expiredObjectDeleteMarker"} <= set(expiration):
                yield "rules", f"rules[{index}].expiration has days or expiredObjectDeleteMarker, not both"
            if rule.get("status") not in ("Enabled", "Disabled") and isinstance(rule.get("status"), str | None):
                yield "rules", f"rules[{index}].status must be Enabled or Disabled"
            if not any(rule.get(action) for action in self._actions):
                yield "rules", f"rules[{index}] does nothing: it needs one of {', '.join(self._actions)}"
            for action in self._actions:
                for name, days in (rule.get(action) or {}).items() if isinstance(rule.get(action), dict) else ():
                    if isinstance(days, int) and not isinstance(days, bool) and days < 1:
                        yield "rules", f"rules[{index}].{action}.{name} must be 1 or more, not {days}"

    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Write the rules. One without a filter is about the whole bucket."""
        rules = [{"Filter": {"Prefix": ""}} | rule for rule in self._shape.to_api(inputs["rules"])]
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})

    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read the rules."""
        return {"rules": self._shape.from_api(client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"])}

    def remove(self, client: S3Client, bucket: str) -> None:
        """Remove all rules."""
        client.delete_bucket_lifecycle(Bucket=bucket)


class BucketVersioning(BucketSetting):
    """Whether overwritten and deleted objects stay as versions."""

    type_name = "aws:s3/bucketVersioning:BucketVersioning"
    _shape: ClassVar = Shape({"status": "Status"})
    inputs: ClassVar[Mapping[str, Input]] = _BUCKET | {
        "versioningConfiguration": Input(
            required=True,
            shape=_shape,
            refuse=lambda value: (
                None
                if value.get("status") in ("Enabled", "Suspended", "Disabled")
                else "status must be Enabled, Suspended or Disabled"
            ),
        )
    }

    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Set the status; Disabled is that of a bucket that never had versions."""
        status = inputs["versioningConfiguration"]["status"]
        if status != "Disabled":
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        elif client.get_bucket_versioning(Bucket=bucket).get("Status"):
            raise refused("InvalidArgument", "versioning can be suspended, but not disabled once it was enabled")

    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read the status."""
        status = client.get_bucket_versioning(Bucket=bucket).get("Status", "Disabled")
        return {"versioningConfiguration": {"status": status}}

    def remove(self, client: S3Client, bucket: str) -> None:
        """Suspend: versions cannot be disabled."""
        if client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled":
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


class BucketLogging(BucketSetting):
    """Where the access log goes."""

    type_name = "aws:s3/bucketLogging:BucketLogging"
    inputs: ClassVar[Mapping[str, Input]] = _BUCKET | {
        "targetBucket": Input(required=True),
        "targetPrefix": Input(required=True),
    }

    def put(self, client: S3Client, bucket: str, inputs: Properties) -> None:
        """Start logging into a bucket that must exist."""
        target = inputs["targetBucket"]
        try:
            client.head_bucket(Bucket=target)
        except ClientError as error:
            raise refused(
                "InvalidTargetBucketForLogging", f"the target bucket {target!r} does not exist or is not yours"
            ) from error
        enabled: Any = {"TargetBucket": target, "TargetPrefix": inputs["targetPrefix"]}
        client.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})

    def get(self, client: S3Client, bucket: str) -> Properties | None:
        """Read where the log goes; None when it goes nowhere."""
        live: Any = client.get_bucket_logging(Bucket=bucket).get("LoggingEnabled")
        return {"targetBucket": live["TargetBucket"], "targetPrefix": live["TargetPrefix"]} if live else None

    def remove(self, client: S3Client, bucket: str) -> None:
        """Stop logging."""
        client.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _rules(inputs: Properties) -> list[dict[str, Any]]:
    """The rules that are known as far as that they are rules."""
    rules = inputs.get("rules")
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []

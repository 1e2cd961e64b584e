"""Emulated S3 buckets and objects; a bucket's settings are in `s3_settings.py`."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore.exceptions import ClientError

from lightly_infra.sandbox.aws.session import REGION, TAGS, AwsType, refused, tag_list
from lightly_infra.sandbox.resource_type import Input, Naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Refusal

# "Bucket naming rules" of the S3 user guide.
_NAME: Final = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def refuse_bucket_name(name: str) -> str | None:
    """Why S3 refuses the name of a bucket, or None."""
    if not _NAME.fullmatch(name):
        return (
            f"{name!r} is no bucket name: 3 to 63 lower-case letters, digits, dots and dashes, a letter or a digit at "
            "both ends, no two dots in a row, no IP address"
        )
    if name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
        return f"{name!r} is no bucket name: S3 reserves {', '.join((*_PREFIXES, *_SUFFIXES))}"
    return None


class Bucket(AwsType):
    """A bucket. It is never emptied: deleting one that holds anything fails, as in AWS."""

    type_name = "aws:s3/bucket:Bucket"
    naming = Naming(63, name="bucket", prefix="bucketPrefix", lower=True)
    inputs: ClassVar[Mapping[str, Input]] = {
        "bucket": Input(replaces=True, computed=True, refuse=refuse_bucket_name),
        "bucketPrefix": Input(replaces=True, computed=True),
        "forceDestroy": Input(
            default=False,
            refuse=lambda value: "the emulated bucket is never emptied: only false is supported" if value else None,
        ),
        "tags": TAGS,
        "region": REGION,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the bucket with its tags."""
        client, name, region = self.session.s3(inputs), self.naming.chosen(inputs), self.session.region_of(inputs)
        settings: Any = {} if region == "us-east-1" else {"LocationConstraint": region}
        if inputs.get("tags"):
            settings["Tags"] = _tags(inputs)
        if region == "us-east-1" and self._is_ours(name):
            # There, and only there, S3 answers that creating one's own bucket again went well.
            raise refused("BucketAlreadyOwnedByYou", f"the bucket {name!r} exists already and is yours")
        client.create_bucket(Bucket=name, **({"CreateBucketConfiguration": settings} if settings else {}))
        return name, self._outputs(name, inputs, inputs.get("tags"))

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The bucket and its tags."""
        client = self.session.s3(olds)
        client.head_bucket(Bucket=resource_id)
        tags = None
        try:
            tags = {tag["Key"]: tag["Value"] for tag in client.get_bucket_tagging(Bucket=resource_id)["TagSet"]}
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchTagSet":
                raise
        return self._outputs(resource_id, {"forceDestroy": False} | olds, tags)

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:
        """Only the tags can change."""
        client = self.session.s3(olds)
        if inputs.get("tags"):
            client.put_bucket_tagging(Bucket=resource_id, Tagging={"TagSet": _tags(inputs)})
        else:
            client.delete_bucket_tagging(Bucket=resource_id)
        return self._outputs(resource_id, inputs, inputs.get("tags"))

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Delete the bucket; fails with BucketNotEmpty when it is not."""
        self.session.s3(olds).delete_bucket(Bucket=resource_id)

    def _is_ours(self, name: str) -> bool:
        return any(bucket["Name"] == name for bucket in self.session.s3({}).list_buckets()["Buckets"])

    def _outputs(self, name: str, inputs: Properties, tags: Mapping[str, str] | None) -> Properties:
        region = self.session.region_of(inputs)
        return {
            "arn": f"arn:aws:s3:::{name}",
            "bucket": name,
            "bucketPrefix": inputs.get("bucketPrefix"),
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "bucketRegion": region,
            "forceDestroy": inputs.get("forceDestroy", False),
            "objectLockEnabled": False,
            "region": region,
            "tags": tags,
            "tagsAll": dict(tags or {}),
        }


class BucketObject(AwsType):
    """An object whose content stands in the program. Deleting it deletes all its versions."""

    type_name = "aws:s3/bucketObjectv2:BucketObjectv2"
    also_nameable = frozenset({"key"})
    inputs: ClassVar[Mapping[str, Input]] = {
        "bucket": Input(required=True, replaces=True),
        "key": Input(required=True, replaces=True),
        "content": Input(),
        "contentBase64": Input(),
        "contentType": Input(computed=True),
        "serverSideEncryption": Input(computed=True),
        "kmsKeyId": Input(computed=True),
        "forceDestroy": Input(default=False),  # matters to object locks only, which are not supported
        "tags": TAGS,
        "region": REGION,
    }

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """One content at most, and one that can be decoded."""
        encoded = inputs.get("contentBase64")
        if inputs.get("content") is not None and encoded is not None:
            yield "contentBase64", "conflicts with 'content': give one of the two"
        if isinstance(encoded, str):
            try:
                base64.b64decode(encoded, validate=True)
            except binascii.Error as error:
                yield "contentBase64", f"is not base64: {error}"

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Write the object."""
        return f"{inputs['bucket']}/{inputs['key']}", self.update("", {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The object, with its content if the program gave it one."""
        client, (bucket, _, key) = self.session.s3(olds), resource_id.partition("/")
        found = client.get_object(Bucket=bucket, Key=key)
        body = found["Body"].read()
        tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        live: Properties = {
            "bucket": bucket,
            "key": key,
            "contentType": found.get("ContentType"),
            "serverSideEncryption": found.get("ServerSideEncryption"),
            "kmsKeyId": found.get("SSEKMSKeyId"),
            "forceDestroy": olds.get("forceDestroy", False),
            "region": self.session.region_of(olds),
            "tags": {tag["Key"]: tag["Value"] for tag in tags} or None,
        }
        if "contentBase64" in olds:
            live["contentBase64"] = base64.b64encode(body).decode()
        elif "content" in olds:
            live["content"] = body.decode(errors="replace")
        return live | _written(bucket, key, found, live["tags"])

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Write the object again."""
        bucket, key = inputs["bucket"], inputs["key"]
        body = inputs.get("content", "").encode() or base64.b64decode(inputs.get("contentBase64", ""))
        headers: Any = {
            "ContentType": inputs.get("contentType"),
            "ServerSideEncryption": inputs.get("serverSideEncryption")
            or ("aws:kms" if inputs.get("kmsKeyId") else None),
            "SSEKMSKeyId": inputs.get("kmsKeyId"),
        }
        client = self.session.s3(inputs)
        given = {name: value for name, value in headers.items() if value}
        answer = client.put_object(Bucket=bucket, Key=key, Body=body, **given)
        client.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": _tags(inputs)})
        return (
            {"contentType": "binary/octet-stream"}
            | inputs
            | {"region": self.session.region_of(inputs)}
            | _written(bucket, key, answer, inputs.get("tags"))
        )

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Delete the object and all its versions."""
        client, (bucket, _, key) = self.session.s3(olds), resource_id.partition("/")
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key)
        for page in pages:
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if version["Key"] == key:
                    client.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])


def _tags(inputs: Properties) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in tag_list(inputs.get("tags"))]


def _written(bucket: str, key: str, answer: Any, tags: Mapping[str, str] | None) -> Properties:
    return {
        "arn": f"arn:aws:s3:::{bucket}/{key}",
        "etag": answer["ETag"].strip('"'),
        "versionId": answer.get("VersionId", ""),
        "tagsAll": dict(tags or {}),
    }

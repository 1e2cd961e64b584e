"""What the emulated AWS resource types share: clients, the region, and how AWS says that something is not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lightly_infra.sandbox.aws.clients import Clients
from lightly_infra.sandbox.resource_type import Input, ResourceError, ResourceType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.exceptions import ClientError
    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_sts import STSClient

    from lightly_infra.sandbox.resource_type import Properties

_GLOBAL: str = "us-east-1"  # where IAM is signed for
_GONE: frozenset[str] = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "NotFoundException",
        "KMSInvalidStateException",  # of a key that waits for its deletion
        "OwnershipControlsNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)


class Session:
    """The configuration of one provider: where its clients go, and what it adds to its resources."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._clients = Clients(self._env)
        self.region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
        self.default_tags: dict[str, str] = {}

    def use(self, *, region: str | None, default_tags: dict[str, str], credentials: Mapping[str, str]) -> None:
        """Take over a provider's configuration; what it does not say is as in the environment."""
        self.region = region or self.region
        self.default_tags = default_tags
        if credentials:
            self._clients = Clients(self._env | dict(credentials))

    def s3(self, inputs: Properties) -> S3Client:
        """The client for a resource with a `region` property."""
        return self._clients.get("s3", self.region_of(inputs))

    def kms(self, inputs: Properties) -> KMSClient:
        """The client for a resource with a `region` property."""
        return self._clients.get("kms", self.region_of(inputs))

    def iam(self) -> IAMClient:
        """The one client: IAM has no regions."""
        return self._clients.get("iam", _GLOBAL)

    def sts(self) -> STSClient:
        """The client of the provider's own region."""
        return self._clients.get("sts", self.region)

    def region_of(self, inputs: Properties) -> str:
        """The resource's region, or else the provider's."""
        return str(inputs.get("region") or self.region)

    def describe_region(self, region: str) -> str:
        """A region as AWS describes it, "Europe (Frankfurt)" for instance.

        Raises:
            ResourceError: AWS has no such region.
        """
        known = self._clients.regions()
        if region not in known:
            raise refused("InvalidParameterValue", f"there is no region {region!r}")
        return known[region]

    def account(self) -> str:
        """The account's id."""
        return self.sts().get_caller_identity()["Account"]


REGION = Input(replaces=True)
TAGS = Input()


class AwsType(ResourceType):
    """A resource type that acts through a session. One with a `region` or `tags` gets the provider's."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def complete(self, inputs: Properties) -> Properties:
        """Adds the provider's region and default tags where the type has them."""
        completed = super().complete(inputs)
        if "region" in self.inputs and self.session.region:
            completed = {"region": self.session.region} | completed
        tags = completed.get("tags", {})
        if "tags" in self.inputs and self.session.default_tags and isinstance(tags, dict):
            completed["tags"] = self.session.default_tags | tags
        return completed


def code_of(error: ClientError) -> str:
    """AWS's own name for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_gone(error: ClientError) -> bool:
    """Whether the error says that what was asked for does not exist."""
    return code_of(error) in _GONE


def refused(code: str, message: str) -> ResourceError:
    """A refusal that AWS would give and ministack does not; worded alike."""
    return ResourceError(f"{code}: {message}")


def tag_list(tags: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """Tags in a fixed order."""
    return sorted((tags or {}).items())


def as_text(document: object) -> str:
    """A policy document as text; boto3 parses some of them and not others."""
    return document if isinstance(document, str) else json.dumps(document)

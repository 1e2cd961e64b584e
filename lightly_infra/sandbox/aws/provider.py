"""The emulated `aws` provider: the resource types and functions that this project uses, acting on ministack.

It honours what it declares and refuses the rest by name. Refusals that ministack does not give and AWS does (malformed
policies, quotas, names) are given here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lightly_infra.sandbox.aws import iam, iam_policies, kms, s3, s3_settings
from lightly_infra.sandbox.aws.session import Session, code_of, is_gone
from lightly_infra.sandbox.engine.values import holds_unknown
from lightly_infra.sandbox.resource_provider import ResourceProvider
from lightly_infra.sandbox.resource_type import ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Refusal

_TYPES: Final = (
    s3.Bucket,
    s3.BucketObject,
    s3_settings.BucketEncryption,
    s3_settings.BucketLifecycle,
    s3_settings.BucketLogging,
    s3_settings.BucketOwnershipControls,
    s3_settings.BucketPolicy,
    s3_settings.BucketPublicAccessBlock,
    s3_settings.BucketVersioning,
    iam.Role,
    iam_policies.RolePolicy,
    iam.User,
    iam_policies.UserPolicy,
    iam.AccessKey,
    kms.Key,
    kms.Grant,
)
_CREDENTIALS: Final = {
    "accessKey": "AWS_ACCESS_KEY_ID",
    "secretKey": "AWS_SECRET_ACCESS_KEY",
    "token": "AWS_SESSION_TOKEN",
}
# Where the real provider goes and how it checks: without meaning here, so that a real stack's configuration can stay.
_WITHOUT_MEANING: Final = frozenset(
    {
        "endpoints",
        "profile",
        "s3UsePathStyle",
        "sharedConfigFiles",
        "sharedCredentialsFiles",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
    }
)


class AwsProvider(ResourceProvider):
    """Build it with the environment: AWS_ENDPOINT_URL, AWS_CA_BUNDLE, the credentials and AWS_REGION."""

    package = "aws"
    sdk = "pulumi-aws"
    settings = frozenset({"region", "defaultTags", "allowedAccountIds", *_CREDENTIALS, *_WITHOUT_MEANING})

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__()
        self._session = Session(env)
        self.add_types(*(one(self._session) for one in _TYPES))
        self.functions = {
            "aws:iam/getUser:getUser": (frozenset({"userName"}), self._user),
            "aws:index/getCallerIdentity:getCallerIdentity": (frozenset({"id"}), self._caller_identity),
            "aws:index/getPartition:getPartition": (frozenset({"id"}), lambda _: _PARTITION),
            "aws:index/getRegion:getRegion": (frozenset({"id", "region"}), self._region),
        }

    def refuse_configuration(self, config: Properties) -> Iterable[Refusal]:
        """A missing region, and default tags that are more than a map of strings."""
        if not config.get("region") and not self._session.region:
            yield "region", "is required: set aws:region, or AWS_REGION in the environment"
        tags = config.get("defaultTags")
        if tags is None or holds_unknown(tags):
            return
        tags = _parsed(tags)
        if not isinstance(tags, dict) or set(tags) - {"tags"}:
            yield "defaultTags", "the emulated aws provider supports no more than {tags: {…}}"

    def configure(self, config: Properties) -> None:
        """Take over region, default tags and credentials."""
        tags = _parsed(config.get("defaultTags")) or {}
        self._session.use(
            region=config.get("region"),
            default_tags=tags.get("tags") or {},
            credentials={env: config[name] for name, env in _CREDENTIALS.items() if config.get(name)},
        )
        if not self._session.region:
            raise ResourceError("no region: set aws:region, or AWS_REGION in the environment")
        allowed = _parsed(config.get("allowedAccountIds"))
        if allowed and (account := self._session.account()) not in allowed:
            raise ResourceError(f"the account {account} is not among allowedAccountIds ({', '.join(allowed)})")

    def explain(self, error: Exception) -> str | None:
        """AWS's own code and message, without the name of the call."""
        if isinstance(error, ClientError):
            return f"{code_of(error)}: {error.response.get('Error', {}).get('Message', '')}"
        if isinstance(error, BotoCoreError):
            return f"the emulated AWS did not take the request: {error}"
        return None

    def is_gone(self, error: Exception) -> bool:
        """AWS has many ways to say so."""
        return isinstance(error, ClientError) and is_gone(error)

    def _user(self, args: Properties) -> Properties:
        found = self._session.iam().get_user(UserName=args["userName"])["User"]
        return {
            "arn": found["Arn"],
            "id": found["UserId"],
            "path": found["Path"],
            "permissionsBoundary": found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "tags": {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())},
            "userId": found["UserId"],
            "userName": found["UserName"],
        }

    def _caller_identity(self, _args: Properties) -> Properties:
        answer = self._session.sts().get_caller_identity()
        return {
            "accountId": answer["Account"],
            "arn": answer["Arn"],
            "id": answer["Account"],
            "userId": answer["UserId"],
        }

    def _region(self, args: Properties) -> Properties:
        region = args.get("region") or self._session.region
        return {
            "region": region,
            "name": region,
            "id": region,
            "description": self._session.describe_region(region),
            "endpoint": f"ec2.{region}.amazonaws.com",
        }


_PARTITION: Final = {
    "id": "aws",
    "partition": "aws",
    "dnsSuffix": "amazonaws.com",
    "reverseDnsPrefix": "com.amazonaws",
}


def _parsed(value: object) -> Any:
    """A setting with structure: the SDK sends it as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value

"""A datasource on Amazon S3, as the YAML says it."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from lightly_infra import ownership, paths
from lightly_infra.clouds.aws import policy
from lightly_infra.lightly import models
from lightly_infra.spec.fields import BucketSpec, Claim, Named, RotateEveryDays, Share, Spec, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightly_infra.permissions import Purpose

# What AWS allows in a tag ("Tag naming limits and requirements" of its tagging guide).
_MAX_TAGS: Final = 50 - ownership.TAGS
_MAX_TAG_KEY: Final = 128
_MAX_TAG_VALUE: Final = 256

# What has these addresses reaches S3 through another one, or through a VPC endpoint. Python's `is_private` is wider.
_PRIVATE: Final = tuple(
    ipaddress.ip_network(it) for it in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def _source_ip(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is no address range; write it as CIDR, such as 203.0.113.0/24") from None
    if network.prefixlen == 0:
        raise ValueError(f"{value!r} is every address and restricts nothing; name your own ranges, or remove it")
    if any(network[0] in it and network[-1] in it for it in _PRIVATE):
        raise ValueError(
            f"{value!r} is a private range, which S3 never sees: it sees the public address of your NAT; name that one "
            "(VPC endpoints cannot be named here)"
        )
    return str(network)


def _policy_arn(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/\S+", value):
        raise ValueError(f"{value!r} is no policy's ARN; it looks like arn:aws:iam::123456789012:policy/NAME")
    return value


def _user(value: str) -> str:
    if value.startswith("arn:"):
        raise ValueError(f"{shown(value)} is an ARN; give the user's name, what follows 'user/' and any path")
    if not re.fullmatch(r"[\w+=,.@-]{1,64}", value, re.ASCII):
        raise ValueError(f"{shown(value)} is no user's name: at most 64 letters, digits and _+=,.@-")
    return value


def _access_key_id(value: str) -> str:
    # Not repeated: the secret may have been put in its place.
    if not re.fullmatch(r"[A-Z0-9]{16,128}", value):
        raise ValueError("is no access key id, which has capital letters and digits only, such as AKIAIOSFODNN7EXAMPLE")
    return value


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _MAX_TAGS:
        raise ValueError(f"{len(tags)} tags; AWS has room for {_MAX_TAGS} beside ours: remove some")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise ValueError(f"{shown(key)}: AWS keeps keys that start with 'aws:'; use another key")
        if not 0 < len(key) <= _MAX_TAG_KEY:
            raise ValueError(f"{shown(key)}: AWS allows 1 to {_MAX_TAG_KEY} characters in a key; this has {len(key)}")
        if len(value) > _MAX_TAG_VALUE:
            raise ValueError(
                f"{shown(key)}: AWS allows {_MAX_TAG_VALUE} characters in a value; shorten {shown(value)}, "
                f"which has {len(value)}"
            )
    return tags


BucketName = Annotated[str, AfterValidator(paths.check_s3_bucket)]
SourceIp = Annotated[str, AfterValidator(_source_ip)]
PolicyArn = Annotated[str, AfterValidator(_policy_arn)]
UserName = Annotated[str, AfterValidator(_user)]
AccessKeyId = Annotated[str, AfterValidator(_access_key_id)]
Tags = Annotated[dict[str, str], AfterValidator(_tags)]


# What only one kind of access has.
_OF_KIND: Final = {
    "delegated": ("role_arn", "external_id", "previous_external_id"),
    "keys": ("user", "access_key_id", "secret_access_key", "rotate_every_days"),
}


class AccessSpec(Spec):
    """How Lightly gets in. In the YAML, `access: delegated` is short for `access: {kind: delegated}`."""

    kind: Literal["delegated", "keys"] = Field(
        description="`delegated`: a role and an external id (recommended). `keys`: a user's access key."
    )
    share: Share | None = Field(
        None, description="Datasources that name the same share get in with one and the same identity."
    )
    role_arn: models.RoleArn | None = Field(None, description="A role of your own, used as it is; needs `external_id`.")
    external_id: models.ExternalId | None = Field(
        None,
        description="What Lightly must show; set it with `pulumi config set --secret --path`. Default: minted.",
    )
    previous_external_id: models.ExternalId | None = Field(
        None,
        description="With another `external_id` for a role that is made here: the one before, which the role takes as "
        "well until Lightly has been told the new one; set as a secret, and remove it afterwards.",
    )
    user: UserName | None = Field(
        None,
        description="With `keys`: a user of your own, by its name. A key is made and a policy added; nothing else is "
        "changed. Default: one is made.",
    )
    access_key_id: AccessKeyId | None = Field(
        None, description="With `keys`: a key of your own. Nothing is made or granted; needs `secret_access_key`."
    )
    secret_access_key: models.FilledSecret | None = Field(
        None, description="The key itself; set it with `pulumi config set --secret --path`."
    )
    rotate_every_days: RotateEveryDays | None = Field(
        None,
        description="With `keys`: make a new user with a new key on the first day of every epoch of so many days; the "
        "one before lives on until the next. Default: one key for ever.",
    )
    permissions_boundary: PolicyArn | None = Field(None, description="Bounds what the identity may ever do.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for kind, fields in _OF_KIND.items():
            if self.kind != kind and (given := [it for it in fields if getattr(self, it) is not None]):
                is_ = "belongs" if len(given) == 1 else "belong"
                raise ValueError(f"{' and '.join(given)} {is_} to kind {kind!r}; remove or change the kind")
        if self.role_arn and not self.external_id:
            raise ValueError("role_arn needs external_id: give the one that the role's trust policy asks for")
        if self.role_arn and self.permissions_boundary:
            raise ValueError("permissions_boundary: a role of your own is not changed; set the boundary on the role")
        self._previous_fits()
        self._keys_fit()
        return self

    def _previous_fits(self) -> None:
        if self.previous_external_id is None:
            return
        if self.role_arn:
            raise ValueError(
                "previous_external_id: a role of your own is not changed; let its trust policy take both for a while"
            )
        if self.external_id is None:
            raise ValueError(
                "previous_external_id is for an external_id of your own; one that is minted is renewed with "
                "`lightly-infra rotate --external-ids`"
            )

    def _keys_fit(self) -> None:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            missing = "secret_access_key" if self.secret_access_key is None else "access_key_id"
            raise ValueError(f"{missing} is missing: a key of your own has both")
        if self.access_key_id is not None:
            for field in ("user", "rotate_every_days", "permissions_boundary", "share"):
                if getattr(self, field) is not None:
                    raise ValueError(f"{field}: a key of your own (access_key_id) is used as it is; remove one of them")
        if self.user is not None:
            if self.permissions_boundary is not None:
                raise ValueError(
                    "permissions_boundary: a user of your own is not changed; set the boundary on the user"
                )
            if self.rotate_every_days is not None:
                raise ValueError(
                    "rotate_every_days: a user has room for two keys, and a rotation needs three for a moment; leave "
                    "'user' out to have users made, or bring keys of your own and renew them yourself"
                )


def _spelled_out(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class AccessLogsSpec(Spec):
    """Where a bucket's server access logs go."""

    bucket: BucketName = Field(description="A bucket of yours that `logging.s3.amazonaws.com` may write to.")
    prefix: str = Field("", description="What the logs' keys start with. Default: nothing.")


# Regions by names of Lightly's API that AWS does not know.
_UNKNOWN_TO_AWS: Final = ("us-gov-east", "us-gov-west")


class S3Spec(BucketSpec):
    """A directory in an S3 bucket: one of yours (`bucket`), or one that is made (`create: true`)."""

    scheme: ClassVar[str] = "s3"

    bucket: BucketName | None = Field(
        None,
        description="Your bucket; with `create`, the new one's name. Default with `create`: a generated one.",
    )
    create: bool = Field(default=False, description="Make the bucket. Default: use yours, and change nothing on it.")
    access: Annotated[AccessSpec, BeforeValidator(_spelled_out)]
    region: models.Region = Field(description="The bucket's region. Default: `aws:region`.")
    kms_key_arn: models.KeyArn | None = Field(
        None,
        description="The ARN, not an alias, of a key in the bucket's region. Default: SSE-S3.",
    )
    allowed_source_ips: list[SourceIp] = Field(
        default_factory=list, description="Public CIDR ranges S3 calls must come from; Lightly then cannot verify."
    )
    versioning: bool = Field(default=False, description="Keep old versions of objects in a bucket that is made.")
    access_logs: AccessLogsSpec | None = Field(None, description="Log access to a bucket that is made.")
    tags: Tags = Field(default_factory=dict, description="Tags of everything that is made.")

    @model_validator(mode="before")
    @classmethod
    def _region_of_the_stack(cls, value: Any, info: ValidationInfo) -> Any:
        region = (info.context or {}).get("region")
        if not isinstance(value, dict) or value.get("region") is not None:
            return value
        if region is None:
            raise ValueError("region is missing: name the bucket's region here, or set aws:region for the stack")
        return value | {"region": region}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.access.kind == "delegated" and policy.partition(self.region) != "aws":
            raise ValueError(
                f"access: Lightly cannot assume roles in {self.region} (partition {policy.partition(self.region)}); "
                "use 'access: keys'"
            )
        if self.kms_key_arn and (region := self.kms_key_arn.split(":")[3]) != self.region:
            raise ValueError(
                f"kms_key_arn: {self.kms_key_arn!r} is a key of {region!r}, but the bucket is in {self.region!r}; "
                "S3 needs a key of the bucket's region"
            )
        if self.create and self.region in _UNKNOWN_TO_AWS:
            raise ValueError(
                f"create: no bucket can be made in {self.region!r}, as Lightly calls the region: AWS calls it "
                f"'{self.region}-1'; make the bucket yourself and name it as 'bucket', without 'create'"
            )
        if not self.create:
            self.check_brought("versioning", "access_logs")
        return self

    @property
    def told(self) -> dict[str, str]:
        """How Lightly gets in, and the path."""
        return {"type": "S3" if self.access.kind == "keys" else "S3DelegatedAccess", **super().told}

    @property
    def shuts_lightly_out(self) -> bool:
        """Whether calls must come from certain addresses, which are not Lightly's."""
        return bool(self.allowed_source_ips)

    @property
    def rotates(self) -> bool:
        """Whether users are made, a new one in every epoch."""
        return self.access.rotate_every_days is not None

    @property
    def mints_external_id(self) -> bool:
        """Whether a role is made that takes a minted one."""
        return self.access.kind == "delegated" and self.access.role_arn is None and self.access.external_id is None

    def how_to_renew(self, *, external_ids: bool) -> str:
        """How a role's external id or a user's key is renewed."""
        access = self.access
        if access.kind == "delegated":
            if not external_ids:
                return "a role has no key" + (
                    "; `--external-ids` renews external ids" if self.mints_external_id else ""
                )
            if access.role_arn is not None:
                return "let the trust policy of your role take another external_id as well, set it and run `pulumi up`"
            return "set another external_id, and the one before as previous_external_id, and run `pulumi up`"
        if external_ids or access.access_key_id is not None:
            return super().how_to_renew(external_ids=external_ids)
        users = "remove 'user', " if access.user is not None else ""
        return f"{users}write rotate_every_days and run `pulumi up`, which makes another key and deletes this one"

    @property
    def share_of_access(self) -> str | None:
        """The share, if there is one."""
        return self.access.share

    def makes_identity(self, kind: str) -> bool:
        """Whether a role, or a user and a key, are made."""
        access = self.access
        if access.kind == "delegated":
            return kind == "role" and access.role_arn is None
        return access.access_key_id is None and (kind == "key" or (kind == "user" and access.user is None))

    def named(self) -> Iterator[Named]:
        """A role, a user, or a key."""
        access = self.access
        if access.role_arn is not None:
            yield Named("role", access.role_arn, "access.role_arn", access.role_arn)
        if access.user is not None:
            yield Named("user", access.user, "access.user", access.user)
        if access.access_key_id is not None:
            yield Named("key", access.access_key_id, "access.access_key_id", access.access_key_id)

    def claims(self) -> Iterator[Claim]:
        """What a share and a role are like, and where and how a bucket is made."""
        access = self.access
        if access.share is not None:
            yield self.shared(access.share, access)
        if access.access_key_id is not None:
            yield Claim(
                ("s3 key", access.access_key_id),
                access.secret_access_key,
                "access.secret_access_key",
                f"the key {access.access_key_id!r} has another secret in {{other}}.access; give both the same",
            )
        if access.role_arn is not None:
            yield Claim(
                ("role", access.role_arn),
                access.external_id,
                "access.external_id",
                f"role {access.role_arn!r} has another one in {{other}}.access; give both the one that the role's "
                "trust policy asks for",
            )
        if self.create and self.bucket:
            yield self.made_alike(self.kms_key_arn, self.versioning, self.access_logs, self.tags)
        if self.bucket:
            yield self.lies_in("region", self.region)

    @classmethod
    def check_together(cls, datasources: Sequence[tuple[str, Purpose, Self]]) -> None:
        """Access logs go to a bucket that nobody uses, and the keys and policies of an identity fit into IAM."""
        users = {it.bucket: where for where, _, it in datasources}
        for where, _, it in datasources:
            if it.access_logs is not None and (bucket := it.access_logs.bucket) in users:
                raise ValueError(
                    f"{where}.access_logs.bucket: {bucket!r} is the bucket of {users[bucket]}, where logs "
                    "would be logged again or come in as Input; name a bucket that only takes logs"
                )
        used: Counter[str] = Counter()
        keys: dict[str, set[str]] = {}
        for where, purpose, it in datasources:
            access = it.access
            if access.user is not None:
                made = keys.setdefault(access.user, set())
                made.add(access.share or where)
                if len(made) > policy.MAX_KEYS:
                    raise ValueError(
                        f"{where}.access: with this datasource user {access.user!r} would have more than the "
                        f"{policy.MAX_KEYS} keys that a user may have; let datasources get in by a share, which has "
                        "one key"
                    )
            identity = f"user {access.user}" if access.user is not None else access.share or where
            used[identity] += it.policy_characters(purpose)
            limit = policy.INLINE_POLICY_CHARACTERS[access.kind]
            if access.role_arn is None and access.access_key_id is None and used[identity] > limit:
                raise ValueError(
                    f"{where}.access: with this datasource the policies of one identity pass IAM's {limit} "
                    "characters; let it get in by a share of its own"
                )

    def policy_characters(self, purpose: Purpose) -> int:
        """How long its policy is at most: a generated bucket name counts as the longest possible."""
        bucket = self.bucket or "x" * paths.MAX_BUCKET_CHARACTERS
        document = policy.access_policy(
            purpose=purpose,
            bucket_arn=f"arn:{policy.partition(self.region)}:s3:::{bucket}",
            prefix=self.prefix,
            kms_key_arn=self.kms_key_arn,
            allowed_source_ips=self.allowed_source_ips,
        )
        return len(policy.to_json(document))

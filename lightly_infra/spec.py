"""What a stack's YAML may say. Every error names the field, the value (unless secret) and the remedy."""

from __future__ import annotations

import ipaddress
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from lightly_infra import _agreements, paths
from lightly_infra.clouds.aws import policy
from lightly_infra.lightly import models
from lightly_infra.lightly.models import DatasetType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails


# What AWS allows in a tag ("Tag naming limits and requirements" of its tagging guide).
_MAX_TAG_KEY: Final = 128
_MAX_TAG_VALUE: Final = 256

_MAX_SHOWN: Final = 60
"""Characters of a value that an error repeats."""


class SpecError(ValueError):
    """The YAML asks for something that cannot be; the message has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class _Spec(BaseModel):
    """Knows no other keys than its fields. Errors repeat a value, unless it may be a secret: see `_told`."""

    # Pydantic itself repeats none: it does not know what is secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


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


def _share(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,37}", value):
        raise ValueError(
            f"{_shown(value)} is no name of a share; use at most 38 lower-case letters, digits and hyphens, first a "
            "letter or a digit"
        )
    return value


def _tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise ValueError(f"{_shown(key)}: AWS keeps keys that start with 'aws:'; use another key")
        if not 0 < len(key) <= _MAX_TAG_KEY:
            raise ValueError(f"{_shown(key)}: AWS allows 1 to {_MAX_TAG_KEY} characters in a key; this has {len(key)}")
        if len(value) > _MAX_TAG_VALUE:
            raise ValueError(
                f"{_shown(key)}: AWS allows {_MAX_TAG_VALUE} characters in a value; shorten {_shown(value)}, "
                f"which has {len(value)}"
            )
    return tags


Prefix = Annotated[str, AfterValidator(paths.normalise_prefix)]
BucketName = Annotated[str, AfterValidator(paths.check_s3_bucket)]
SourceIp = Annotated[str, AfterValidator(_source_ip)]
PolicyArn = Annotated[str, AfterValidator(_policy_arn)]
DatasetName = Annotated[str, AfterValidator(models.check_dataset_name)]
DatasetId = Annotated[str, AfterValidator(models.check_dataset_id)]
Share = Annotated[str, AfterValidator(_share)]
Tags = Annotated[dict[str, str], AfterValidator(_tags)]


class AccessSpec(_Spec):
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
    permissions_boundary: PolicyArn | None = Field(None, description="Bounds what the identity may ever do.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kind == "keys" and (self.role_arn or self.external_id):
            raise ValueError("role_arn and external_id belong to kind 'delegated'; remove them or change the kind")
        if self.role_arn and not self.external_id:
            raise ValueError("role_arn needs external_id: give the one that the role's trust policy asks for")
        if self.role_arn and self.permissions_boundary:
            raise ValueError("permissions_boundary: a role of your own is not changed; set the boundary on the role")
        return self


def _spelled_out(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class AccessLogsSpec(_Spec):
    """Where a bucket's server access logs go."""

    bucket: BucketName = Field(description="A bucket of yours that `logging.s3.amazonaws.com` may write to.")
    prefix: str = Field("", description="What the logs' keys start with. Default: nothing.")


# Regions by names of Lightly's API that AWS does not know.
_UNKNOWN_TO_AWS: Final = ("us-gov-east", "us-gov-west")


class S3Spec(_Spec):
    """A directory in an S3 bucket: one of yours (`bucket`), or one that is made (`create: true`)."""

    bucket: BucketName | None = Field(
        None,
        description="Your bucket; with `create`, the new one's name. Default with `create`: a generated one.",
    )
    create: bool = Field(default=False, description="Make the bucket. Default: use yours, and change nothing on it.")
    prefix: Prefix = Field(description="The directory, such as `street-scenes/`; `''` for the whole bucket.")
    access: Annotated[AccessSpec, BeforeValidator(_spelled_out)]
    region: models.Region = Field(description="The bucket's region. Default: `aws:region`.")
    kms_key_arn: models.KeyArn | None = Field(
        None,
        description="The ARN, not an alias, of a key in the bucket's region. Default: SSE-S3. KMS grants may take up "
        "to five minutes to work: raise the dataset's `verify_deadline` if verification gives up before.",
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
            if self.bucket is None:
                raise ValueError("bucket is missing: name yours, or write 'create: true' to have one made")
            for field in ("versioning", "access_logs"):
                if getattr(self, field):
                    raise ValueError(
                        f"{field} is for buckets that are made here; yours is not changed: remove it, "
                        "or set it on the bucket yourself"
                    )
        return self


# Clouds that Lightly knows and this version does not: named, so that the message can say so.
_LATER = ("azure", "gcs", "obs")


class CloudSpec(_Spec):
    """One datasource: exactly one cloud."""

    s3: S3Spec

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, value: Any) -> Any:
        clouds = [it for it in ("s3", *_LATER) if isinstance(value, dict) and it in value]
        if len(clouds) > 1:
            raise ValueError(f"two clouds ({', '.join(clouds)}): a datasource is in one; keep one")
        if clouds and clouds[0] in _LATER:
            raise ValueError(f"{clouds[0]}: this version connects s3 only")
        if not clouds and (value is None or value == {}):
            raise ValueError("no cloud: say where the data is, such as 's3: {bucket: …, prefix: …, access: …}'")
        return value


def _dataset_type(value: object) -> object:
    if isinstance(value, str) and value in set(DatasetType):
        return DatasetType(value)
    if value is None:
        return None
    raise ValueError(f"{_shown(value)} is no dataset type; use one of {', '.join(DatasetType)}")


class DatasetSpec(_Spec):
    """A dataset with its two datasources."""

    name: DatasetName | None = Field(
        None, description="The name at Lightly; changing it renames the dataset. Default: the YAML key."
    )
    type: Annotated[DatasetType | None, BeforeValidator(_dataset_type)] = Field(
        None, description="`Images`, `Videos` or `Crops`. Default: `Images`, or whatever `id` is."
    )
    id: DatasetId | None = Field(None, description="Use the existing dataset with this id. It is never deleted.")
    adopt: bool = Field(
        default=False, description="Use the existing dataset of this name even if it has content. Default: no."
    )
    on_destroy: Literal["keep", "delete"] = Field(
        default="keep",
        description="What happens to what was made here when it leaves the YAML: `keep` (default) or `delete`.",
    )
    verify_deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Seconds to wait for permissions to take effect. Default: 120."
    )
    input: CloudSpec
    lightly: CloudSpec

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.id is not None and self.name is not None:
            raise ValueError("name: the dataset of an 'id' keeps its name; remove one of the two")
        source, target = self.input.s3, self.lightly.s3
        if source.bucket is None or source.bucket != target.bucket:
            return self
        if paths.contains(source.prefix, target.prefix):
            raise ValueError(
                f"lightly.s3.prefix {target.prefix!r} lies in input.s3.prefix {source.prefix!r} of the same bucket: "
                "what Lightly writes would come in as Input; put it beside"
            )
        if paths.contains(target.prefix, source.prefix):
            raise ValueError(
                f"input.s3.prefix {source.prefix!r} lies in lightly.s3.prefix {target.prefix!r} of the same bucket: "
                "Lightly could change and delete the Input; put it beside"
            )
        return self


class _Stack(_Spec):
    datasets: dict[str, DatasetSpec]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        _agreements.check(self.datasets)
        return self


def parse(datasets: object, *, default_region: str | None = None) -> dict[str, DatasetSpec]:
    """The datasets of `lightly-infra:datasets`, checked as far as that goes without a call to anybody.

    Args:
        datasets: what the YAML holds.
        default_region: `aws:region`, for datasources that name none.

    Returns:
        The datasets by key; every datasource has a region.

    Raises:
        SpecError: one line for each problem, such as
            `street-scenes.input.s3.prefix: '/raw' starts with a slash; …`.
    """
    if not isinstance(datasets, dict) or not datasets:
        raise SpecError(["lightly-infra:datasets: declare at least one dataset, as a mapping of name to dataset"])
    try:
        return _Stack.model_validate({"datasets": datasets}, context={"region": default_region}).datasets
    except ValidationError as error:
        problems = list(_problems(error))
    # Raised outside of the except block: as its context, pydantic's error would carry the secrets along.
    raise SpecError(problems)


def parse_account_id(value: str | None) -> str | None:
    """The AWS account Lightly comes from, if the stack names another than the usual one.

    Raises:
        SpecError: it is not 12 digits.
    """
    if value is not None and not re.fullmatch(r"[0-9]{12}", value):
        raise SpecError([f"lightly-infra:lightly_account_id: {value!r} is no AWS account id, which is 12 digits"])
    return value


def _problems(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_context=True, include_input=True):
        path = ".".join(str(part) for part in detail["loc"][1:])
        yield f"{path or 'lightly-infra:datasets'}: {_told(detail)}"


# What to write instead, by the kind of pydantic's error.
_REMEDIES: Final = {
    "bool_type": "write true or false",
    "dict_type": "write a mapping, each key on a line of its own",
    "finite_number": "write a number",
    "float_type": "write a number",
    "greater_than": "write a number greater than {gt:g}",
    "list_type": "write a list, such as [one, two]",
    "literal_error": "use {expected}",
    "model_type": "write a mapping, each key on a line of its own",
    "string_type": "write text, in quotes where it looks like something else",
}


def _told(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":  # without the value: a slip in `external_id` makes a secret's key unknown
            key, known = str(detail["loc"][-1]), _known_keys(detail["loc"][1:-1])
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            return f"unknown key; {hint}"
        case "missing":
            return "missing; add it"
        case "value_error":  # our own words
            return str(detail["ctx"]["error"])
        case kind:
            remedy = _REMEDIES.get(kind, "{msg}").format(msg=detail["msg"], **detail.get("ctx", {}))
            return remedy if "external_id" in detail["loc"] else f"{_shown(detail['input'])}: {remedy}"


def _shown(value: object) -> str:
    """The value for a message, shortened. Of lists and mappings only their kind is told: a secret may be in them."""
    match value:
        case None:
            return "empty"
        case str() | int() | float():
            shown = repr(value)
            return shown if len(shown) <= _MAX_SHOWN else f"{shown[: _MAX_SHOWN - 1]}…"
        case _:
            return "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}"


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at `path`, which begins with the dataset's."""
    model: type[BaseModel] = DatasetSpec
    steps: Mapping[str, type[BaseModel]] = {
        "input": CloudSpec,
        "lightly": CloudSpec,
        "s3": S3Spec,
        "access": AccessSpec,
        "access_logs": AccessLogsSpec,
    }
    for step in path[1:]:
        model = steps.get(str(step), model)
    return list(model.model_fields)

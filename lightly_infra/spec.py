"""What a stack's YAML may say. Every error names the field, the value (unless secret) and the remedy."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

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

from lightly_infra import paths
from lightly_infra.clouds.aws import policy
from lightly_infra.lightly import models
from lightly_infra.lightly.models import DatasetType
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails


class SpecError(ValueError):
    """The YAML asks for something that cannot be; the message has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class _Spec(BaseModel):
    """Knows no other keys than its fields, and never repeats a value in an error: it may be a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


def _source_ip(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(f"{value!r} is no address range; write it as CIDR, such as 203.0.113.0/24") from None


def _policy_arn(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/\S+", value):
        raise ValueError(f"{value!r} is no policy's ARN; it looks like arn:aws:iam::123456789012:policy/NAME")
    return value


Prefix = Annotated[str, AfterValidator(paths.normalise_prefix)]
BucketName = Annotated[str, AfterValidator(paths.check_s3_bucket)]
SourceIp = Annotated[str, AfterValidator(_source_ip)]
PolicyArn = Annotated[str, AfterValidator(_policy_arn)]
DatasetName = Annotated[str, AfterValidator(models.check_dataset_name)]
DatasetId = Annotated[str, AfterValidator(models.check_dataset_id)]


class AccessSpec(_Spec):
    """How Lightly gets in. In the YAML, `access: delegated` is short for `access: {kind: delegated}`."""

    kind: Literal["delegated", "keys"] = Field(
        description="`delegated`: a role and an external id (recommended). `keys`: a user's access key."
    )
    share: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,37}$")] | None = Field(
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
    kms_key_arn: models.KeyArn | None = Field(None, description="The key's ARN, not an alias. Default: SSE-S3.")
    allowed_source_ips: list[SourceIp] = Field(
        default_factory=list, description="CIDR ranges S3 calls must come from; Lightly then cannot verify."
    )
    versioning: bool = Field(default=False, description="Keep old versions of objects in a bucket that is made.")
    access_logs: AccessLogsSpec | None = Field(None, description="Log access to a bucket that is made.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags of everything that is made.")

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

    def policy_characters(self, purpose: Purpose) -> int:
        """How long this datasource's policy is at most: a generated bucket name counts as the longest possible."""
        bucket = self.bucket or "x" * paths.MAX_BUCKET_CHARACTERS
        document = policy.access_policy(
            purpose=purpose,
            bucket_arn=f"arn:{policy.partition(self.region)}:s3:::{bucket}",
            prefix=self.prefix,
            kms_key_arn=self.kms_key_arn,
            allowed_source_ips=self.allowed_source_ips,
        )
        return len(policy.to_json(document))


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
    raise ValueError(f"{value!r} is no dataset type; use one of {', '.join(DatasetType)}")


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
    verify_deadline: Annotated[float, Field(gt=0, strict=False)] | None = Field(
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
    def _names_differ(self) -> Self:
        by_slug: dict[str, str] = {}
        by_name: dict[str, str] = {}
        by_id: dict[str, str] = {}
        for key, spec in self.datasets.items():
            if not paths.slug(key):
                raise ValueError(f"{key!r}: a dataset's key needs a letter or a digit")
            if spec.name is None and spec.id is None:
                models.check_dataset_name(key)
            if (other := by_slug.setdefault(paths.slug(key), key)) != key:
                raise ValueError(f"{key!r} and {other!r} would name cloud resources alike; change one")
            name = spec.name or (key if spec.id is None else None)
            if name is not None and (other := by_name.setdefault(name, key)) != key:
                raise ValueError(f"{key!r} and {other!r} are both called {name!r} at Lightly; change one name")
            if spec.id is not None and (other := by_id.setdefault(spec.id, key)) != key:
                raise ValueError(f"{key!r} and {other!r} are both dataset {spec.id}; remove one")
        return self

    @model_validator(mode="after")
    def _shared_things_agree(self) -> Self:
        shares: dict[str, tuple[str, AccessSpec]] = {}
        buckets: dict[str, tuple[str, object]] = {}
        regions: dict[str, tuple[str, str]] = {}
        # What is made first: whoever else uses it must agree with it.
        for where, s3, on_destroy in sorted(self._datasources(), key=lambda it: not it[1].create):
            if s3.access.share is not None:
                first, access = shares.setdefault(s3.access.share, (where, s3.access))
                if access != s3.access:
                    raise ValueError(f"{where}.access: share {s3.access.share!r} is another one in {first}.access")
            if s3.bucket is None:
                continue
            if s3.create:
                made = (s3.kms_key_arn, s3.versioning, s3.access_logs, on_destroy)
                first, other = buckets.setdefault(s3.bucket, (where, made))
                if other != made:
                    raise ValueError(f"{where}: bucket {s3.bucket!r} is made in another way by {first}")
            first, region = regions.setdefault(s3.bucket, (where, s3.region))
            if region != s3.region:
                raise ValueError(
                    f"{where}.region: {s3.region!r}, but for {first} the bucket {s3.bucket!r} is in {region!r}; "
                    "a bucket is in one region"
                )
        return self

    @model_validator(mode="after")
    def _policies_fit_into_iam(self) -> Self:
        used: Counter[str] = Counter()
        for key, spec in self.datasets.items():
            for purpose, s3 in ((Purpose.INPUT, spec.input.s3), (Purpose.LIGHTLY, spec.lightly.s3)):
                where = f"{key}.{purpose.lower()}.s3"
                used[s3.access.share or where] += s3.policy_characters(purpose)
                limit = policy.INLINE_POLICY_CHARACTERS[s3.access.kind]
                if s3.access.role_arn is None and used[s3.access.share or where] > limit:
                    raise ValueError(
                        f"{where}.access: with this datasource the policies of one identity pass IAM's {limit} "
                        "characters; let it get in by a share of its own"
                    )
        return self

    def _datasources(self) -> Iterator[tuple[str, S3Spec, str]]:
        for key, spec in self.datasets.items():
            yield f"{key}.input.s3", spec.input.s3, spec.on_destroy
            yield f"{key}.lightly.s3", spec.lightly.s3, spec.on_destroy


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


def _told(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            key, known = str(detail["loc"][-1]), _known_keys(detail["loc"][1:-1])
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            return f"unknown key; {hint}"
        case "missing":
            return "missing; add it"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "literal_error":
            return f"{detail['input']!r}: use {detail['ctx']['expected']}"
        case "model_type" | "dict_type":
            return "write a mapping, each key on a line of its own"
        case _:  # without the value, which may be a secret
            return detail["msg"][0].lower() + detail["msg"][1:]


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

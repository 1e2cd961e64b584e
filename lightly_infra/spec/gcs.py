"""A datasource on Google Cloud Storage, as the YAML says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, model_validator

from lightly_infra.clouds.gcp import policy
from lightly_infra.located import located
from lightly_infra.spec.fields import BucketSpec, Claim, Named, RotateEveryDays, Share, Spec, is_stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightly_infra.permissions import Purpose


# Of this epoch and the one before, and for a moment that of the one before that.
_RENEWED_KEYS: Final = 3


def _credentials(value: SecretStr) -> SecretStr:
    if not is_stand_in(value.get_secret_value()):
        policy.check_credentials(value.get_secret_value())
    return value


def _no_mapping(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - pydantic tells no TypeError
            "this is a mapping; give the key's JSON document as text, and as a secret: pass what is in the file to "
            "`pulumi config set --secret --path`"
        )
    return value


def _labels(labels: dict[str, str]) -> dict[str, str]:
    policy.check_labels(labels)
    return labels


GcsPrefix = Annotated[str, AfterValidator(policy.normalise_prefix)]
GcsBucketName = Annotated[str, AfterValidator(policy.check_bucket)]
Project = Annotated[str, AfterValidator(policy.check_project)]
Location = Annotated[str, AfterValidator(policy.normalise_location)]
KmsKey = Annotated[str, AfterValidator(policy.check_kms_key)]
ServiceAccountEmail = Annotated[str, AfterValidator(policy.check_service_account)]
Credentials = Annotated[SecretStr, BeforeValidator(_no_mapping), AfterValidator(_credentials)]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]


class GcsAccessSpec(Spec):
    """How Lightly gets in: by the key of a service account, which is made where none is named."""

    kind: Literal["service_account"] = Field(
        default="service_account", description="`service_account`, the only kind that Lightly takes."
    )
    share: Share | None = Field(
        None, description="Datasources that name the same share get in with one and the same service account."
    )
    service_account: ServiceAccountEmail | None = Field(
        None,
        description="The e-mail of a service account of your own: a key is made and roles are granted, and it is never "
        "changed. Default: one is made.",
    )
    credentials: Credentials | None = Field(
        None,
        description="The key JSON of a service account of your own; nothing is made or granted. Set it with "
        "`pulumi config set --secret --path`.",
    )

    rotate_every_days: RotateEveryDays | None = Field(
        None,
        description="Make a new key on the first day of every epoch of so many days; the one before lives on until the "
        "next. Default: one key for ever.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.credentials is not None:
            for field in ("service_account", "share", "rotate_every_days"):
                if getattr(self, field) is not None:
                    raise ValueError(f"{field}: 'credentials' say whose key it is; remove one of the two")
        return self


def _spelled_out(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


class GcsSpec(BucketSpec):
    """A directory in a GCS bucket: one of yours (`bucket`), or one that is made (`create: true`)."""

    scheme: ClassVar[str] = "gs"
    placed_by: ClassVar[str] = "location"

    bucket: GcsBucketName | None = Field(
        None,
        description="Your bucket; with `create`, the new one's name. Default with `create`: a generated one. For a "
        "prefix, yours needs uniform bucket-level access.",
    )
    create: bool = Field(
        default=False, description="Make the bucket. Default: use yours, and change nothing on it but who may use it."
    )
    prefix: GcsPrefix = Field(
        description="The directory, such as `street-scenes/`, without quotes; `''` for the whole bucket."
    )
    project: Project = Field(
        description="The id of the project that the bucket lies in; roles and service accounts are made there, too. "
        "Default: `gcp:project`."
    )
    access: Annotated[GcsAccessSpec, BeforeValidator(_spelled_out)] = Field(
        default_factory=GcsAccessSpec, description="Default: a service account of this datasource alone."
    )
    bucket_wide_listing: bool = Field(
        default=False,
        description="Let Lightly list the names of all objects in the bucket, as in Lightly's own docs. Default: those "
        "under the prefix only; who lists without a prefix is refused then, also when a client looks for objects that "
        "are not there.",
    )
    location: Location | None = Field(
        None, description="Where a bucket that is made lies: a region such as `europe-west3`, or `EU`, `US`, `ASIA`."
    )
    kms_key: KmsKey | None = Field(
        None,
        description="Encrypt a bucket that is made with this key in the bucket's location, `projects/…/cryptoKeys/…`. "
        "Default: keys that Google manages.",
    )
    versioning: bool = Field(default=False, description="Keep old versions of objects in a bucket that is made.")
    labels: Labels = Field(default_factory=dict, description="Labels of a bucket that is made.")

    @model_validator(mode="before")
    @classmethod
    def _project_of_the_stack(cls, value: Any, info: ValidationInfo) -> Any:
        project = (info.context or {}).get("project")
        if not isinstance(value, dict) or value.get("project") is not None:
            return value
        if project is None:
            raise ValueError("project is missing: name the bucket's project here, or set gcp:project for the stack")
        return value | {"project": project}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.access.credentials is not None and self.bucket_wide_listing:
            raise ValueError(
                "bucket_wide_listing: credentials of your own are granted nothing here; remove it, and grant them "
                "storage.objects.list yourself"
            )
        if self.create:
            if self.location is None:
                raise ValueError(
                    "location is missing: say where the bucket is made, such as 'location: europe-west3' or EU"
                )
            if self.kms_key is not None:
                with located("kms_key"):
                    policy.check_kms_location(self.kms_key, self.location)
            return self
        self.check_brought("location", "kms_key", "versioning", "labels")
        return self

    @property
    def told(self) -> dict[str, str]:
        """The path."""
        return {"type": "GCS", **super().told}

    @property
    def rotates(self) -> bool:
        """Whether a new key is made in every epoch."""
        return self.access.rotate_every_days is not None

    def how_to_renew(self, *, external_ids: bool) -> str:
        """How a service account's key is renewed."""
        if external_ids or self.access.credentials is not None:
            return super().how_to_renew(external_ids=external_ids)
        return "write rotate_every_days and run `pulumi up`, which makes another key and deletes this one"

    @property
    def share_of_access(self) -> str | None:
        """The share, if there is one."""
        return self.access.share

    def makes_identity(self, kind: str) -> bool:
        """Whether a service account is made, or a key of one."""
        access = self.access
        if access.credentials is not None:
            return False
        return kind == "key" or (kind == "service account" and access.service_account is None)

    def named(self) -> Iterator[Named]:
        """A service account, or a key and whose it is."""
        access = self.access
        if access.service_account is not None:
            yield Named("service account", access.service_account, "access.service_account", access.service_account)
        if access.credentials is not None and not is_stand_in(text := access.credentials.get_secret_value()):
            key = policy.check_credentials(text)
            yield Named("service account", key.email, "access.credentials", key.email)
            yield Named("key", key.path, "access.credentials", f"the key {key.path.rpartition('/')[2]}")

    def claims(self) -> Iterator[Claim]:
        """What a share is like, and where and how a bucket is made."""
        access = self.access
        if access.share is not None:
            yield self.shared(access.share, access)
            if access.service_account is None:
                yield Claim(
                    ("project of gcs share", access.share),
                    self.project,
                    "access",
                    f"share {access.share!r} is made in another project for {{other}}; use a share for each project, "
                    "or a service_account of your own",
                )
        if self.create and self.bucket:
            yield self.made_alike(self.location, self.kms_key, self.versioning, self.labels)
        if self.bucket:
            yield self.lies_in("project", self.project)

    @classmethod
    def check_together(cls, datasources: Sequence[tuple[str, Purpose, Self]]) -> None:
        """Each share and each other datasource has keys of its own, and an account has room for ten.

        One that is renewed has two, and a third from when the next is made until the oldest goes.
        """
        keys: dict[str, dict[str, int]] = {}
        for where, _, it in datasources:
            access = it.access
            if access.service_account is None:
                continue
            held = keys.setdefault(access.service_account, {})
            held[access.share or where] = 1 if access.rotate_every_days is None else _RENEWED_KEYS
            if sum(held.values()) > policy.MAX_KEYS:
                raise ValueError(
                    f"{where}.access: with this datasource {access.service_account} would have more than the "
                    f"{policy.MAX_KEYS} keys that an account may have (a key that is renewed counts as "
                    f"{_RENEWED_KEYS}); let datasources get in by a share, which has the keys of one"
                )

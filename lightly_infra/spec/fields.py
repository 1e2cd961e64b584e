"""What the models of the YAML have in common: the base classes, and fields that more than one cloud has."""

from __future__ import annotations

import hashlib
import re
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lightly_infra import paths, retention
from lightly_infra.lightly.models import check_thumb_suffix
from lightly_infra.located import located
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MAX_SHOWN: Final = 60
"""Characters of a value that an error repeats."""

_STAND_IN: Final = f"stand-in-{secrets.token_hex(4)}-"
"""Another one in each process, so that nobody can have written it."""


class Spec(BaseModel):
    """Knows no other keys than its fields. Errors repeat a value, unless it may be a secret."""

    # Pydantic itself repeats none: it does not know what is secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


@dataclass(frozen=True)
class Claim:
    """What a datasource says of something that others may use too: whoever speaks of it must say the same."""

    about: tuple[str, ...]
    """What it is said of, such as `("region of", "s3://acme-raw")`."""

    value: object
    """What is said."""

    field: str
    """Where, below the datasource; empty for the datasource as a whole."""

    problem: str
    """What to tell when another has said something else: `{first}`, at the path `{other}`."""


@dataclass(frozen=True)
class Placed:
    """Storage that is made under a name."""

    kind: Literal["bucket", "account", "resource group"]
    name: str

    field: str
    """Which field of the datasource says where it is made."""

    value: str


@dataclass(frozen=True)
class Named:
    """An identity or a key that a datasource calls the user's own."""

    kind: Literal["role", "user", "service account", "key"]

    name: str
    """As clouds know it: a role's ARN, a user's name, a service account's e-mail, the id or the path of a key."""

    field: str
    """Where, below the datasource, such as `access.role_arn`."""

    shown: str
    """What to call it in a message; no secret."""


def shown(value: object) -> str:
    """The value for a message, shortened. Of lists and mappings only their kind is told: a secret may be in them."""
    match value:
        case None:
            return "empty"
        case str() | int() | float():
            text = repr(value)
            if len(text) <= _MAX_SHOWN:
                return text
            closing = text[-1] if isinstance(value, str) else ""
            return f"{text[: _MAX_SHOWN - 1 - len(closing)]}…{closing}"
        case _:
            return "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}"


def _share(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,37}", value):
        raise ValueError(
            f"{shown(value)} is not a valid share name; use at most 38 lower-case letters, digits and hyphens, first a "
            "letter or a digit"
        )
    return value


def stand_in(encrypted: str) -> str:
    """What stands for a secret that only the stack's owner can decrypt: the same for the same."""
    return f"{_STAND_IN}{hashlib.blake2b(encrypted.encode(), key=_STAND_IN.encode(), digest_size=12).hexdigest()}"


def is_stand_in(secret: str) -> bool:
    """Whether a secret is not known, so that nothing can be said of it."""
    return secret.startswith(_STAND_IN)


Prefix = Annotated[str, AfterValidator(paths.normalise_prefix)]
Share = Annotated[str, AfterValidator(_share)]
RotateEveryDays = Annotated[int, Field(ge=1, le=3650)]


class DatasourceSpec(Spec, ABC):
    """A directory in a bucket or container, and how Lightly gets in: the same questions for every cloud."""

    scheme: ClassVar[str]
    """What paths begin with, such as `s3`."""

    lifecycle_remedy: ClassVar[str] = "set it on the bucket yourself, or have one made with 'create: true'"
    """What to do about a retention where the rules are the user's own."""

    prefix: Prefix = Field(description="The directory, such as `street-scenes/`; `''` for the whole bucket.")
    retention_days: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Of an Input whose storage is made here: delete what lies under the prefix once it is so many days "
        f"old, {retention.MIN_RETENTION_DAYS} or more. Default: keep it.",
    )
    expected_run_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Of an Input on S3 that expires: how many days a run takes, `0` for some hours. The worker config "
        f"then goes around inputs that expire meanwhile (Lightly Worker {retention.WORKER_VERSION} or later).",
    )
    handling_strategy: Literal["SKIP", "ABORT"] = Field(
        "SKIP", description="With `expected_run_days`: skip such inputs, or stop the run (`ABORT`)."
    )
    thumb_suffix: Annotated[str, AfterValidator(check_thumb_suffix)] | None = Field(
        None, description="Where Lightly puts thumbnails below the path. Default: Lightly's own."
    )

    @property
    @abstractmethod
    def place(self) -> str | None:
        """The bucket or container, such as `s3://acme-raw`; None where its name is generated: then nobody shares it."""

    @property
    @abstractmethod
    def storage(self) -> str | None:
        """The name of the bucket or container; None where it is generated."""

    @property
    @abstractmethod
    def creates(self) -> bool:
        """Whether the bucket or container is made."""

    @abstractmethod
    def holds(self, told: Mapping[str, str]) -> bool:
        """Whether what Lightly was told, by the Python names of its API, lies in the same bucket or container."""

    def placed(self) -> Iterator[Placed]:
        """Where storage is made that has a name and so cannot be made a second time elsewhere."""
        yield from ()

    @property
    def share_of_access(self) -> str | None:
        """The share that it gets in by; None for an access of its own."""
        return None

    def makes_identity(self, kind: str) -> bool:  # noqa: ARG002 - for clouds to use
        """Whether a `role`, `user`, `service account` or `key` is made for it."""
        return False

    def named(self) -> Iterator[Named]:
        """The identities and keys that it calls the user's own."""
        yield from ()

    @property
    @abstractmethod
    def told(self) -> dict[str, str]:
        """Where Lightly is told to look, by the Python names of its API; without a path where a name is generated."""

    @property
    def reach(self) -> str:
        """The prefix that Lightly's credentials are limited to, where the cloud can't limit them to `prefix`."""
        return self.prefix

    @property
    def shuts_lightly_out(self) -> bool:
        """Whether Lightly's own servers are kept from the data, so that they cannot verify."""
        return False

    @property
    def rotates(self) -> bool:
        """Whether what Lightly gets in with is renewed by epoch, and so whenever somebody asks for it."""
        return False

    @property
    def mints_external_id(self) -> bool:
        """Whether an external id is minted here, which is renewed only when somebody asks for it."""
        return False

    def how_to_renew(self, *, external_ids: bool) -> str:
        """How what Lightly gets in with is renewed where `lightly-infra rotate` cannot.

        Args:
            external_ids: Whether external ids are asked for, and not keys and SAS.
        """
        if external_ids:
            return ""
        return "it is your own: make another, set it with `pulumi config set --secret --path …` and run `pulumi up`"

    def how_to_end(self, signed_with: str, path: str) -> str:  # noqa: ARG002 - for clouds to use
        """The command that ends what one of the storage's own keys has signed; empty where none signs.

        Args:
            signed_with: Which of the keys.
            path: What Lightly is told to look at.
        """
        return ""

    def claims(self) -> Iterator[Claim]:
        """What it says of things that other datasources of the stack may use too."""
        yield from ()

    @classmethod
    def check_together(cls, datasources: Sequence[tuple[str, Purpose, Self]]) -> None:
        """Refuses what the datasources of this cloud cannot be together, beyond their claims.

        Args:
            datasources: all of the stack, each with its path in the YAML.

        Raises:
            ValueError: the message begins with a path.
        """

    @property
    def makes_lifecycle(self) -> bool:
        """Whether the rules for when objects go are made here: they are one document, for all that it is about."""
        return self.creates

    def check_purpose(self, purpose: Purpose) -> None:
        """Refuses what does not go with the purpose, such as brought credentials that may do too much.

        Raises:
            ValueError: the message begins with the field's name and a colon.
        """
        if purpose is Purpose.INPUT:
            self._check_retention()
            self._check_expected_run()
            return
        if self.retention_days is not None:
            raise ValueError(
                "retention_days: nothing may ever expire in a Lightly datasource, since later runs use what Lightly "
                "has written; remove it"
            )
        if self.expected_run_days is not None or "handling_strategy" in self.model_fields_set:
            field = "handling_strategy" if self.expected_run_days is None else "expected_run_days"
            raise ValueError(f"{field}: it is about inputs that expire; write it at the Input")

    def _check_retention(self) -> None:
        if self.retention_days is None:
            return
        with located("retention_days"):
            retention.check_days(self.retention_days)
        if not self.makes_lifecycle:
            raise ValueError(
                "retention_days: the rules of what is yours are not changed, since they are one document and writing "
                f"it would replace yours; {self.lifecycle_remedy}"
            )

    def _check_expected_run(self) -> None:
        if self.expected_run_days is None:
            if "handling_strategy" in self.model_fields_set:
                raise ValueError("handling_strategy: say how long a run takes, too, as expected_run_days")
            return
        if self.scheme != "s3":
            raise ValueError(
                "expected_run_days: the Lightly Worker looks when inputs expire on Amazon S3 only; remove it, and keep "
                "inputs for far longer than a run takes"
            )
        if self.retention_days is None and self.creates:
            raise ValueError(
                "expected_run_days: nothing expires in a bucket that is made without 'retention_days'; remove it, or "
                "say how long inputs are kept"
            )
        if self.retention_days is not None:
            with located("expected_run_days"):
                retention.check_run(self.expected_run_days, self.retention_days)

    def shared(self, share: str, access: object) -> Claim:
        """That all datasources of a share get in alike."""
        problem = f"share {share!r} is another one in {{other}}.access"
        return Claim((f"{self.scheme} share", share), access, "access", problem)


class BucketSpec(DatasourceSpec):
    """A directory in a bucket: one of the user's (`bucket`), or one that is made (`create: true`)."""

    bucket: str | None
    create: bool
    placed_by: ClassVar[str] = "region"
    """The field that says where a bucket is made."""

    @property
    def place(self) -> str | None:
        """The bucket."""
        return f"{self.scheme}://{self.bucket}" if self.bucket else None

    @property
    def storage(self) -> str | None:
        """The bucket's name."""
        return self.bucket

    @property
    def creates(self) -> bool:
        """Whether the bucket is made."""
        return self.create

    def holds(self, told: Mapping[str, str]) -> bool:
        """Whether the path begins with the bucket."""
        return (told.get("full_path") or "").startswith(f"{self.scheme}://{self.bucket}/")

    @property
    def told(self) -> dict[str, str]:
        """The path, where the bucket has a name; clouds add their type."""
        return {"full_path": paths.resource_path(self.scheme, self.bucket, self.prefix)} if self.bucket else {}

    def placed(self) -> Iterator[Placed]:
        """The bucket's region or location."""
        where = getattr(self, self.placed_by)
        if self.create and self.bucket and where:
            yield Placed("bucket", self.bucket, self.placed_by, where)

    def check_brought(self, *of_made_buckets: str) -> None:
        """Refuses a bucket of the user's that has no name, or for which one of these fields is set.

        Raises:
            ValueError: the message names the field and the remedy.
        """
        if self.bucket is None:
            raise ValueError("bucket is missing: name yours, or write 'create: true' to have one made")
        for field in of_made_buckets:
            if getattr(self, field):
                raise ValueError(
                    f"{field} is for buckets that are made here; yours is not changed: remove it, "
                    "or set it on the bucket yourself"
                )

    def made_alike(self, *how: object) -> Claim:
        """That all who make the bucket make it in this way."""
        problem = f"bucket {self.bucket!r} is made in another way by {{other}}"
        return Claim((f"{self.scheme} bucket", str(self.bucket)), how, "", problem)

    def lies_in(self, field: str, value: object) -> Claim:
        """That the bucket lies in this region, or project."""
        problem = (
            f"{value!r}, but for {{other}} the bucket {self.bucket!r} is in {{first!r}}; a bucket is in one {field}"
        )
        return Claim((f"{self.scheme} {field} of", str(self.bucket)), value, field, problem)

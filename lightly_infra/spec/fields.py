"""What the models of the YAML have in common: the base classes, and fields that more than one cloud has."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lightly_infra import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightly_infra.permissions import Purpose

_MAX_SHOWN: Final = 60
"""Characters of a value that an error repeats."""


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


def shown(value: object) -> str:
    """The value for a message, shortened. Of lists and mappings only their kind is told: a secret may be in them."""
    match value:
        case None:
            return "empty"
        case str() | int() | float():
            text = repr(value)
            return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
        case _:
            return "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}"


def _share(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,37}", value):
        raise ValueError(
            f"{shown(value)} is no name of a share; use at most 38 lower-case letters, digits and hyphens, first a "
            "letter or a digit"
        )
    return value


Prefix = Annotated[str, AfterValidator(paths.normalise_prefix)]
Share = Annotated[str, AfterValidator(_share)]


class DatasourceSpec(Spec, ABC):
    """A directory in a bucket or container, and how Lightly gets in: the same questions for every cloud."""

    scheme: ClassVar[str]
    """What paths begin with, such as `s3`."""

    prefix: Prefix = Field(description="The directory, such as `street-scenes/`; `''` for the whole bucket.")

    @property
    @abstractmethod
    def place(self) -> str | None:
        """The bucket or container, such as `s3://acme-raw`; None where its name is generated: then nobody shares it."""

    @property
    @abstractmethod
    def creates(self) -> bool:
        """Whether the bucket or container is made."""

    @property
    def reach(self) -> str:
        """The prefix that Lightly's credentials are limited to, where the cloud can't limit them to `prefix`."""
        return self.prefix

    def claims(self, *, on_destroy: str) -> Iterator[Claim]:  # noqa: ARG002 - for clouds to use
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

    def check_purpose(self, purpose: Purpose) -> None:
        """Refuses what does not go with the purpose, such as brought credentials that may do too much.

        Raises:
            ValueError: the message begins with the field's name and a colon.
        """

    def shared(self, share: str, access: object) -> Claim:
        """That all datasources of a share get in alike."""
        problem = f"share {share!r} is another one in {{other}}.access"
        return Claim((f"{self.scheme} share", share), access, "access", problem)


class BucketSpec(DatasourceSpec):
    """A directory in a bucket: one of the user's (`bucket`), or one that is made (`create: true`)."""

    bucket: str | None
    create: bool

    @property
    def place(self) -> str | None:
        """The bucket."""
        return f"{self.scheme}://{self.bucket}" if self.bucket else None

    @property
    def creates(self) -> bool:
        """Whether the bucket is made."""
        return self.create

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

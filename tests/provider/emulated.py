"""Names that the provider tests and their fixtures share."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeVar

from pulumi.output import Unknown

from lightly_infra.provider.session import LightlyProvider

TOKEN: Final = "canary-token-of-lightly"

UNKNOWN: Final[Any] = Unknown()  # type: ignore[no-untyped-call]  # it has no annotations
"""What a preview does not know yet."""

P = TypeVar("P", bound=LightlyProvider)


class Configured(Protocol):
    """Makes a provider as the engine does, with the stack's config as keywords."""

    def __call__(self, provider: type[P], **config: str) -> P: ...

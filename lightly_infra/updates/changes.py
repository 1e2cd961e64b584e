"""What is done to resources, and what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """What happened (or, in a preview, would happen) to a resource."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    READ = "read"


@dataclass(frozen=True)
class Change:
    """One operation on one custom resource.

    `keys` are the input properties that changed (update) or that force the replacement (replace).
    """

    urn: str
    type: str
    name: str
    operation: Operation
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a resource, or with an empty `urn` the program itself, failed. Never holds a secret."""

    urn: str
    message: str

    def as_json(self) -> dict[str, str]:
        """The failure for machines."""
        return {"resource": self.urn, "message": self.message}


OnChange = Callable[[Change], None]
"""Called as each step finishes, from any thread but never twice at once."""

OnLog = Callable[[str, str], None]
"""Called with severity ("info", "warning") and message for what the program logs. Errors it logs are failures."""


def latest(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The last one of each resource: when resources are read back first, there are two of each."""
    return tuple({change.urn: change for change in changes}.values())

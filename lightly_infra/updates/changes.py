"""What is done to resources, what fails, and what is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Operation(StrEnum):
    """What happened (or, in a preview, would happen) to a resource."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    KEEP = "keep"
    """It leaves the stack, and stays where it is (`retain_on_delete`)."""
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
    gone: bool = False
    """Whether it is created since somebody else has deleted it."""


@dataclass(frozen=True)
class Failure:
    """Why a resource, or with an empty `urn` the program itself, failed. Never holds a secret."""

    urn: str
    message: str

    def as_json(self) -> dict[str, str]:
        """The failure for machines."""
        return {"resource": self.urn, "message": self.message}


class Interrupted(KeyboardInterrupt):
    """This process was interrupted while the Pulumi CLI was at work, which has ended since.

    Attributes:
        terminated: Whether it was interrupted again before it had stopped, and so ended amid its steps.
    """

    def __init__(self, *, terminated: bool) -> None:
        super().__init__()
        self.terminated = terminated


OnChange = Callable[[Change], None]
"""Called as each step finishes, from any thread but never twice at once."""

OnLog = Callable[[str, str], None]
"""Called with severity ("info", "warning") and message for what the program logs. Errors it logs are failures."""


def latest(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The last one of each resource: when resources are read back first, there are two of each."""
    found: dict[str, Change] = {}
    for change in changes:
        before = found.get(change.urn)
        was_there = before is not None and before.operation is Operation.DELETE
        found[change.urn] = replace(change, gone=was_there and change.operation is Operation.CREATE)
    return tuple(found.values())

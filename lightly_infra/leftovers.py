"""What was made for a stack and its state does not know: what killed runs left, and storage that is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import ownership

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DESCRIBED: Final = re.compile(r"Made by lightly-infra for \S+ of stack (\S+)\.")
_NAMES: Final = ("id", "name", "bucket", "email", "arn", "uniqueId")


@dataclass(frozen=True)
class Leftover:
    """Something that carries the stack's marks."""

    kind: str
    """Such as `IAM user`."""

    name: str
    component: str
    """Which component of the stack it was made for."""

    commands: tuple[str, ...] = ()
    """What removes it; nothing for storage, whose data stays until somebody deletes it on purpose."""


@dataclass(frozen=True)
class Marked:
    """Something at a cloud that may carry a stack's marks, and that its state may know."""

    kind: str
    name: str
    description: str = ""
    """What there is instead of marks on Google Cloud's identities."""

    marks: Mapping[str, str] = field(default_factory=dict)
    """Tags, labels or metadata."""

    within: str | None = None
    """Which other thing goes together with this one, if it is removed."""

    commands: tuple[str, ...] = ()
    """As of `Leftover`."""

    @property
    def is_ours(self) -> bool:
        """Whether this package has made it, for whichever stack."""
        return ownership.PACKAGE in self.marks.values() or _DESCRIBED.search(self.description) is not None


class CannotListError(Exception):
    """A cloud cannot be asked from here; the message says why, and what to do instead. It holds no secret."""


@dataclass(frozen=True)
class Known:
    """What a stack's state knows."""

    stacks: frozenset[str]
    """What the marks of its resources say of the stack: the same text, as each cloud allows it."""

    names: frozenset[str]
    """Ids and names of its resources."""

    @classmethod
    def of(cls, resources: Iterable[Mapping[str, Any]]) -> Known:
        """Of the resources of a deployment document."""
        stacks: set[str] = set()
        names: set[str] = set()
        for resource in resources:
            inputs, outputs = _mapping(resource.get("inputs")), _mapping(resource.get("outputs"))
            stacks |= set(_stacks(inputs))
            known = (resource.get("id"), *(it.get(name) for it in (inputs, outputs) for name in _NAMES))
            names |= {it for it in known if isinstance(it, str)}
        return cls(frozenset(stacks), frozenset(names))

    def component(self, name: str, marks: Mapping[str, str]) -> str | None:
        """The component that something with these marks was made for; None if it is known or is another stack's."""
        if name in self.names:
            return None
        return next((it for stack in self.stacks if (it := ownership.name_in(marks, stack)) is not None), None)

    def leftovers(self, found: Iterable[Marked]) -> Iterator[Leftover]:
        """What of it is this stack's, and is not known."""
        gone = set()
        for it in found:
            described = (ownership.name_in_description(it.description, stack) for stack in self.stacks)
            component = self.component(it.name, it.marks)
            if it.description and it.name not in self.names:
                component = next((name for name in described if name is not None), component)
            if component is not None and it.within not in gone:
                gone.add(it.name)
                yield Leftover(it.kind, it.name, component, it.commands)


def _stacks(inputs: Mapping[str, Any]) -> Iterator[str]:
    for marks in ("tags", "labels", "metadata"):
        for mark in (ownership.STACK_TAG, ownership.STACK_LABEL, ownership.STACK_METADATA):
            if isinstance(stack := _mapping(inputs.get(marks)).get(mark), str):
                yield stack
    if found := _DESCRIBED.search(str(inputs.get("description") or "")):
        yield found[1]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""What messages tell to do by hand after a run has failed, done exactly so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.interface import Result
    from tests.stateful.stacks import Stack
    from tests.stateful.world import Thing, World


@dataclass(frozen=True)
class ByHand:
    """A step."""

    name: str
    """The same for all of its kind."""
    take: Callable[[Stack, World], Stack]
    """Takes it, and gives the stack file as it is then."""


def step(result: Result, stack: Stack) -> ByHand | None:
    """The step that a failed run's messages name, the first if there are several."""
    for failure in result.failures:
        for pattern, make in _STEPS:
            found = pattern.search(failure.message)
            slot = _slot(failure.urn, stack)
            if found and slot and (made := make(found, slot)):
                return made
    return None


def is_listed(thing: Thing, told: str) -> bool:
    """Whether `check` has told of something that is left, by its name."""
    return bool(told) and any(part in told for part in thing[2:] if len(part) > 4)


def _slot(urn: str, stack: Stack) -> str | None:
    """Whose dataset a resource is of."""
    name = urn.rpartition("::")[2]
    found = [it for it in stack.datasets if stack.key(it) in name]
    return max(found, key=lambda it: len(stack.key(it))) if found else next(iter(stack.datasets), None)


def _write(name: str, field: str, value: object) -> Callable[[re.Match[str], str], ByHand | None]:
    def make(_: re.Match[str], slot: str) -> ByHand:
        return ByHand(name, lambda stack, __: stack.with_given(slot, **{field: value}))

    return make


_STEPS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], ByHand | None]], ...]] = (
    (re.compile(r"set `adopt: true` or `id: "), _write("adopt", "adopt", True)),
    (re.compile(r"`replace_datasources: true`"), _write("replace_datasources", "replace_datasources", True)),
)
"""What messages say, and what is then written into the stack file or done."""

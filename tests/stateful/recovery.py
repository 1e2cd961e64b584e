"""What messages tell to do by hand after a run has failed, done exactly so."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox.engine.environment import environment

if TYPE_CHECKING:
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


def step(result: Result, stack: Stack, theirs: Collection[str] = ()) -> ByHand | None:
    """The step that a failed run's messages name, the first if there are several.

    Args:
        result: Of the run.
        stack: The file that it ran with.
        theirs: Ids of datasets that somebody else has made.
    """
    if any("`pulumi cancel`" in it.message for it in result.failures):
        return ByHand("pulumi cancel", _cancel)
    for failure in result.failures:
        slot = _slot(failure.urn, stack)
        for pattern, make in _STEPS:
            found = pattern.search(failure.message)
            if found and slot and (fields := make(found, theirs)):
                return ByHand(" and ".join(sorted(fields)), lambda it, _, to=slot, say=fields: it.with_given(to, **say))  # type: ignore[misc]
    return None


def _cancel(stack: Stack, world: World) -> Stack:
    """Takes away the lock of a run that was killed."""
    engine: Any = world.sandbox.engine
    with environment({**engine._given, **engine._own}):
        engine._stack.cancel()
    return stack


def is_listed(thing: Thing, told: str) -> bool:
    """Whether `check` has told of something that is left, by its name."""
    return bool(told) and any(part in told for part in thing[2:] if len(part) > 4)


def _slot(urn: str, stack: Stack) -> str | None:
    """Whose dataset a resource is of."""
    name = urn.rpartition("::")[2]
    found = [it for it in stack.datasets if stack.key(it) in name]
    return max(found, key=lambda it: len(stack.key(it))) if found else next(iter(stack.datasets), None)


Follow = Callable[[re.Match[str], Collection[str]], "dict[str, object] | None"]
"""What is written into the stack file, by what was found in the message and the ids of what is somebody else's."""


def _taken_over(found: re.Match[str], theirs: Collection[str]) -> dict[str, object] | None:
    """Only whoever made it may say that an interrupted run did."""
    return None if found[1] in theirs else {"take_over": found[1]}


def _adopted(found: re.Match[str], _: Collection[str]) -> dict[str, object]:
    return {"adopt": True, "take_over": None} | ({"type": found[1]} if found[1] else {})


_STEPS: Final[
    tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Collection[str]], dict[str, object] | None]], ...]
] = (
    (re.compile(r"left it, set `take_over: ([0-9a-f]{24})`"), _taken_over),
    (re.compile(r"set `adopt: true` or `id: [0-9a-f]{24}`(?:, and `type: (\w+)`)?"), _adopted),
    (re.compile(r"`replace_datasources: true`"), lambda *_: {"replace_datasources": True}),
    (re.compile(r"a type can't change: set `type: (\w+)`"), lambda found, _: {"type": found[1]}),
    (re.compile(r"use the dataset with `id: ([0-9a-f]{24})`"), lambda found, _: {"id": found[1], "take_over": None}),
)
"""What messages say, and what is then written into the stack file; None takes a field out again."""

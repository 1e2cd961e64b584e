"""Makes a failing sequence smaller while it goes on to fail in the same way.

By leaving out steps, edits and faults, one after the other, and then by plainer numbers. Not by Hypothesis, whose
shrinker tries thousands of times where a try takes a second.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.stateful.run import Outcome, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stateful.sequences import Sequence
    from tests.stateful.world import World


def shrunk(world: World, sequence: Sequence, outcome: Outcome, *, seconds: float) -> tuple[Sequence, Outcome]:
    """The smallest sequence that was found in so many seconds, and what comes of it."""
    end = time.monotonic() + seconds
    cause = outcome.violation.partition(":")[0]
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in _smaller(sequence):
            if time.monotonic() > end:
                return sequence, outcome
            tried = run(world, candidate)
            if tried.violation.partition(":")[0] == cause:
                sequence, outcome, is_smaller = candidate, tried, True
                break
    return sequence, outcome


def _smaller(sequence: Sequence) -> Iterator[Sequence]:
    steps = sequence.steps
    for at in range(len(steps)):
        yield replace(sequence, steps=steps[:at] + steps[at + 1 :])
    for at in range(len(sequence.edits)):
        yield replace(sequence, edits=sequence.edits[:at] + sequence.edits[at + 1 :])
    if sequence.taken:
        yield replace(sequence, taken=False)
    for at, step in enumerate(steps):
        plainer = [replace(step, edits=step.edits[:it] + step.edits[it + 1 :]) for it in range(len(step.edits))]
        if step.fault:
            plainer.append(replace(step, fault=None))
            plainer += [replace(step, fault=replace(step.fault, lasts=False))] if step.fault.lasts else []
            plainer += [replace(step, fault=replace(step.fault, call=1))] if step.fault.call > 1 else []
        if step.operation == "rotate":
            plainer.append(replace(step, operation="up"))
        for one in plainer:
            yield replace(sequence, steps=(*steps[:at], one, *steps[at + 1 :]))

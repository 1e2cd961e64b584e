"""A renewal that is killed at any step is finished by the next run, and Lightly works all the while.

Every step is what CI tries (`THOROUGH=1 make test`); otherwise every third, of one moment others than of the other.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lightly_infra.sandbox.environment import Sandbox
from lightly_infra.updates.changes import Operation
from tests.e2e.at_work import Reader, held, verified_by_use
from tests.e2e.crashes import Moment, killed_at_request, killed_at_step
from tests.e2e.renewals import RENEWALS, Renewal
from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.e2e.crashes import Death

MOMENTS: tuple[Moment, ...] = ("before it is done", "before it is noted")
STRIDE = 1 if os.environ.get("THOROUGH") else 3


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(engine="embedded") as running, verified_by_use(running):
        yield running


def converges(
    sandbox: Sandbox, renewal: Renewal, *killings: Callable[[int], AbstractContextManager[Death]]
) -> list[int]:
    """Kills one renewal after the other, later each time, until one is through; and so with each killing.

    Tells at which step or request the last was killed with each.
    """
    deploy(sandbox, renewal.program(0))
    killed, count = [], 0
    with Reader(sandbox, pause=0.5) as reader:
        for number, killing in enumerate(killings):
            at, came = 1 + number % STRIDE - STRIDE, True
            while came:
                at, count = at + STRIDE, count + 1
                before = held(sandbox)
                reader.take()
                with killing(at) as death:
                    failed = sandbox.up(renewal.program(count)).failures
                came = death.came
                assert bool(failed) == came, failed
                reader.work()

                deploy(sandbox, renewal.program(count))
                assert all(one != other for one, other in zip(held(sandbox), before, strict=True))
                again = sandbox.preview(renewal.program(count))
                assert {it.operation for it in again.changes} == {Operation.SAME}, again
            killed.append(at - STRIDE)
        reader.work()
    assert reader.lost == []
    return killed


@pytest.mark.parametrize("name", RENEWALS)
def test_killed_at_any_step_the_next_run_finishes_the_renewal(sandbox: Sandbox, name: str) -> None:
    killings = [partial(killed_at_step, moment=it) for it in MOMENTS]
    before, after = converges(sandbox, RENEWALS[name], *killings)
    assert min(before, after) + STRIDE > 3, "both datasources, and the verification"
    assert abs(before - after) < STRIDE


def test_killed_at_any_request_to_lightly_the_next_run_finishes_the_renewal(sandbox: Sandbox) -> None:
    # Killed before the request is carried out it is in `tests/lightly/test_handover`: here, each costs two processes.
    killing = partial(killed_at_request, sandbox, moment="before it is noted")
    assert converges(sandbox, RENEWALS["azure"], killing) == [10], (
        "each is verified, set, verified and read, and then both"
    )

"""Runs of programs: what they did, or why they are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.updates.changes import Operation

if TYPE_CHECKING:
    from lightly_infra.sandbox.engine.interface import Program, Result
    from lightly_infra.sandbox.environment import Sandbox


def attempt(sandbox: Sandbox, program: Program) -> Result:
    """`up`, or a skip where the cloud's emulator cannot be had on this machine."""
    try:
        return sandbox.up(program)
    except CannotStart as error:
        pytest.skip(str(error))


def deploy(sandbox: Sandbox, program: Program) -> Result:
    """`attempt`, in which nothing may fail."""
    result = attempt(sandbox, program)
    assert not result.failures, result.failures
    return result


def changed(result: Result) -> set[tuple[str, str, str]]:
    """What was done, other than nothing: operation, type's last part, name."""
    assert not result.failures, result.failures
    return {
        (it.operation.value, it.type.rsplit(":", 1)[-1], it.name)
        for it in result.changes
        if it.operation is not Operation.SAME
    }


def kinds_changed(result: Result) -> set[tuple[str, str]]:
    """The same without names."""
    return {(operation, kind) for operation, kind, _ in changed(result)}

"""A stack that was deployed into the sandbox, as `lightly-infra check` looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lightly_infra.leftovers import Known

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.environment import Sandbox
    from lightly_infra.stack import Settings
    from lightly_infra.updates.changes import Change, Failure, OnChange


@dataclass
class Deployed:
    """What was deployed last."""

    name: str
    outputs: Mapping[str, Any]
    settings: Settings
    secrets: Collection[str] = field(repr=False)
    """What no message may repeat."""

    sandbox: Sandbox
    program: Program

    @property
    def known(self) -> Known:
        """What its state knows of what was made."""
        return Known.of(self.sandbox.export()["deployment"].get("resources") or ())

    def drift(self, on_change: OnChange | None = None) -> tuple[tuple[Change, ...], tuple[Failure, ...]]:
        """What `up` would do to each resource if all were read back before, and what fails."""
        result = self.sandbox.drift(self.program, on_change)
        return result.changes, result.failures

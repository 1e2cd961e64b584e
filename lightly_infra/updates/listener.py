"""What the Pulumi CLI reports while it works, in words of our own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pulumi.automation import OpType

from lightly_infra.updates.changes import Change, Failure, OnChange, OnLog, Operation
from lightly_infra.updates.messages import Scrubber, describe, last_message, printed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pulumi.automation import EngineEvent
    from pulumi.automation.events import DiagnosticEvent, StepEventMetadata

_OPERATIONS: Final = {
    OpType.SAME: Operation.SAME,
    OpType.CREATE: Operation.CREATE,
    OpType.UPDATE: Operation.UPDATE,
    OpType.DELETE: Operation.DELETE,
    OpType.READ: Operation.READ,
    OpType.READ_REPLACEMENT: Operation.READ,
    OpType.CREATE_REPLACEMENT: Operation.REPLACE,
    OpType.REMOVE_PENDING_REPLACE: Operation.DELETE,
    OpType.DISCARD: Operation.DELETE,
    OpType.REFRESH: Operation.SAME,
}
_PROGRAMS_ERRORS: Final = "info#err"  # what a program writes on standard error
_SUMMARY: Final = re.compile(r"(preview|update|refresh|destroy) failed|the program failed")
_CHECK: Final = re.compile(r"^\S+ resource '[^']*'(?:: property (\S+) value .*)? has a problem: ", re.DOTALL)
_OWN_PLUGIN: Final = re.compile(r"using pulumi-resource-\S+ from \$PATH")
_PROVIDERS: Final = "pulumi:providers:"
# The first step of a property path, such as `tags.team`, `rules[0]` or `["a.b"].c`.
_FIRST_STEP: Final = re.compile(r'\["((?:\\"|[^"])*)"\]|[^.\[]+')
_COLOR: Final = re.compile(r"<\{%.*?%\}>")


class Listener:
    """Collects changes and failures from the CLI's events."""

    def __init__(self, scrubber: Scrubber, on_change: OnChange | None, on_log: OnLog | None) -> None:
        self.changes: list[Change] = []
        self._failures: list[Failure] = []
        self._scrubber = scrubber
        self._on_change = on_change
        self._on_log = on_log

    def __call__(self, event: EngineEvent) -> None:
        """Takes one event."""
        if event.res_outputs_event is not None:
            self._step(event.res_outputs_event.metadata)
        if event.diagnostic_event is not None:
            self._diagnostic(event.diagnostic_event)

    def program_failed(self, error: Exception) -> None:
        """Takes what the program raised."""
        self._failures.append(Failure("", describe(error)))

    def cli_failed(self, output: str) -> None:
        """Takes what the CLI printed, in case it failed before it could report anything."""
        if not self._failures:
            self._failures.append(Failure("", output))

    def failures(self) -> tuple[Failure, ...]:
        """Everything that failed, each once, secrets hidden."""
        told = [f for f in self._failures if f.urn or not _SUMMARY.fullmatch(f.message)] or self._failures
        scrubbed = [Failure(f.urn, self._scrubber.scrub(f.message)) for f in told]
        return tuple(dict.fromkeys(scrubbed))

    def _step(self, step: StepEventMetadata) -> None:
        state = step.new or step.old
        gone = step.op is OpType.REFRESH and step.new is None
        operation = Operation.DELETE if gone else _OPERATIONS.get(step.op)
        if operation is None or state is None or not state.custom or step.type.startswith(_PROVIDERS):
            return
        if operation is Operation.DELETE and state.retain_on_delete and not gone:
            operation = Operation.KEEP
        keys = step.keys or step.diffs or _top_level(step.detailed_diff or {})
        if operation not in {Operation.UPDATE, Operation.REPLACE}:
            keys = []
        change = Change(step.urn, step.type, step.urn.split("::", 3)[3], operation, tuple(sorted(keys)))
        self.changes.append(change)
        if self._on_change is not None:
            self._on_change(change)

    def _diagnostic(self, event: DiagnosticEvent) -> None:
        message = _COLOR.sub("", event.message).strip()
        if event.severity == "error":
            self._failures.append(Failure(event.urn or "", _plain(message)))
        elif self._failures and event.severity == _PROGRAMS_ERRORS:
            return  # the traceback of a program that the engine has stopped since
        elif self._on_log is not None and event.severity != "debug" and not _OWN_PLUGIN.match(message):
            severity = event.severity.partition("#")[0]
            if severity == "info":
                severity, message = printed(message)
            self._on_log(severity, self._scrubber.scrub(message))


def _plain(message: str) -> str:
    """A provider's own words, without what the engine puts around them."""
    return last_message(_CHECK.sub(lambda found: f"{found[1]}: " if found[1] else "", message))


def _top_level(paths: Iterable[str]) -> list[str]:
    """The top-level properties that property paths begin with."""
    return list({found[1] or found[0] for path in paths if (found := _FIRST_STEP.match(path))})

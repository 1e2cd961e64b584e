"""How a deployed stack is: whether Lightly gets in, what expires when, and what has drifted. Free of Pulumi.

Pure functions judge what others have asked for; `Health` has it all, for machines and for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import epochs, expiry, retention
from lightly_infra.lightly.errors import DatasetUnknown, PermissionsMissing
from lightly_infra.updates.changes import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from lightly_infra.leftovers import Leftover
    from lightly_infra.lightly.errors import LightlyError
    from lightly_infra.retention import RulesUnreadable, Skipped, Strategy
    from lightly_infra.updates.changes import Change, Failure


class State(StrEnum):
    """How something is. The first one that anything is in is the whole stack's."""

    BROKEN = "broken"
    """Lightly cannot work with it."""

    UNKNOWN = "unknown"
    """It could not be asked for."""

    EXPIRING = "expiring"
    """It works, and somebody has to do something before it does not."""

    HEALTHY = "healthy"


EXIT_CODES: Final[Mapping[State, int]] = {State.HEALTHY: 0, State.BROKEN: 1, State.UNKNOWN: 2, State.EXPIRING: 3}
_STYLES: Final[Mapping[State, str]] = {
    State.HEALTHY: "green",
    State.BROKEN: "bold red",
    State.UNKNOWN: "red",
    State.EXPIRING: "yellow",
}
_SAID: Final[Mapping[State, str]] = {
    State.HEALTHY: "is healthy",
    State.BROKEN: "is broken",
    State.UNKNOWN: "could not be asked in whole",
    State.EXPIRING: "needs attention",
}
_MOST_NAMED: Final = 5


class Subject(StrEnum):
    """What was looked at."""

    PERMISSIONS = "permissions"
    CREDENTIAL = "credential"
    INPUTS = "expiring inputs"
    DATA = "data"
    DRIFT = "drift"
    LEFTOVERS = "left behind"


@dataclass(frozen=True)
class Finding:
    """What was found of one subject."""

    subject: Subject
    state: State
    message: str
    dataset: str | None = None
    """Its key in the YAML; None for what is about the whole stack."""

    datasource: str | None = None
    """`input` or `lightly`; None for what is about both."""

    details: Mapping[str, Any] = field(default_factory=dict)
    """The same for machines."""

    def as_json(self) -> dict[str, Any]:
        """The finding for machines."""
        return {
            "subject": str(self.subject),
            "dataset": self.dataset,
            "datasource": self.datasource,
            "state": str(self.state),
            "message": self.message,
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class Health:
    """How a stack is."""

    stack: str
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...] = ()
    """What the program warns of; they are shown, and change no state."""

    failures: tuple[Failure, ...] = ()
    """Why there is nothing to look at."""

    @property
    def state(self) -> State:
        """The worst that was found."""
        if self.failures:
            return State.BROKEN
        # Who may not list a cloud's identities knows all the same whether Lightly works.
        found = {it.state for it in self.findings if (it.subject, it.state) != (Subject.LEFTOVERS, State.UNKNOWN)}
        return next((state for state in State if state in found), State.HEALTHY)

    @property
    def exit_code(self) -> int:
        """What a process ends with that has found this."""
        return EXIT_CODES[self.state]

    def as_json(self) -> dict[str, Any]:
        """The stack for machines."""
        return {
            "state": str(self.state),
            "stack": self.stack,
            "findings": [it.as_json() for it in self.findings],
            "warnings": list(self.warnings),
            "failures": [it.as_json() for it in self.failures],
        }

    def __rich__(self) -> RenderableType:
        """The stack for people."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        title = f"Stack {self.stack}"
        table = Table("Dataset", "Datasource", "What", "State", "", title=title, title_justify="left")
        for it in self.findings:
            state = Text(it.state, style=_STYLES[it.state])
            table.add_row(it.dataset or "", it.datasource or "", it.subject, state, Text(it.message, overflow="fold"))
        warnings = (Text(f"warning: {it}", style="yellow") for it in dict.fromkeys(self.warnings))
        return Group(table, *warnings, Text.assemble("The stack ", (_SAID[self.state], _STYLES[self.state])))


# -- permissions


def permissions(dataset: str, answer: LightlyError | None) -> Finding:
    """What Lightly said when it tried a dataset's datasources: None if it can do all that it must."""
    if answer is None:
        return Finding(Subject.PERMISSIONS, State.HEALTHY, "Lightly can do what it must", dataset)
    known = isinstance(answer, PermissionsMissing | DatasetUnknown)
    state, said = (State.BROKEN if known else State.UNKNOWN), str(answer)
    if isinstance(answer, DatasetUnknown):
        said += " Has it been deleted, or is this another account's token? `pulumi up --refresh` makes it anew"
    return Finding(Subject.PERMISSIONS, state, said, dataset)


def not_verifiable(dataset: str) -> Finding:
    """Of a dataset whose datasources shut Lightly's servers out on purpose."""
    said = "not asked: only some source addresses are let in, and Lightly's servers are not among them"
    return Finding(Subject.PERMISSIONS, State.HEALTHY, said, dataset)


# -- credentials


def credentials(outputs: Mapping[str, Any], *, now: datetime, warn_days: int, rotation: int = 0) -> Iterator[Finding]:
    """Of the stack's output `credentials`, each.

    Args:
        outputs: all of the stack's outputs.
        now: aware of its timezone.
        warn_days: how near an expiry is said.
        rotation: how many renewals the stack's config asks for on top of epochs.
    """
    for dataset, by_purpose in _mapping(outputs.get("credentials")).items():
        for purpose, known in _mapping(by_purpose).items():
            yield credential(dataset, purpose, _mapping(known), now=now, warn_days=warn_days, rotation=rotation)


def credential(
    dataset: str, purpose: str, known: Mapping[str, Any], *, now: datetime, warn_days: int, rotation: int = 0
) -> Finding:
    """Of one: whether it has expired, expires soon, or belongs to an epoch that is over."""
    kind, expires = str(known.get("kind") or "credential"), known.get("expires")
    number, days = known.get("epoch"), known.get("rotate_every_days")
    every = int(days) if days is not None else None
    left = expiry.days_left(expires, now) if expires is not None else None
    state, said = State.HEALTHY, f"the {kind} does not expire by itself, as far as is known"
    if left is not None:
        said = f"the {kind} expires in {_count(left, 'day')}, on {expires}"
    if left is not None and expiry.is_near(left, warn_days, every):
        state = State.BROKEN if left < 0 else State.EXPIRING
        said = expiry.said(kind, str(expires), left, every)
    elif number is not None and every is not None:
        due = epochs.behind(known, now=now, rotation=rotation)
        said += f"; it is of epoch {int(number)}, and renewed every {_count(every, 'day')}"
        if due > 0:
            state, said = State.EXPIRING, f"the {kind} is {_count(due, 'epoch')} old: run `pulumi up`, which renews it"
    elif kind == "role":
        said = "Lightly assumes a role, which does not expire"
    told = ("kind", "created", "expires", "epoch", "rotate_every_days", "signed_with")
    details = {name: known[name] for name in told if known.get(name) is not None}
    if left is not None:
        details["days_left"] = left
    return Finding(Subject.CREDENTIAL, state, said, dataset, purpose, details)


# -- inputs that expire


def inputs(dataset: str, skipped: Skipped | RulesUnreadable | None, *, strategy: Strategy = "SKIP") -> Finding:
    """Which inputs a run would skip: None where no rule deletes any."""
    if skipped is None:
        return Finding(Subject.INPUTS, State.HEALTHY, "no rule deletes inputs", dataset, "input")
    if isinstance(skipped, retention.RulesUnreadable):
        return Finding(Subject.INPUTS, State.UNKNOWN, str(skipped), dataset, "input")
    details = {
        "min_days_to_expiration": skipped.min_days_to_expiration,
        "handling_strategy": strategy,
        "inputs": skipped.inputs,
        "skipped": skipped.skipped,
        "at_most": skipped.at_most,
        "examples": [{"key": key, "expires": epochs.text(at)} for key, at in skipped.examples],
    }
    least = _count(skipped.min_days_to_expiration, "day")
    if not skipped.skipped:
        said = f"all {skipped.inputs} inputs exist for {least} more"
        return Finding(Subject.INPUTS, State.HEALTHY, said, dataset, "input", details)
    which = ", ".join(f"{key} (until {at:%Y-%m-%d %H:%M} UTC)" for key, at in skipped.examples)
    more = skipped.skipped - len(skipped.examples)
    count = f"{'at most ' if skipped.at_most else ''}{skipped.skipped} of {skipped.inputs}"
    said = f"{count} inputs are deleted within {least}: {which}"
    said += f" and {more} more" if more else ""
    stops = strategy == "ABORT"
    said += "; a run that starts now stops" if stops else "; a run that starts now skips them"
    # Some are always near their end where inputs expire; that runs go around them is what was asked for.
    useless = not skipped.at_most and (stops or skipped.skipped == skipped.inputs)
    state = State.BROKEN if useless else State.HEALTHY
    return Finding(Subject.INPUTS, state, said, dataset, "input", details)


# -- what the program warns of


def warned(warnings: Iterable[str], datasets: Iterable[str]) -> tuple[list[Finding], list[str]]:
    """What the program warns of one datasource, such as rules that delete its data, and its other warnings.

    Args:
        warnings: Those of `lightly_infra.stack` begin with a path in the YAML, such as `scenes.input.s3`.
        datasets: Their keys in the YAML.
    """
    findings, others = [], []
    starts = {f"{key}.{it}.": (key, it) for key in datasets for it in ("input", "lightly")}
    for warning in dict.fromkeys(warnings):
        about = next((it for start, it in starts.items() if warning.startswith(start)), None)
        if about is None:
            others.append(warning)
        else:
            findings.append(Finding(Subject.DATA, State.EXPIRING, warning, *about))
    return findings, others


# -- drift


def drift(changes: Iterable[Change], failures: Sequence[Failure] = ()) -> Finding:
    """What `pulumi up --refresh` would change: without it Pulumi takes for granted that all is as it was left.

    What somebody has deleted Lightly may not miss yet, and will: that is broken.
    """
    if failures:
        said = "; ".join(dict.fromkeys(it.message for it in failures))
        return Finding(Subject.DRIFT, State.UNKNOWN, f"`pulumi preview --refresh` failed: {said}")
    changed = [it for it in changes if it.operation not in {Operation.SAME, Operation.READ}]
    changed.sort(key=lambda it: not it.gone)
    details = {
        "changes": [
            {
                "operation": str(it.operation),
                "type": it.type,
                "name": it.name,
                "keys": list(it.keys),
                "gone": it.gone,
            }
            for it in changed
        ]
    }
    if not changed:
        return Finding(Subject.DRIFT, State.HEALTHY, "everything is as declared", details=details)
    named = ", ".join(map(_change, changed[:_MOST_NAMED]))
    more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
    said = f"run `pulumi up --refresh`, which would change {len(changed)}: {named}{more}"
    state = State.BROKEN if any(it.gone for it in changed) else State.EXPIRING
    return Finding(Subject.DRIFT, state, said, details=details)


# -- what is left behind


def leftovers(cloud: str, found: Sequence[Leftover]) -> Iterator[Finding]:
    """What carries the stack's marks on one cloud, and its state does not know."""
    for it in found:
        details = {"cloud": cloud, "kind": it.kind, "name": it.name, "component": it.component}
        if not it.commands:
            said = f"kept: {it.kind} {it.name}, made for {it.component}, stays until somebody deletes it with its data"
            yield Finding(Subject.LEFTOVERS, State.HEALTHY, said, details={**details, "kept": True, "commands": []})
            continue
        commands = "; ".join(f"`{command}`" for command in it.commands)
        said = f"{it.kind} {it.name}, made for {it.component}, is not in the stack's state: remove it with {commands}"
        more = {"kept": False, "commands": list(it.commands)}
        yield Finding(Subject.LEFTOVERS, State.EXPIRING, said, details=details | more)
    if not found:
        yield Finding(Subject.LEFTOVERS, State.HEALTHY, f"nothing on {cloud}", details={"cloud": cloud})


def not_listed(cloud: str, why: str) -> Finding:
    """Of a cloud that cannot be asked."""
    return Finding(Subject.LEFTOVERS, State.UNKNOWN, f"unknown on {cloud}: {why}", details={"cloud": cloud})


def _change(change: Change) -> str:
    keys = f" ({', '.join(change.keys)})" if change.keys else ""
    gone = ", which has been deleted" if change.gone else ""
    return f"{change.operation} {change.type.rsplit(':', 1)[-1]} {change.name}{keys}{gone}"


def _count(number: int, what: str) -> str:
    return f"{number} {what if number == 1 else f'{what}s'}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

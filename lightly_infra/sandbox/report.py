"""What a deployment into the sandbox made and proved, as data and as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lightly_infra.permissions import Operation, Purpose
from lightly_infra.sandbox.probe import INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from lightly_infra.health import Finding
    from lightly_infra.sandbox.engine.interface import Result
    from lightly_infra.sandbox.lightly import LightlyServer
    from lightly_infra.sandbox.probe import Attempt
    from lightly_infra.updates.changes import Failure

_GOOD: Final = "green"
_BAD: Final = "bold red"


@dataclass(frozen=True)
class Datasource:
    """A datasource as Lightly was told of it."""

    purpose: Purpose
    type: str
    path: str


@dataclass(frozen=True)
class Dataset:
    """A dataset, and everything that was tried with its credentials."""

    id: str
    name: str
    type: str
    datasources: tuple[Datasource, ...]
    attempts: tuple[Attempt, ...]
    bypassed: bool
    """Whether the stack says that Lightly's servers are shut out on purpose, so that nothing can be verified."""

    @property
    def verified(self) -> bool:
        """Whether every operation was tried on every datasource, and all that was tried went as it should."""
        tried = all(self.permission(it.purpose, operation) for it in self.datasources for operation in Operation)
        return tried and bool(self.datasources) and all(attempt.holds for attempt in self.attempts)

    @property
    def refused(self) -> Sequence[Attempt]:
        """The attempts that should have been refused."""
        return [attempt for attempt in self.attempts if attempt.expected == "refused"]

    def permission(self, purpose: Purpose, operation: Operation) -> Attempt | None:
        """How `operation` under the datasource's own prefix went."""
        wanted = (purpose, operation, INSIDE)
        return next((it for it in self.attempts if (it.purpose, it.operation, it.target) == wanted), None)

    def as_json(self) -> dict[str, Any]:
        """The dataset for machines."""
        return {
            "name": self.name,
            "id": self.id,
            "type": self.type,
            "datasources": [{"purpose": str(it.purpose), "type": it.type, "path": it.path} for it in self.datasources],
            "permissions": {
                str(it.purpose): {
                    str(operation): attempt.outcome == "allowed"
                    for operation in Operation
                    if (attempt := self.permission(it.purpose, operation)) is not None
                }
                for it in self.datasources
            },
            "refused": [
                {"purpose": str(it.purpose), "operation": str(it.operation), "target": it.target, "held": it.holds}
                for it in self.refused
            ],
            "verified": self.verified,
        }


@dataclass(frozen=True)
class Report:
    """What `sandbox up` tells."""

    engine: str
    resources: Mapping[str, int]
    """How many resources had which operation."""
    datasets: tuple[Dataset, ...]
    failures: tuple[Failure, ...]
    inputs: tuple[Finding, ...] = ()
    """Which inputs a run would skip, where runs have an expected length."""

    @property
    def ok(self) -> bool:
        """Whether there is a dataset, everything was deployed, and everything that was tried went as it should."""
        return not self.failures and bool(self.datasets) and all(it.verified or it.bypassed for it in self.datasets)

    def as_json(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "ok": self.ok,
            "engine": self.engine,
            "resources": dict(self.resources),
            "datasets": [dataset.as_json() for dataset in self.datasets],
            "inputs": [it.as_json() for it in self.inputs],
            "failures": [it.as_json() for it in self.failures],
        }

    def __rich__(self) -> RenderableType:
        """The report for people."""
        tables = [part for dataset in self.datasets for part in _tables(dataset)]
        if self.inputs:
            expiring = _table("Inputs that expire (ages are made up)", "Dataset", "A run that starts now")
            for it in self.inputs:
                expiring.add_row(it.dataset, Text(it.message, overflow="fold"))
            tables.append(expiring)
        return Group(*tables, self._summary())

    def _summary(self) -> Text:
        counts = ", ".join(f"{count} {operation}" for operation, count in sorted(self.resources.items()))
        made = Text(f"Resources: {counts or 'none'} ({self.engine} engine, emulated clouds)\n")
        if self.failures:
            return made + Text("Failed: see the errors above", _BAD)
        if not self.datasets:
            return made + Text("No dataset was registered, so nothing was proved: does the program declare one?", _BAD)
        if not self.ok:
            return made + Text("Some permissions are not what they should be: see the lines in red", _BAD)
        skipped = [it.name for it in self.datasets if it.bypassed]
        if skipped:
            return made + Text(f"Not verified, because only some source addresses are let in: {', '.join(skipped)}")
        return made + Text("All permissions proved: what Lightly needs is allowed, everything else is refused", _GOOD)


def make(engine: str, lightly: LightlyServer, result: Result, inputs: tuple[Finding, ...] = ()) -> Report:
    """The report on the deployment `result`, with the proofs of the emulated Lightly."""
    declared = result.outputs.get("datasets")
    outputs = list(declared.values()) if isinstance(declared, dict) else []
    bypassed = {it.get("id") for it in outputs if isinstance(it, dict) and it.get("verified") is False}
    datasets = tuple(
        Dataset(
            id=dataset.id,
            name=dataset.name,
            type=dataset.type,
            datasources=tuple(
                Datasource(Purpose(purpose), config["type"], config["fullPath"])
                for purpose, config in sorted(dataset.datasources.items())
            ),
            attempts=tuple(sorted(lightly.proof(dataset.id), key=lambda it: it.purpose)),
            bypassed=dataset.id in bypassed,
        )
        for dataset in lightly.datasets.values()
    )
    return Report(engine, result.counts, datasets, result.failures, inputs)


def _tables(dataset: Dataset) -> Iterator[RenderableType]:
    yield Text.assemble("\nDataset ", (dataset.name, "bold cyan"), f" ({dataset.type}), id {dataset.id}")
    for it in dataset.datasources:
        yield Text(f"  {it.purpose:<8} {it.type}  {it.path}", overflow="fold")
    if not dataset.attempts:
        yield Text("  nothing was verified", style="yellow" if dataset.bypassed else _BAD)
        return
    allowed = _table("What Lightly may do, proved by trying", "Datasource", *Operation)
    for it in dataset.datasources:
        cells = [_cell(dataset.permission(it.purpose, operation)) for operation in Operation]
        allowed.add_row(it.purpose, *cells)
    yield allowed
    refused = _table("What must be refused, and was tried", "Datasource", "Tried", "Outcome")
    for attempt in dataset.refused:
        refused.add_row(attempt.purpose, f"{attempt.operation} {attempt.target}", _cell(attempt))
    yield refused


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _cell(attempt: Attempt | None) -> Text:
    if attempt is None:
        return Text("not tried", style=_BAD)
    said = attempt.outcome if attempt.holds else f"{attempt.outcome}, should be {attempt.expected}"
    return Text(said, style=_GOOD if attempt.holds else _BAD)

"""Runs one sequence in a world, and looks after each step whether what must always hold still does.

After the steps comes what every user may expect of whatever has happened: one clean `up` (where a message names a step
to take by hand that step is taken, and nothing else), another that changes nothing, `check`, and one `destroy`.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import stack as shipped
from lightly_infra.sandbox.cloud import CannotSeed
from lightly_infra.sandbox.engine.environment import environment
from lightly_infra.sandbox.engine.interface import Program, Result
from lightly_infra.sandbox.lightly_rules import Dataset
from lightly_infra.spec import SpecError
from lightly_infra.stack.settings import ROTATION_KEY
from lightly_infra.updates.changes import Operation
from tests.stateful import recovery
from tests.stateful.world import STORAGE, Thing, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stateful.faults import Fault
    from tests.stateful.sequences import Sequence, Step
    from tests.stateful.stacks import Stack

THEIR_ID: Final = "a" * 24
_ROUNDS: Final = 6
_TYPES: Final = {"s3": {"S3", "S3DelegatedAccess"}, "gcs": {"GCS"}, "azure": {"AZURE"}, "obs": {"OBS"}}
_SCHEMES: Final = {"s3": "s3://", "gcs": "gs://", "azure": "", "obs": "obs://"}


class Violation(Exception):
    """Something that must always hold does not. `kind` is the same for all of its kind."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


@dataclass
class Outcome:
    """What came of a sequence."""

    violation: str = ""
    kind: str = ""
    """The violation's kind with what varies taken out of its message; the same for failures of one cause."""
    story: list[str] = field(default_factory=list)
    """What was done, for whoever reads about a failure."""
    operations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    """Those that came, by server and kind."""
    clouds: Counter[str] = field(default_factory=Counter)
    by_hand: Counter[str] = field(default_factory=Counter)
    """Steps that a message named, and that were taken."""
    refused: int = 0
    """Edits that were refused and taken back."""
    changes: list[tuple[str, ...]] = field(default_factory=list)
    """What each operation without a fault did, for another engine to agree with."""
    seconds: float = 0.0


def run(world: World, sequence: Sequence) -> Outcome:
    """Runs a sequence from the beginning to its end, or to the first thing that does not hold."""
    outcome = Outcome()
    began = time.monotonic()
    world.reset()
    runner = _Runner(world, sequence, outcome)
    try:
        runner.run()
    except Violation as violation:
        outcome.violation, outcome.kind = str(violation), _signature(violation)
    except Exception as error:  # noqa: BLE001 - whatever is raised is a failure of what is tried, or of this
        outcome.violation = outcome.kind = f"crash: {type(error).__name__}: {error}"[:400]
        import traceback

        outcome.story.append(traceback.format_exc())
    outcome.seconds = time.monotonic() - began
    return outcome


@dataclass(frozen=True)
class _Snapshot:
    things: frozenset[Thing]
    datasets: Mapping[str, str]
    """Each as text, by id."""


class _Runner:
    def __init__(self, world: World, sequence: Sequence, outcome: Outcome) -> None:
        self.world, self.sequence, self.outcome = world, sequence, outcome
        self.stack = sequence.stack()
        self.good: Stack | None = None
        """The file as it was when it was last deployed, or accepted."""
        self.rotation = 0
        self.settled = False
        """Whether the last `up` succeeded, and nothing has been changed since."""
        self.result: Result | None = None
        self.theirs: set[Thing] = set()
        self.their_datasets: set[str] = set()
        self.declared_ids: dict[str, str] = {}
        """Datasets of the last `up` that succeeded: the id by the key in the YAML."""
        self.deletable: set[str] = set()
        """Datasets that a file said may be deleted since then."""
        self._now: _Snapshot | None = None
        """What there is, as long as nobody has done anything."""
        self._seeded: Stack | None = None
        """The file that the user has done their part for."""

    # -- the sequence

    def run(self) -> None:
        self.theirs |= self._snapshot().things
        if self.sequence.taken:
            name = next(iter(self.stack.declared().items()))
            kept = Dataset(THEIR_ID, name[1].get("name", name[0]), "Images", 1, 1, n_samples=9)
            self.world.sandbox.lightly.datasets[THEIR_ID] = kept
            self.their_datasets.add(THEIR_ID)
            self._now = None
        for step in self.sequence.steps:
            before = self.stack
            for edit in step.edits:
                self.stack = self.stack.with_edit(edit)
            if self.stack != before:
                self.settled = False
            fault = self._resolved(step.fault)
            self._tell(step, fault)
            getattr(self, f"_{step.operation}")(fault)
            self.outcome.operations[step.operation] += 1
        self._end()

    def _end(self) -> None:
        self._story("-- the end: up, up, check, destroy")
        self.converge()
        if self.good is None:
            return  # nothing of it was ever accepted
        for cloud in self.stack.clouds():
            self.outcome.clouds[cloud] += 1
        requests = len(self.world.sandbox.lightly.requests)
        again = self._operate("up")
        changed = [f"{it.operation} {it.type} {it.name}" for it in again.changes if it.operation is not Operation.SAME]
        if again.failures or changed:
            raise Violation("an unchanged up changes something", f"{changed} {_messages(again)}")
        if made := self.world.sandbox.lightly.requests[requests:]:
            raise Violation("an unchanged up asks Lightly", str(made))
        self._declared(again)
        self._check(None)
        self._destroy(None)
        self._left()

    # -- operations

    def _up(self, fault: Fault | None) -> None:
        if fault is None:
            self.converge()
        else:
            self._deploy(fault)

    def _rotate(self, fault: Fault | None) -> None:
        self.rotation += self.settled  # a renewal that is outstanding is finished first, as `rotate` does
        self.settled = False
        self._up(fault)

    def _preview(self, fault: Fault | None) -> None:
        before = self._snapshot_after_seed()
        self._operate("preview", fault)
        self._same_as(before, "a preview changes something")

    def _refresh(self, fault: Fault | None) -> None:
        before = self._snapshot_after_seed()
        self._operate("refresh", fault)
        self._same_as(before, "a refresh changes something")
        self.settled = False

    def _check(self, fault: Fault | None) -> None:  # noqa: ARG002 - asked without faults
        if self.result is None:
            return
        code, told = self._examine()
        if self.settled and code not in {0, 3}:
            raise Violation("check finds fault with what was just deployed", told[-800:])

    def _work(self, fault: Fault | None) -> None:  # noqa: ARG002
        for dataset in self.world.sandbox.lightly.datasets.values():
            dataset.n_samples = 5
            for it in dataset.datasources.values():
                self.world.use(it)
        self._now = None

    def _destroy(self, fault: Fault | None) -> None:
        self.settled = False
        result = self._operate("destroy", fault)
        if fault is not None and result.failures:
            return
        for _ in range(_ROUNDS):
            if not result.failures:
                self._destroyed()
                return
            by_hand = recovery.step(result, self.stack, self.their_datasets)
            if by_hand is None and _ == 2:
                break
            if by_hand is not None:
                self._by_hand(by_hand)
            result = self._operate("destroy")
        raise Violation("destroy does not come to an end", _messages(result))

    def converge(self) -> None:
        """`up` without a fault, until it succeeds; as somebody would who does what messages say."""
        plain = 0
        for _ in range(_ROUNDS):
            before = self._snapshot_after_seed()
            result = self._deploy(None)
            if not result.failures:
                return
            by_hand = recovery.step(result, self.stack, self.their_datasets)
            if by_hand is not None and self.outcome.by_hand[f"{by_hand.name}"] < _ROUNDS:
                self._by_hand(by_hand)
                continue
            preview = self._operate("preview")
            if preview.failures:
                # Known before anything is touched: its author takes it back.
                self._same_as(before, "something is changed by an up that preview refuses", _messages(result))
                if self.good is None or self.stack == self.good:
                    if self.good is None:
                        return
                    raise Violation("what was deployed is refused", _messages(preview))
                self.outcome.refused += 1
                self._story(f"   taken back: {_messages(preview)[:200]}")
                self.stack = self.good
                continue
            plain += 1
            if plain == 2:
                raise Violation("up does not converge", _messages(result))
        raise Violation("up does not converge", "too many rounds")

    def _deploy(self, fault: Fault | None) -> Result:
        for key, said in self.stack.declared().items():
            if said.get("on_destroy") == "delete" and key in self.declared_ids:
                self.deletable.add(self.declared_ids[key])
        result = self._operate("up", fault)
        if not result.failures:
            self.result, self.good, self.settled = result, self.stack, True
            self._declared(result)
            self._undeclared(result)
            ids = {key: str(it["id"]) for key, it in result.outputs["datasets"].items()}
            self.declared_ids = ids
            deletes = {key for key, it in self.stack.declared().items() if it.get("on_destroy") == "delete"}
            self.deletable = {ids[it] for it in deletes if it in ids}
        return result

    def _operate(self, name: str, fault: Fault | None = None) -> Result:
        """One operation of the engine, and what must hold after any."""
        program = self._program()
        before = self._snapshot_after_seed()
        engine = self.world.sandbox.engine
        out = io.StringIO()
        with self.world.faults(fault), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            result: Result = getattr(engine, name)(program)
        if fault is not None and self.world.came:
            self.outcome.faults[f"{fault.at}: {fault.kind}"] += 1
            self._story(f"   the fault came ({self.world.came}x)")
        self._story(f"   {name}: {result.counts} {_messages(result)[:500]}")
        self._now = None
        if fault is None:
            self.outcome.changes.append((name, *sorted(f"{it.operation} {it.type} {it.name}" for it in result.changes)))
        self._nothing_lost(before, name)
        self._no_secret(result, out.getvalue())
        return result

    # -- what must hold

    def _nothing_lost(self, before: _Snapshot, name: str) -> None:
        now = self._snapshot()
        lost = sorted(
            it
            for it in before.things - now.things
            if (it[1] in STORAGE and not it[-1].endswith("/")) or it in self.theirs
        )
        if lost:
            raise Violation("something that holds data, or is not ours, is gone", f"{name}: {lost}")
        gone = set(before.datasets) - set(now.datasets)
        if taken := gone & self.their_datasets:
            raise Violation("somebody else's dataset is gone", f"{name}: {taken}")
        if kept := gone - self.deletable - self._ours_to_take_back(gone):
            raise Violation("a dataset is gone that was to be kept", f"{name}: {sorted(kept)}")
        if name != "destroy":
            still = {self.declared_ids.get(key) for key in self.stack.declared()} & gone
            if still and not self._has_successor(still, now):
                raise Violation("a dataset is gone that the YAML still names", f"{name}: {sorted(map(str, still))}")

    def _ours_to_take_back(self, gone: set[str]) -> set[str]:
        """What is declared to be deleted and was made since the last `up` that succeeded."""
        deletes = any(it.get("on_destroy") == "delete" for it in self.stack.declared().values())
        return gone - set(self.declared_ids.values()) - self.their_datasets if deletes else set()

    def _has_successor(self, gone: set[Any], now: _Snapshot) -> bool:
        """Whether what replaces the datasets is there: each key's has another name or type."""
        names = {it.name for it in self.world.sandbox.lightly.datasets.values()}
        keys = [key for key, it in self.declared_ids.items() if it in gone]
        return bool(now) and all(self.stack.declared()[it].get("name", it) in names for it in keys)

    def _declared(self, result: Result) -> None:
        """What Lightly holds is what the file says, and it works."""
        datasets = self.world.sandbox.lightly.datasets
        told = result.outputs.get("datasets") or {}
        for key, said in self.stack.declared().items():
            dataset = datasets.get(str((told.get(key) or {}).get("id")))
            if dataset is None:
                raise Violation("a declared dataset is not at Lightly", key)
            if "id" not in said and dataset.name != said.get("name", key):
                raise Violation("a dataset is called something else", f"{dataset.name!r}, declared {key!r} {said}")
            if dataset.type != said["type"]:
                raise Violation("a dataset is of another type", f"{key}: {dataset.type}")
            if set(dataset.datasources) != {"INPUT", "LIGHTLY"}:
                raise Violation("datasources are missing at Lightly", f"{key}: {sorted(dataset.datasources)}")
            for part in ("input", "lightly"):
                ((cloud, source),) = said[part].items()
                self._points_there(f"{key}.{part}", cloud, source, dataset.datasources[part.upper()])

    def _points_there(self, where: str, cloud: str, source: Mapping[str, Any], held: Mapping[str, str]) -> None:
        if held["type"] not in _TYPES[cloud]:
            raise Violation("a datasource is of another type", f"{where}: {held['type']}")
        named = source.get("container" if cloud == "azure" else "bucket")
        bucket = re.escape(named) if named else r"[^/]+"
        path = re.escape(_SCHEMES[cloud]) + bucket + "/?" + re.escape(source["prefix"]).removesuffix("/") + "/?"
        if not re.fullmatch(path, held["fullPath"]):
            raise Violation("a datasource points elsewhere", f"{where}: {held['fullPath']}, declared {source}")
        self._now = None
        if why := self.world.use(held):
            raise Violation("what Lightly holds does not work", f"{where}: {held['fullPath']}: {why}")

    def _undeclared(self, result: Result) -> None:
        """What the file no longer declares, and said to delete, is gone."""
        datasets = self.world.sandbox.lightly.datasets
        ids = {it["id"] for it in result.outputs["datasets"].values()}
        left = {it for key, it in self.declared_ids.items() if it in self._surely_deletable} - ids - self.their_datasets
        if still := left & set(datasets):
            raise Violation("a dataset is left that was to be deleted", str(sorted(still)))

    @property
    def _surely_deletable(self) -> set[str]:
        if self.good is None:
            return set()
        said = {
            key: it.get("on_destroy") == "delete" and not it.get("adopt") for key, it in self.good.declared().items()
        }
        return {it for key, it in self.declared_ids.items() if said.get(key)}

    def _destroyed(self) -> None:
        if self.good is not None and self.declared_ids:
            still = self._surely_deletable & set(self.world.sandbox.lightly.datasets) - self.their_datasets
            if still and self.good == self.stack:
                raise Violation("destroy leaves a dataset that was to be deleted", str(sorted(still)))
        self.result, self.declared_ids, self.deletable = None, {}, set()

    def _left(self) -> None:
        """Nothing lets anybody in any more but what is theirs."""
        left = {it for it in self.world.inventory() - self.theirs if it[1] not in STORAGE}
        if left := {it for it in left if not recovery.is_listed(it, self.listed)}:
            kinds = sorted({f"{it[0]} {it[1]}" for it in left})
            raise Violation("something is left after destroy", f"{', '.join(kinds)}: {sorted(left)[:6]}")

    def _no_secret(self, result: Result, printed: str) -> None:
        texts = {
            "the log": self.world.hear(),
            "what is printed": printed,
            "the state": json.dumps(self.world.sandbox.engine.export()),
            "the result": f"{result!r} {[it.message for it in result.failures]}",
        }
        for place, text in texts.items():
            self._holds_none(place, text)

    def _holds_none(self, place: str, text: str) -> None:
        for secret in self.world.secrets() | _GIVEN:
            if secret in text:
                at = text.index(secret)
                around = text[max(0, at - 200) : at] + "<HERE>" + text[at + len(secret) : at + len(secret) + 100]
                raise Violation("a secret is readable", f"{place}: {around}")

    # -- helpers

    listed: str = ""
    """What the last `check` told."""

    def _examine(self) -> tuple[int, str]:
        """`lightly-infra check --json`: how it ends, and what it tells."""
        import typer

        from lightly_infra.cli import check
        from lightly_infra.cli.telling import told

        out, err = io.StringIO(), io.StringIO()
        program, result = self._program(), self.result
        assert result is not None
        code = 0
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            environment(self.world.sandbox.environment),
        ):
            try:
                with told(as_json=True, refusal=check.REFUSAL) as tell:
                    deployed = self.world.sandbox.deployed(program, result)
                    log = check.Log(tell)
                    check.end(check.examine(deployed, log, drift=True, run_days=None, tell=tell), tell)
            except typer.Exit as end:
                code = end.exit_code
        self.listed = out.getvalue() + err.getvalue()
        self._holds_none("what check prints", self.listed)
        self._story(f"   check: {code}")
        return code, self.listed

    def _by_hand(self, step: recovery.ByHand) -> None:
        self._story(f"   by hand: {step.name}")
        self.outcome.by_hand[step.name] += 1
        self.stack = step.take(self.stack, self.world)
        self._now = None

    def _program(self) -> Program:
        config = {
            "aws:region": "eu-central-1",
            shipped.DATASETS_KEY: json.dumps(self.stack.declared()),
            **({ROTATION_KEY: str(self.rotation)} if self.rotation else {}),
        }
        return Program(shipped.main, "lightly-infra", "test", config, frozenset({shipped.DATASETS_KEY}))

    def _snapshot(self) -> _Snapshot:
        if self._now is None:
            datasets = self.world.sandbox.lightly.datasets
            self._now = _Snapshot(
                self.world.inventory(),
                {it.id: f"{it.name} {it.type} {it.n_samples} {it.datasources}" for it in datasets.values()},
            )
        return self._now

    def _snapshot_after_seed(self) -> _Snapshot:
        """What there is once the user has done what the stack file takes as given."""
        if self.stack != self._seeded:
            before = self._snapshot()
            with contextlib.suppress(SpecError, CannotSeed):
                self.world.seed(self._program())
            self._now = None
            self.theirs |= self._snapshot().things - before.things
            self._seeded = self.stack
        return self._snapshot()

    def _same_as(self, before: _Snapshot, kind: str, why: str = "") -> None:
        now = self._snapshot()
        different = sorted(before.things ^ now.things)[:5]
        if different or before.datasets != now.datasets:
            datasets = "" if before.datasets == now.datasets else f" {sorted(set(before.datasets) ^ set(now.datasets))}"
            raise Violation(kind, f"{different}{datasets} {why}")

    def _resolved(self, fault: Fault | None) -> Fault | None:
        """A fault names clouds by their number."""
        if fault is not None and fault.kind == "ignored" and self.stack.clouds() & {"gcs", "azure"}:
            # Nothing of their credentials is visible: what ADR 23 says that it costs.
            fault = replace(fault, kind="login page")
        if fault is None or not fault.at.startswith("cloud"):
            return fault
        clouds = sorted(self.stack.clouds())
        return replace(fault, at=clouds[int(fault.at.removeprefix("cloud")) % len(clouds)])

    def _tell(self, step: Step, fault: Fault | None) -> None:
        what = step.operation + (f", {fault}" if fault else "")
        self._story(what + "".join(f"; {it.slot}.{it.part}.{it.what}={it.choice}" for it in step.edits))

    def _story(self, line: str) -> None:
        self.outcome.story.append(line)


_GIVEN: Final = frozenset(
    {"canary-external-id-9d41", "canary-secret-of-the-obs-user", "canary-secret-of-the-other-user"}
)
"""Secrets that stack files hold."""


def _messages(result: Result) -> str:
    return " | ".join(f"{it.urn.rpartition('::')[2]}: {it.message}" for it in result.failures)


def _signature(violation: Violation) -> str:
    """The violation without what is another each time."""
    text = str(violation)[:300]
    text = re.sub(r"[0-9a-f]{7,}|\d+", "#", text)
    return re.sub(r"street-scenes|streets|night-drives|nights|renamed-[ab]|named-[ab]|-[ab]\b|\b[ab]/", "~", text)


__all__ = ["Outcome", "Violation", "run"]

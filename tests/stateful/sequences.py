"""A sequence: a stack file, and steps, each of which edits it, or does something with it, or goes wrong.

It is plain data, so that it can be written into a file, run again and made smaller. That is why there is no
`RuleBasedStateMachine` here: its steps exist only while it runs, it shrinks by rerunning whole searches, and a failure
replays by way of Hypothesis' own database.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from tests.stateful import faults
from tests.stateful.faults import Fault
from tests.stateful.stacks import CLOUDS, DATASET, SOURCE, Edit, Stack

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Sequence as Several
    from pathlib import Path

OPERATIONS: Final = ("up", "preview", "refresh", "rotate", "check", "destroy", "work")
"""`work`: Lightly is used, so that there is data in its datasets and buckets."""


@dataclass(frozen=True)
class Step:
    """One step."""

    operation: str
    edits: tuple[Edit, ...] = ()
    """Done before."""
    fault: Fault | None = None


@dataclass(frozen=True)
class Sequence:
    """A sequence."""

    clouds: tuple[int, int]
    """Of the first dataset's Input and Lightly datasource, as indices."""
    edits: tuple[Edit, ...] = ()
    """Of the file before it is used."""
    taken: bool = False
    """Whether somebody else has a dataset of the first one's name, with samples."""
    steps: tuple[Step, ...] = field(default=())

    def stack(self) -> Stack:
        """The file that it begins with."""
        source, target = self.clouds
        stack = Stack({"a": {"dataset": {}, "input": {"cloud": source}, "lightly": {"cloud": target}}})
        for edit in self.edits:
            stack = stack.with_edit(edit)
        return stack

    def as_json(self) -> dict[str, Any]:
        """As it stands in a file."""
        return asdict(self)

    @classmethod
    def of_json(cls, document: dict[str, Any]) -> Sequence:
        """Read back."""
        steps = tuple(
            Step(it["operation"], _edits(it["edits"]), Fault(**it["fault"]) if it["fault"] else None)
            for it in document["steps"]
        )
        source, target = document["clouds"]
        return cls((source, target), _edits(document["edits"]), document["taken"], steps)

    @classmethod
    def of_file(cls, file: Path) -> Sequence:
        """Read from a file that a failure was written to."""
        return cls.of_json(json.loads(file.read_text(encoding="utf-8"))["sequence"])


def _edits(documents: Several[dict[str, Any]]) -> tuple[Edit, ...]:
    return tuple(Edit(**it) for it in documents)


def _edit_strategy(clouds: Collection[str]) -> st.SearchStrategy[Edit]:
    slots = st.sampled_from(("a", "a", "b"))
    indices = [CLOUDS.index(it) for it in clouds]

    def of_source(what: str) -> st.SearchStrategy[Edit]:
        choices = st.sampled_from(indices) if what == "cloud" else st.integers(0, SOURCE[what] - 1)
        return st.builds(Edit, slots, st.sampled_from(("input", "lightly")), st.just(what), choices)

    def of_dataset(what: str) -> st.SearchStrategy[Edit]:
        return st.builds(Edit, slots, st.just("dataset"), st.just(what), st.integers(0, len(DATASET[what]) - 1))

    there = st.builds(Edit, st.sampled_from(("a", "b")), st.just("dataset"), st.just("there"), st.just(0))
    return st.one_of(*(of_source(it) for it in SOURCE), *(of_dataset(it) for it in DATASET), there)


def sequences(
    *, clouds: Collection[str] = CLOUDS, kinds: Collection[faults.Kind] | None = None
) -> st.SearchStrategy[Sequence]:
    """Sequences on these clouds, with these faults (default: all)."""
    known = (*faults.AT_LIGHTLY, *faults.KILLS)
    kinds = known if kinds is None else kinds
    edit = _edit_strategy(clouds)
    indices = st.sampled_from([CLOUDS.index(it) for it in clouds])

    @st.composite
    def fault(draw: st.DrawFn) -> Fault:
        at = draw(st.sampled_from(("lightly", "cloud0", "cloud1")))
        everywhere = (*faults.ANYWHERE, *faults.KILLS)
        kind = draw(st.sampled_from([it for it in kinds if at == "lightly" or it in everywhere]))
        writes = draw(st.booleans())
        call = draw(st.integers(1, 6 if at == "lightly" or writes else 16))
        lasts = kind not in faults.KILLS and draw(st.booleans())
        return Fault(at, call, kind, lasts, writes)

    @st.composite
    def step(draw: st.DrawFn) -> Step:
        operation = draw(st.sampled_from((*OPERATIONS, "up", "up", "up", "up", "rotate", "destroy")))
        harmed = bool(kinds) and operation not in {"work", "check"} and draw(st.booleans())
        edited = operation in {"up", "preview", "rotate"}
        # A fault comes where there is something to do.
        edits = draw(st.lists(edit, min_size=int(harmed and operation == "up"), max_size=2)) if edited else []
        return Step(operation, tuple(edits), draw(fault()) if harmed else None)

    first = st.builds(Step, st.just("up"), st.just(()), st.none() | fault() if kinds else st.none())

    return st.builds(
        Sequence,
        st.tuples(indices, indices),
        st.lists(edit, max_size=4).map(tuple),
        st.sampled_from((False, False, False, True)),
        st.tuples(first, st.lists(step(), min_size=2, max_size=6)).map(lambda it: (it[0], *it[1])),
    )

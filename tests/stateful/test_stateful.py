"""A few random sequences, always the same; many are run by `python -m tests.stateful`."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.stateful.faults import Fault
from tests.stateful.many import failure, many
from tests.stateful.run import run
from tests.stateful.sequences import Sequence, Step, sequences
from tests.stateful.shrink import shrunk
from tests.stateful.stacks import Edit
from tests.stateful.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stateful.run import Outcome

SEED = int(os.environ.get("STATEFUL_SEED", "1"))
COUNT = int(os.environ.get("STATEFUL_SEQUENCES", "2"))

pytestmark = pytest.mark.filterwarnings("ignore:The recursion limit:hypothesis.errors.HypothesisWarning")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as started:
        yield started


def test_what_must_always_hold_holds_after_random_sequences(world: World, tmp_path: Path) -> None:
    sys.stdout.write(f"seed {SEED}\n")

    def each(sequence: Sequence, outcome: Outcome) -> None:
        if outcome.violation:
            smaller, again = shrunk(world, sequence, outcome, seconds=60)
            file = tmp_path / "failure.json"
            file.write_text(json.dumps(failure(smaller, again), indent=2), encoding="utf-8")
            story = "\n".join(again.story)
            pytest.fail(f"{again.violation}\n{story}\nseed {SEED}; python -m tests.stateful --replay {file}")

    many(world, COUNT, SEED, each)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(sequences())
def test_a_sequence_is_read_back_from_its_file(sequence: Sequence) -> None:
    assert Sequence.of_json(json.loads(json.dumps(sequence.as_json()))) == sequence


def test_what_does_not_hold_is_found_and_made_smaller(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (Step("up"), Step("preview"), Step("up", (Edit("a", "input", "prefix", 1),)))
    sequence = Sequence((0, 0), (Edit("a", "dataset", "name", 1),), steps=steps)
    monkeypatch.setattr(world, "use", lambda held: "refused" if "night" in held["fullPath"] else "")

    outcome = run(world, sequence)
    smaller, again = shrunk(world, sequence, outcome, seconds=math.inf)

    assert outcome.violation.startswith("up does not converge: street-scenes: Lightly "), outcome.story
    assert again.violation.partition(":")[0] == outcome.violation.partition(":")[0]
    assert smaller == replace(sequence, edits=(), steps=steps[2:])


def test_a_fault_comes_where_it_was_to_come(world: World) -> None:
    for at, server in (("lightly", "lightly"), ("cloud0", "s3")):
        for kind in ("lost", "killed after"):
            fault = Fault(at, 2, kind, writes=True)

            outcome = run(world, Sequence((0, 0), steps=(Step("up", fault=fault),)))

            assert outcome.faults == {f"{server}: {kind}": 1}, outcome.story


@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the Pulumi CLI is not on PATH")
def test_both_engines_do_the_same() -> None:
    steps = (Step("up"), Step("rotate", (Edit("a", "lightly", "access", 2),)), Step("refresh"), Step("destroy"))
    sequence = Sequence((0, 1), steps=steps)
    outcomes = []
    for engine in ("embedded", "pulumi"):
        with World(engine) as world:
            outcomes.append(run(world, sequence))

    embedded, pulumi = outcomes
    assert (embedded.violation, pulumi.violation) == ("", ""), [it.story for it in outcomes]
    assert embedded.changes == pulumi.changes

"""Many sequences, and what came of them: what `python -m tests.stateful` does. See the package's docstring."""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import HypothesisWarning

from tests.stateful.run import Outcome, run
from tests.stateful.sequences import Sequence, sequences
from tests.stateful.shrink import shrunk
from tests.stateful.stacks import CLOUDS
from tests.stateful.world import World

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Totals:
    """What came of many sequences."""

    sequences: int = 0
    seconds: float = 0.0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The first of each kind, as it stands in its file, and how often there was one."""

    def add(self, sequence: Sequence, outcome: Outcome) -> None:
        """Counts a sequence."""
        self.sequences += 1
        self.seconds += outcome.seconds
        for name in ("operations", "faults", "clouds", "by_hand"):
            self.counts.setdefault(name, Counter()).update(getattr(outcome, name))
        self.counts.setdefault("edits", Counter())["refused"] += outcome.refused
        if outcome.violation:
            found = self.failures.setdefault(outcome.kind, failure(sequence, outcome))
            found["times"] += 1

    def merge(self, other: Totals) -> None:
        """Adds what another process has counted."""
        self.sequences += other.sequences
        self.seconds += other.seconds
        for name, counts in other.counts.items():
            self.counts.setdefault(name, Counter()).update(counts)
        for kind, found in other.failures.items():
            times = self.failures.get(kind, {}).get("times", 0)
            self.failures.setdefault(kind, found)["times"] = times + found["times"]


def failure(sequence: Sequence, outcome: Outcome) -> dict[str, Any]:
    """What is written into a failure's file."""
    return {
        "violation": outcome.violation,
        "kind": outcome.kind,
        "times": 0,
        "story": outcome.story,
        "stack": sequence.stack().declared(),
        "sequence": sequence.as_json(),
    }


def many(
    world: World, count: int, number: int, each: Callable[[Sequence, Outcome], None], clouds: tuple[str, ...] = CLOUDS
) -> None:
    """Runs so many sequences, the same for the same seed."""

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(sequences(clouds=clouds))
    def test(sequence: Sequence) -> None:
        each(sequence, run(world, sequence))

    test()


def _job(arguments: tuple[argparse.Namespace, int, int]) -> Totals:
    options, count, number = arguments
    logging.getLogger().setLevel(logging.INFO)
    warnings.simplefilter("ignore", HypothesisWarning)  # celpy raises the recursion limit
    totals, began, told = Totals(), time.monotonic(), 0.0
    with World(options.engine) as world:

        def each(sequence: Sequence, outcome: Outcome) -> None:
            nonlocal told
            is_new = bool(outcome.violation) and outcome.kind not in totals.failures
            totals.add(sequence, outcome)
            if is_new and options.shrink:
                smaller, again = shrunk(world, sequence, outcome, seconds=options.shrink)
                totals.failures[outcome.kind] = failure(smaller, again) | {"times": 1}
            if is_new:
                found = totals.failures[outcome.kind]
                file = Path(options.failures) / f"{number}-{totals.sequences}.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(found, indent=2), encoding="utf-8")
                _note(f"{file}: {found['violation'][:300]}")
            if time.monotonic() - told > 20:
                told = time.monotonic()
                failed = sum(it["times"] for it in totals.failures.values())
                _note(f"seed {number}: {totals.sequences} of {count}, {failed} failed, {told - began:.0f} s")

        many(world, count, number, each, tuple(options.clouds))
    return totals


def _replay(options: argparse.Namespace) -> int:
    sequence = Sequence.of_file(Path(options.replay))
    with World(options.engine) as world:
        outcome = run(world, sequence)
    _tell(json.dumps(failure(sequence, outcome), indent=2) if options.json else "\n".join(outcome.story))
    _note(outcome.violation or "everything holds")
    return bool(outcome.violation)


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _table(totals: Totals, seconds: float) -> str:
    failed = sum(it["times"] for it in totals.failures.values())
    lines = [f"{totals.sequences} sequences in {seconds:.0f} s, {failed} failed in {len(totals.failures)} ways"]
    for name, counts in totals.counts.items():
        lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in sorted(counts.items())))
    ordered = sorted(totals.failures.values(), key=lambda it: -it["times"])
    lines += [f"{it['times']:5} x {it['violation'][:260]}" for it in ordered]
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.stateful", description=__doc__)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    parser.add_argument("--engine", choices=("embedded", "pulumi"), default="embedded")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--clouds", nargs="+", choices=CLOUDS, default=list(CLOUDS))
    parser.add_argument("--shrink", type=float, default=30.0, help="seconds for each new kind of failure; 0 for none")
    parser.add_argument("--failures", default="failures", help="the directory that their files are written to")
    parser.add_argument("--replay", metavar="FILE", help="run the sequence of a failure's file again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.replay:
        return _replay(options)
    _note(f"seed {options.seed}, engine {options.engine}")
    began, share = time.monotonic(), -(-options.sequences // options.jobs)
    work = [(options, share, options.seed + it) for it in range(options.jobs)]
    totals = Totals()
    if options.jobs == 1:
        totals = _job(work[0])
    else:
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            for each in pool.imap_unordered(_job, work):
                totals.merge(each)
    seconds = time.monotonic() - began
    if options.json:
        counts = {name: dict(it) for name, it in totals.counts.items()}
        document = {"seed": options.seed, "engine": options.engine, "sequences": totals.sequences, "seconds": seconds}
        _tell(json.dumps(document | {"counts": counts, "failures": list(totals.failures.values())}, indent=2))
    else:
        _tell(_table(totals, seconds))
    return bool(totals.failures)

"""Drift: what an update would change once everything was read back, on both engines, without noting anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.engine_fixtures import Note, Thing
from tests.sandbox.engine_harness import Bench, bench, by_name, on_both_engines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = on_both_engines()


@pytest.fixture
def both(engine_name: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(engine_name, tmp_path) as made:
        yield made


def program() -> None:
    Thing("same", size=1)
    Thing("drifted", size=1)
    Thing("gone", size=1)
    Note("note", size=1)


def change_by_hand(both: Bench) -> None:
    for name in ("drifted", "note"):
        both.cloud.put(both.cloud.id_of(name), both.cloud.named(name) | {"size": 5})
    both.cloud.remove(both.cloud.id_of("gone"))


def test_nothing_changed_is_no_drift(both: Bench) -> None:
    both.up(program)

    assert by_name(both.drift(program)) == dict.fromkeys(("same", "drifted", "gone", "note"), "same")


def test_what_somebody_changed_would_be_changed_back_and_what_is_gone_made_anew(both: Bench) -> None:
    both.up(program)
    change_by_hand(both)

    found = both.drift(program)

    assert not found.failed
    assert by_name(found) == {"same": "same", "drifted": "update", "note": "update", "gone": "create"}
    assert {it.name: it.keys for it in found.changes if it.operation == "update"} == {
        "drifted": ("size",),
        "note": ("size",),
    }


def test_it_changes_and_notes_nothing(both: Bench) -> None:
    both.up(program)
    change_by_hand(both)
    state, things = json.dumps(both.engine.export(), sort_keys=True), both.cloud.things

    first, second = both.drift(program), both.drift(program)

    assert by_name(first) == by_name(second)
    assert both.cloud.things == things
    assert json.dumps(both.engine.export(), sort_keys=True) == state


def test_what_the_program_wants_anew_counts_too(both: Bench) -> None:
    both.up(lambda: (Thing("old", size=1), Thing("both", size=1)))

    found = both.drift(lambda: (Thing("both", size=2), Thing("new", size=1)))

    assert by_name(found) == {"old": "delete", "both": "update", "new": "create"}


def test_what_is_gone_and_no_longer_wanted_is_said(both: Bench) -> None:
    both.up(lambda: Thing("old", size=1))
    both.cloud.remove(both.cloud.id_of("old"))

    assert by_name(both.drift(lambda: None)) == {"old": "delete"}


def test_a_program_that_fails_is_said(both: Bench) -> None:
    both.up(program)

    def broken() -> None:
        raise ValueError("my own mistake")

    assert "my own mistake" in both.drift(broken).failures[0].message

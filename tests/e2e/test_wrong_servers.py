"""End to end: a Lightly that says that it did what it did not do. Nothing that it still holds is taken away.

On the embedded engine in one process: what is tried here is ours, and the same on any engine.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.stack.settings import ROTATION_KEY
from lightly_infra.updates.changes import Operation
from tests.stateful.faults import Fault
from tests.stateful.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.engine.interface import Program, Result
    from tests.stateful.faults import Kind

    Make = Callable[..., Program]

OTHER = "ab" * 12


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    with World() as started:
        started.sandbox.cloud("s3")
        yield started


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    shared_world.reset()
    yield shared_world
    shared_world.sandbox.engine.close()


def scenes(access: Any = "delegated", **more: Any) -> dict[str, Any]:
    source = {"bucket": "acme-raw", "prefix": "raw/", "access": access}
    target = {"create": True, "prefix": "lightly/", "access": access}
    return {"scenes": {"verify_deadline": 5, "input": {"s3": source}, "lightly": {"s3": target}, **more}}


def up(world: World, program: Program, kind: Kind | None = None, *, writes: bool = True) -> Result:
    """`up`, with each such call to Lightly answered wrongly."""
    world.seed(program)
    with world.faults(Fault("lightly", 1, kind, lasts=True, writes=writes) if kind else None):
        return world.sandbox.engine.up(program)


def works(world: World) -> bool:
    """Whether Lightly gets in with everything that it holds."""
    datasources = [it for dataset in world.sandbox.lightly.datasets.values() for it in dataset.datasources.values()]
    return bool(datasources) and not [why for it in datasources if (why := world.use(it))]


def settled(world: World, program: Program) -> None:
    """The next `up` repairs everything, and the one after it has nothing to do."""
    assert not (repaired := up(world, program)).failures, repaired.failures
    (dataset,) = (it for it in world.sandbox.lightly.datasets.values() if it.id != OTHER)
    assert set(dataset.datasources) == {"INPUT", "LIGHTLY"}
    assert works(world)
    again = up(world, program)
    assert {it.operation for it in again.changes} == {Operation.SAME}, again


KEYS = {"kind": "keys", "rotate_every_days": 30}
CHANGES: dict[str, tuple[Any, Any, dict[str, str]]] = {
    "delegated to keys": ("delegated", "keys", {}),
    "rotation": (KEYS, KEYS, {ROTATION_KEY: "2"}),  # twice: what Lightly holds is then of no epoch that lives
}
"""Each changes with what Lightly gets in, and would take away what it got in with before."""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["login page", "ignored", "one slot", "another's"])
def test_what_lightly_gets_in_with_stays_until_it_has_taken_the_next(
    world: World, program: Make, kind: Kind, change: str
) -> None:
    before, after, config = CHANGES[change]
    assert not up(world, program(scenes(before))).failures
    had, held = world.inventory(), copy.deepcopy(world.sandbox.lightly.datasets)

    changed = program(scenes(after), **config)
    result = up(world, changed, kind, writes=kind != "another's")

    assert world.sandbox.lightly.datasets.keys() == held.keys()
    assert "Lightly" in result.failures[0].message
    assert had <= world.inventory(), "something is gone that Lightly may hold"
    assert works(world)
    settled(world, changed)


@pytest.mark.parametrize("kind", ["login page", "wrong id", "other id", "another's", "ignored", "one slot"])
def test_a_new_dataset_is_not_believed_in(world: World, program: Make, kind: Kind) -> None:
    wanted = program(scenes())
    result = up(world, wanted, kind, writes=kind != "another's")
    if kind == "wrong id":
        assert not result.failures, "it is found by its name, and its id is never used"
    else:
        assert "Lightly" in result.failures[0].message
    if kind in {"other id", "another's"}:  # made and not known: the message says to delete it by hand
        world.sandbox.lightly.datasets.clear()
    settled(world, wanted)


def test_a_name_that_is_accepted_twice_is_not_used(
    world: World, program: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sandbox.lightly.put_dataset(OTHER, "scenes", "Images")
    monkeypatch.setattr(LightlyServer, "_check_free", lambda *_: None)
    result = up(world, program(scenes()))
    assert "exists already" in result.failures[0].message
    assert list(world.sandbox.lightly.datasets) == [OTHER], "what was made twice is taken back"
    settled(world, program(scenes(name="Scenes")))


@pytest.mark.parametrize("kind", ["login page", "ignored"])
def test_a_dataset_that_is_not_deleted_is_not_forgotten(world: World, program: Make, kind: Kind) -> None:
    wanted = program(scenes(on_destroy="delete"))
    assert not up(world, wanted).failures
    with world.faults(Fault("lightly", 1, kind, lasts=True, writes=True)):
        result = world.sandbox.engine.destroy(wanted)
    assert "Lightly" in result.failures[0].message
    assert len(world.sandbox.lightly.datasets) == 1
    settled(world, wanted)
    assert not world.sandbox.engine.destroy(wanted).failures
    assert not world.sandbox.lightly.datasets

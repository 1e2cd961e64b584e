"""Create, change, replace, delete: the same on both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pytest

from lightly_infra.updates.changes import Operation
from tests.sandbox.engine_fixtures import Box, FakeCloudProvider, Note, NoteProvider, Thing, ask, thing_called
from tests.sandbox.engine_harness import Bench, bench, by_name, on_both_engines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = on_both_engines()


@pytest.fixture
def both(engine_name: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(engine_name, tmp_path) as made:
        yield made


def test_a_program_is_created_once_and_then_left_alone(both: Bench) -> None:
    def program() -> None:
        thing = Thing("a", size=3)
        Note("n", about=thing.arn, size=2)
        box = Box("x")
        pulumi.export("arn", thing.arn)
        pulumi.export("size", thing.size)
        pulumi.export("nested", {"boxed": box.arn, "list": [1, 2.5, True, None]})

    planned = both.preview(program)
    assert by_name(planned) == {"a": "create", "n": "create", "x-thing": "create"}
    assert (dict(planned.outputs), both.cloud.things) == ({}, {})
    made = both.up(program)
    assert not made.failed
    assert made.counts == {"create": 3}
    assert made.outputs["arn"] == "arn:a"
    assert (made.outputs["size"], type(made.outputs["size"])) == (3, int)
    assert made.outputs["nested"] == {"boxed": "arn:x-thing", "list": [1, 2.5, True, None]}
    assert both.cloud.named("n")["about"] == "arn:a"
    assert both.preview(program).counts == {"same": 3}
    again = both.up(program)
    assert again.counts == {"same": 3}
    assert again.outputs == made.outputs
    assert len(both.cloud.things) == 3


def test_a_changed_property_updates_in_place_and_names_the_property(both: Bench) -> None:
    both.up(lambda: (Thing("a", size=1), Note("n", size=1)))
    ids = set(both.cloud.things)

    def changed() -> None:
        pulumi.export("stamp", Note("n", size=2).stamp)
        pulumi.export("size", Thing("a", size=2).size)

    planned = both.preview(changed)
    made = both.up(changed)
    for result in (planned, made):
        assert {(c.name, c.operation, c.keys) for c in result.changes} == {
            ("a", Operation.UPDATE, ("size",)),
            ("n", Operation.UPDATE, ("size",)),
        }
    assert set(both.cloud.things) == ids
    assert made.outputs == {"stamp": "stamp of n", "size": 2}
    assert both.cloud.named("n")["size"] == 2


def test_a_replacement_is_created_first_and_the_old_one_deleted_last(both: Bench) -> None:
    def first() -> None:
        thing = thing_called("r", "old")
        Thing("dependent", on=thing.arn)

    def second() -> None:
        thing = thing_called("r", "new")
        Thing("dependent", on=thing.arn)

    both.up(first)
    planned = both.preview(second)
    both.cloud.forget_diary()
    made = both.up(second)
    for result in (planned, made):
        assert by_name(result) == {"r": "replace", "dependent": "update"}
        assert next(c.keys for c in result.changes if c.name == "r") == ("name",)
    steps = [line for line in both.cloud.diary if not line.startswith("configure")]
    assert steps == [
        "begin create new",
        "end create new",
        "update dependent",
        "begin delete old",
        "end delete old",
    ]
    assert both.cloud.named("dependent")["on"] == "arn:new"


def test_deleting_before_replacing_takes_the_dependents_along_that_cannot_survive_it(both: Bench) -> None:
    def program(zone: str) -> None:
        root = thing_called("root", "root", zone=zone)
        zoned = thing_called("zoned", "zoned", zone=root.id)  # its zone comes from the root: must be replaced
        Thing("updated", on=root.id)
        Thing("further", zone=zoned.id)
        Thing("waits", opts=pulumi.ResourceOptions(depends_on=[root]))

    both.up(lambda: program("one"))
    planned = both.preview(lambda: program("two"))
    both.cloud.forget_diary()
    made = both.up(lambda: program("two"))
    for result in (planned, made):
        assert by_name(result) == {
            "root": "replace",
            "zoned": "replace",
            "further": "replace",
            "updated": "update",
            "waits": "same",
        }
    steps = [line for line in both.cloud.diary if line.startswith(("end", "update"))]
    assert steps[:4] == ["end delete further", "end delete zoned", "end delete root", "end create root"]
    assert set(steps[4:]) == {"end create zoned", "end create further", "update updated"}
    assert len(both.cloud.things) == 5


def test_a_dependent_deleted_with_its_root_and_then_dropped_counts_as_deleted(both: Bench) -> None:
    def first() -> None:
        root = thing_called("root", "root", zone="one")
        Thing("zoned", zone=root.id)

    both.up(first)
    made = both.up(lambda: thing_called("root", "root", zone="two"))
    assert by_name(made) == {"root": "replace", "zoned": "delete"}
    assert [thing["name"] for thing in both.cloud.things.values()] == ["root"]


@pytest.mark.parametrize("first", [True, False])
def test_the_program_may_choose_the_order_of_a_replacement(both: Bench, first: bool) -> None:
    def program(name: str) -> None:
        thing_called("r", name, pulumi.ResourceOptions(delete_before_replace=first))

    both.up(lambda: program("old"))
    both.cloud.forget_diary()
    both.up(lambda: program("new"))
    ends = [line for line in both.cloud.diary if line.startswith("end")]
    assert ends == (["end delete old", "end create new"] if first else ["end create new", "end delete old"])


def test_a_dynamic_resource_is_replaced_too(both: Bench) -> None:
    def program(name: str) -> None:
        note = Note.__new__(Note)
        pulumi.dynamic.Resource.__init__(note, NoteProvider(), "n", {"stamp": None, "name": name})
        pulumi.export("stamp", note.stamp)

    both.up(lambda: program("old"))
    made = both.up(lambda: program("new"))
    assert by_name(made) == {"n": "replace"}
    assert made.outputs["stamp"] == "stamp of new"
    assert [thing["name"] for thing in both.cloud.things.values()] == ["new"]


def test_replace_on_changes_makes_an_update_a_replacement(both: Bench) -> None:
    def program(size: int, tag: str) -> None:
        opts = pulumi.ResourceOptions(replace_on_changes=["size", "tags.team"])
        Thing("a", size=size, opts=opts)
        Note("n", tags={"team": tag, "other": size}, opts=opts)

    both.up(lambda: program(1, "x"))
    assert by_name(both.up(lambda: program(2, "x"))) == {"a": "replace", "n": "update"}
    assert by_name(both.up(lambda: program(2, "y"))) == {"a": "same", "n": "replace"}


def test_what_the_program_no_longer_declares_is_deleted_dependents_first(both: Bench) -> None:
    def program() -> None:
        a = Thing("a")
        b = Thing("b", on=a.arn)
        Note("c", on=b.arn)
        Box("x")
        Thing("stays")

    both.up(program)
    both.cloud.forget_diary()
    removed = both.up(lambda: Thing("stays"))
    assert by_name(removed) == {"stays": "same", "a": "delete", "b": "delete", "c": "delete", "x-thing": "delete"}
    deleted = [line.split()[-1] for line in both.done("end delete")]
    assert deleted.index("c") < deleted.index("b") < deleted.index("a")
    assert list(both.resources()) == ["stays"]


def test_independent_resources_are_created_at_the_same_time(both: Bench) -> None:
    made = both.up(lambda: (Thing("a", meets="m"), Thing("b", meets="m")))
    assert made.counts == {"create": 2}


def test_destroy_deletes_everything_in_reverse_order(both: Bench) -> None:
    def program() -> None:
        a = Thing("a")
        Note("b", on=a.arn)
        pulumi.export("x", a.arn)

    both.up(program)
    both.cloud.forget_diary()
    gone = both.destroy()
    assert (gone.counts, dict(gone.outputs), gone.failed) == ({"delete": 2}, {}, False)
    assert both.done("end delete") == ["end delete b", "end delete a"]
    assert both.resources() == {}
    assert both.up(program).counts == {"create": 2}


def test_an_explicit_provider_serves_its_resources_with_its_own_configuration(both: Bench) -> None:
    def program(region: str) -> None:
        provider = FakeCloudProvider("p", region)
        own = Thing("own", opts=pulumi.ResourceOptions(provider=provider))
        other = Thing("other")
        pulumi.export("regions", [own.region, other.region])

    assert by_name(both.preview(lambda: program("venus"))) == {"own": "create", "other": "create"}
    made = both.up(lambda: program("venus"))
    assert (made.counts, made.outputs["regions"]) == ({"create": 2}, ["venus", "mars"])
    assert both.up(lambda: program("venus")).counts == {"same": 2}
    moved = both.up(lambda: program("pluto"))
    assert moved.counts == {"same": 2}
    assert both.refresh().outputs["regions"] == ["venus", "mars"]
    assert both.destroy().counts == {"delete": 2}


def test_functions_are_called_and_a_resource_can_be_read_without_being_owned(both: Bench) -> None:
    both.cloud.put("theirs", {"name": "theirs", "size": 7})

    def program() -> None:
        theirs = thing_called("theirs", "theirs", pulumi.ResourceOptions(id="theirs"))
        pulumi.export("size", theirs.arn)
        pulumi.export("answer", ask("why"))

    made = both.up(program)
    assert not made.failures
    assert by_name(made) == {"theirs": "read"}
    assert made.outputs == {"size": "arn:theirs", "answer": {"answer": "why!", "region": "mars"}}
    assert by_name(both.destroy()) == {"theirs": "delete"}
    assert "theirs" in both.cloud.things


def test_environment_and_configuration_reach_program_and_providers(both: Bench) -> None:
    both.config = {"fake:region": "io", "fake:token": "fake-token", "test:plain": "p", "test:token": "t-token"}
    both.secret_keys = frozenset({"fake:token", "test:token"})

    def program() -> None:
        config = pulumi.Config("test")
        Note("n")
        pulumi.export("plain", config.require("plain"))
        pulumi.export("token", config.require_secret("token"))
        pulumi.export("region", Thing("a").region)

    made = both.up(program)
    assert (made.outputs["plain"], made.outputs["region"]) == ("p", "io")
    assert made.outputs["token"].value == "t-token"
    assert "configure fake io fake-token" in both.cloud.diary
    assert "configure note p t-token" in both.cloud.diary
    both.config = {**both.config, "test:token": "rotated-token"}
    both.cloud.forget_diary()
    both.up(program)
    both.destroy()
    assert "configure note p rotated-token" in both.cloud.diary

"""Failures say what is wrong, once, and the next run continues: the same on both engines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
import pytest
from pulumi import ResourceOptions

from lightly_infra.updates.changes import Failure
from tests.sandbox.engine_fixtures import Note, Thing, thing_called
from tests.sandbox.engine_harness import Bench, bench, by_name, on_both_engines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = on_both_engines()

THING = "urn:pulumi:dev::test::fake:index:Thing::"
NOTE = "urn:pulumi:dev::test::pulumi-python:dynamic/test:Note::"
CANARY = "canary-5ecret-unsung"


@pytest.fixture
def both(engine_name: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(engine_name, tmp_path) as made:
        yield made


def test_a_failed_create_stops_its_dependents_and_the_next_run_continues(both: Bench) -> None:
    def program(fails: str) -> None:
        good = Thing("good")
        bad = Thing("bad", on=good.arn, fails=fails)
        Thing("after", on=bad.arn)
        pulumi.export("good", good.arn)

    failed = both.up(lambda: program("no room"))
    assert failed.failures == (Failure(THING + "bad", "no room"),)
    assert by_name(failed) == {"good": "create"}
    assert failed.outputs in ({}, {"good": "arn:good"})
    assert list(both.resources()) == ["good"]
    fixed = both.up(lambda: program(""))
    assert by_name(fixed) == {"good": "same", "bad": "create", "after": "create"}
    assert not fixed.failed


def test_what_is_under_way_when_another_resource_fails_is_finished_and_kept(both: Bench) -> None:
    def program() -> None:
        Thing("slow", meets="m")
        Thing("bad", meets="m", fails="no room")

    failed = both.up(program)
    assert failed.failures == (Failure(THING + "bad", "no room"),)
    assert list(both.resources()) == ["slow"]


def test_a_failed_update_keeps_the_old_state(both: Bench) -> None:
    both.up(lambda: Thing("a", size=1))
    failed = both.up(lambda: Thing("a", size=2, fails="too big"))
    assert failed.failures == (Failure(THING + "a", "too big"),)
    assert both.resources()["a"]["inputs"]["size"] == 1
    assert by_name(both.up(lambda: Thing("a", size=3))) == {"a": "update"}


def test_nothing_is_deleted_after_a_failure(both: Bench) -> None:
    both.up(lambda: Thing("old"))
    both.up(lambda: Thing("bad", fails="no"))
    assert list(both.resources()) == ["old"]
    both.up(lambda: 1 / 0)
    assert list(both.resources()) == ["old"]


def test_a_replacement_that_fails_can_be_tried_again(both: Bench) -> None:
    both.up(lambda: thing_called("r", "old", zone="one"))
    failed = both.up(lambda: thing_called("r", "new", zone="two", fails="no room"))
    assert failed.failures == (Failure(THING + "r", "no room"),)
    assert both.cloud.things == {}  # deleted before it was to be created again
    assert by_name(both.up(lambda: thing_called("r", "new", zone="two"))) == {"r": "replace"}
    assert [thing["name"] for thing in both.cloud.things.values()] == ["new"]
    assert both.up(lambda: thing_called("r", "new", zone="two")).counts == {"same": 1}


def test_a_failed_delete_is_tried_again(both: Bench) -> None:
    both.up(lambda: Thing("a"))
    (both.cloud.directory / "keep-a").touch()
    failed = both.up(lambda: None)
    assert failed.failures == (Failure(THING + "a", "a cannot be deleted now"),)
    assert list(both.resources()) == ["a"]
    (both.cloud.directory / "keep-a").unlink()
    assert by_name(both.destroy()) == {"a": "delete"}


def test_an_old_one_that_could_not_be_deleted_after_its_replacement_is_deleted_later(both: Bench) -> None:
    both.up(lambda: thing_called("r", "old"))
    (both.cloud.directory / "keep-old").touch()
    failed = both.up(lambda: thing_called("r", "new"))
    assert failed.failures == (Failure(THING + "r", "old cannot be deleted now"),)
    assert len(both.cloud.things) == 2
    (both.cloud.directory / "keep-old").unlink()
    assert both.up(lambda: thing_called("r", "new")).counts == {"same": 1}
    assert [thing["name"] for thing in both.cloud.things.values()] == ["new"]


@pytest.mark.parametrize("kind", [Thing, Note])
def test_everything_wrong_with_the_inputs_is_told_and_nothing_is_touched(both: Bench, kind: type[Thing | Note]) -> None:
    def program() -> None:
        kind("a", size=-1, label="bad")

    for result in (both.preview(program), both.up(program)):
        assert {f.message for f in result.failures} == {
            "size: must not be negative",
            "label: must not be bad",
        }
        assert {f.urn.rpartition("::")[2] for f in result.failures} == {"a"}
    assert both.cloud.things == {}


def test_an_exception_of_a_dynamic_provider_is_its_message_without_traceback(both: Bench) -> None:
    failed = both.up(lambda: Note("n", raises="pencils"))
    assert failed.failures == (Failure(NOTE + "n", "cannot write n:\n  the pen is empty\nbuy ink, not pencils"),)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (pulumi.RunError("the dataset needs a name"), "the dataset needs a name"),
        (ValueError("first line\nsecond line"), "first line\nsecond line"),
        (KeyError("region"), "KeyError: 'region'"),
    ],
)
def test_an_exception_of_the_program_is_one_failure_without_a_resource(
    both: Bench, error: Exception, message: str
) -> None:
    def program() -> None:
        Thing("a")
        raise error

    for run in (both.preview, both.up):
        assert run(program).failures == (Failure("", message),)


def test_an_exception_inside_an_apply_is_one_failure(both: Bench) -> None:
    def program() -> None:
        def refuse(arn: str) -> str:
            raise pulumi.RunError(f"{arn} is not good enough")

        pulumi.export("arn", Thing("a").arn.apply(refuse))

    failed = both.up(program)
    assert failed.failures == (Failure("", "arn:a is not good enough"),)
    assert list(both.resources()) == ["a"]


def test_no_secret_is_in_any_failure_or_log(both: Bench) -> None:
    both.config = {**both.config, "test:token": CANARY}
    both.secret_keys = frozenset({"test:token"})

    def program() -> None:
        token = pulumi.Config("test").require_secret("token")
        pulumi.log.warn(f"the token is {CANARY}")
        Note("n", raises=token)

    failed = both.up(program)
    assert [failure.urn for failure in failed.failures] == [NOTE + "n"]
    assert failed.failures[0].message.endswith("buy ink, not [secret]")
    assert ("warning", "the token is [secret]") in both.logged
    thing_failed = both.up(lambda: Thing("a", fails=pulumi.Output.secret("other-canary-secret")))
    assert thing_failed.failures == (Failure(THING + "a", "[secret]"),)
    for result in (failed, thing_failed):
        assert "canary" not in repr(result)
    assert "canary" not in json.dumps(both.logged) + json.dumps(both.engine.export())


def test_two_resources_of_one_name_are_refused(both: Bench) -> None:
    failed = both.up(lambda: (Thing("a"), Thing("a")))
    assert len(failed.failures) == 1
    assert "duplicate resource urn" in failed.failures[0].message.lower()
    assert THING + "a" in failed.failures[0].message


def test_refresh_finds_drift_and_what_is_gone(both: Bench) -> None:
    def program() -> None:
        Thing("same", size=1)
        drifted = Thing("drifted", size=1)
        Note("note", size=1, opts=ResourceOptions(depends_on=[drifted]))
        Thing("gone", size=1)

    both.up(program)
    assert both.refresh().counts == {"same": 4}
    for name in ("drifted", "note"):
        both.cloud.put(both.cloud.id_of(name), {**both.cloud.named(name), "size": 5})
    both.cloud.remove(both.cloud.id_of("gone"))
    found = both.refresh()
    assert by_name(found) == {"same": "same", "drifted": "update", "note": "update", "gone": "delete"}
    assert {c.keys for c in found.changes if c.operation == "update"} == {("size",)}
    assert sorted(both.resources()) == ["drifted", "note", "same"]
    assert both.resources()["drifted"]["outputs"]["size"] == 5
    expected = {"same": "same", "drifted": "update", "note": "update", "gone": "create"}
    assert by_name(both.preview(program)) == expected
    assert by_name(both.up(program)) == expected
    assert both.refresh().counts == {"same": 4}

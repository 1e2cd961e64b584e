"""Error hooks: what fails may be tried again, and the program is told what failed, the same on both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pulumi import ErrorHook, ErrorHookArgs, ResourceHookBinding, ResourceOptions

from lightly_infra.updates.changes import Failure
from tests.sandbox.engine_fixtures import Note, Thing
from tests.sandbox.engine_harness import Bench, bench, on_both_engines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = on_both_engines()

THING = "urn:pulumi:dev::test::fake:index:Thing::"


@pytest.fixture
def both(engine_name: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(engine_name, tmp_path) as made:
        yield made


def hooked(*functions: Callable[[ErrorHookArgs], Any]) -> ResourceOptions:
    hooks = [ErrorHook(f"hook {number}", function) for number, function in enumerate(functions)]
    return ResourceOptions(hooks=ResourceHookBinding(on_error=hooks))


class Witness:
    """A hook that notes what it is told, and wants so many tries."""

    def __init__(self, tries: int = 1) -> None:
        self.seen: list[ErrorHookArgs] = []
        self.tries = tries

    def __call__(self, args: ErrorHookArgs) -> bool:
        self.seen.append(args)
        return len(args.errors) < self.tries


def test_what_a_hook_wants_tried_again_is_tried_again_and_errors_come_newest_first(both: Bench) -> None:
    witness = Witness(3)
    failed = both.up(lambda: Thing("a", fails="no room", opts=hooked(witness)))
    assert failed.failures == (Failure(THING + "a", "no room"),)
    assert [args.errors for args in witness.seen] == [["no room"] * n for n in (1, 2, 3)]
    assert both.done("begin create") == ["begin create a"] * 3
    assert both.logged == [("warning", f"retrying create due to on-error hook request ({n}/100)") for n in (1, 2)]


def test_a_try_that_succeeds_ends_the_matter(both: Bench) -> None:
    blocked = both.cloud.directory / "keep-a"

    def unblock(_: ErrorHookArgs) -> bool:
        blocked.unlink()
        return True

    both.up(lambda: Thing("a", opts=hooked(unblock)))
    blocked.touch()
    done = both.up(lambda: Thing("b", opts=hooked(unblock)))  # its hook serves what is no longer declared
    assert done.failures == ()
    assert [thing["name"] for thing in both.cloud.things.values()] == ["b"]


def test_there_is_an_end_to_trying(both: Bench) -> None:
    failed = both.up(lambda: Thing("a", fails="no room", opts=hooked(Witness(1000))))
    assert failed.failures == (Failure(THING + "a", "maximum number of error hook retries reached"),)
    assert len(both.done("begin create")) == 100
    assert both.logged[-1] == ("warning", "maximum number of error hook retries (100) reached")


def test_a_hook_is_told_what_was_tried_with_secrets_marked(both: Bench) -> None:
    witness = Witness()
    both.up(lambda: Thing("a", size=1, password=pulumi.Output.secret("canary"), opts=hooked(witness)))
    both.up(lambda: Thing("a", size=2, password=pulumi.Output.secret("canary"), fails="no", opts=hooked(witness)))
    (told,) = witness.seen
    assert (told.urn, told.name, told.type, told.failed_operation) == (THING + "a", "a", "fake:index:Thing", "update")
    assert told.id == both.cloud.id_of("a")
    assert told.new_inputs is not None
    assert told.old_inputs is not None
    assert told.old_outputs is not None
    assert (told.old_inputs["size"], told.new_inputs["size"], told.old_outputs["arn"]) == (1, 2, "arn:a")
    assert isinstance(told.new_inputs["password"], pulumi.Output)
    created = Witness()
    both.up(lambda: Thing("b", fails="no", opts=hooked(created)))
    assert (created.seen[0].failed_operation, created.seen[0].old_inputs, created.seen[0].id) == ("create", None, "")


def test_all_hooks_are_asked_and_one_that_wants_another_try_is_enough(both: Bench) -> None:
    first, second = Witness(2), Witness()

    async def later(args: ErrorHookArgs) -> bool:
        return second(args)

    both.up(lambda: Note("n", raises="ink", opts=hooked(first, later)))
    assert (len(first.seen), len(second.seen)) == (2, 2)
    assert "buy ink, not ink" in first.seen[0].errors[0]


def test_a_hook_that_fails_is_the_failure(both: Bench) -> None:
    def broken(_: ErrorHookArgs) -> bool:
        raise ValueError("no idea")

    failed = both.up(lambda: Thing("a", fails="no room", opts=hooked(broken)))
    message = 'error hooks execution failed: error hook "hook 0" failed: no idea'
    assert failed.failures == (Failure(THING + "a", message),)


def test_hooks_are_there_for_what_fails_after_something_else_has(both: Bench) -> None:
    witness = Witness()

    def program() -> None:
        opts = hooked(witness)
        Thing("a", meets="m", fails="no a", opts=opts)
        Thing("b", meets="m", fails="no b", opts=opts)
        Thing("c", on=Thing("d", fails="").arn, opts=opts)

    failed = both.up(program)
    assert {it.message for it in failed.failures} == {"no a", "no b"}
    assert {args.name for args in witness.seen} == {"a", "b"}


def test_two_hooks_of_one_name_are_refused(both: Bench) -> None:
    failed = both.up(lambda: [Thing(name, opts=hooked(Witness())) for name in ("a", "b")])
    assert any('hook already registered for name "hook 0"' in it.message for it in failed.failures)


def test_hooks_are_in_the_state_and_change_nothing(both: Bench) -> None:
    both.up(lambda: Thing("a"))
    assert both.engine.export()["version"] == 3
    assert both.up(lambda: Thing("a", opts=hooked(Witness()))).counts == {"same": 1}
    assert both.resources()["a"]["resourceHooks"] == {"OnError": ["hook 0"]}
    assert both.engine.export()["version"] == 4
    assert both.preview(lambda: Thing("a", opts=hooked(Witness()))).counts == {"same": 1}
    assert both.up(lambda: Thing("a")).counts == {"same": 1}
    assert "resourceHooks" not in both.resources()["a"]


def test_an_error_that_the_program_logs_is_a_failure_which_stops_nothing(both: Bench) -> None:
    both.up(lambda: Thing("old"))
    done = both.up(lambda: pulumi.log.error("this is wrong", Thing("new")))
    assert done.failures == (Failure(THING + "new", "this is wrong"),)
    assert both.logged == []
    assert list(both.resources()) == ["new"]

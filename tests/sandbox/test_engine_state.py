"""A stack's state, taken over from a document: the same on both engines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import ResourceOptions

from lightly_infra.sandbox.engine.values import SECRET_SIGNATURE, SIGNATURE
from tests.sandbox.engine_fixtures import Box, FakeCloudProvider, Note, Thing
from tests.sandbox.engine_harness import bench, by_name, on_both_engines

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = on_both_engines()
CANARY = "canary-of-a-note"


def program() -> None:
    elsewhere = FakeCloudProvider("elsewhere", "venus")
    thing = Thing("a", size=3, opts=ResourceOptions(protect=True))
    Thing("b", opts=ResourceOptions(provider=elsewhere, depends_on=[thing]))
    Note("n", about=thing.arn, text=pulumi.Output.secret(CANARY))
    pulumi.export("boxed", Box("x").arn)


def shown(value: Any) -> Any:
    """The exported state as `--show-secrets` has it; there is one secret."""
    match value:
        case {"ciphertext": _, **rest} if rest.get(SIGNATURE) == SECRET_SIGNATURE:
            return {**rest, "plaintext": json.dumps(CANARY)}
        case dict():
            return {key: shown(it) for key, it in value.items()}
        case list():
            return [shown(it) for it in value]
        case _:
            return value


def test_a_loaded_stack_goes_on_where_another_engine_left_it(engine_name: str, tmp_path: Path) -> None:
    with bench(engine_name, tmp_path) as before:
        assert not before.up(program).failed
        document = shown(before.engine.export())
    with bench(engine_name, tmp_path) as after:
        after.engine.load(after.program(program), document)

        assert after.resources().keys() == {"a", "b", "n", "x", "x-thing"}
        assert CANARY not in json.dumps(after.engine.export())
        assert after.preview(program).counts == {"same": 4}
        again = after.up(program)
        assert (again.counts, again.outputs) == ({"same": 4}, {"boxed": "arn:x-thing"})
        assert by_name(after.up(lambda: Thing("a", size=4, opts=ResourceOptions(protect=True)))) == {
            "a": "update",
            "b": "delete",
            "n": "delete",
            "x-thing": "delete",
        }
        (failure,) = after.destroy().failures
        assert "protected" in failure.message


def test_what_was_there_before_is_forgotten(engine_name: str, tmp_path: Path) -> None:
    empty: dict[str, Any] = {"version": 3, "deployment": {"manifest": {}, "resources": []}}
    with bench(engine_name, tmp_path) as made:
        made.up(lambda: Thing("a"))
        made.engine.load(made.program(program), empty)
        assert made.resources() == {}
        assert by_name(made.preview(lambda: Thing("b"))) == {"b": "create"}

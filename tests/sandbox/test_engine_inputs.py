"""What programs of all clouds hand over means the same on both engines: assets, invokes, tokens, environments."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_random
import pytest
from pulumi import FileAsset, InvokeOutputOptions, ResourceOptions, StringAsset

from lightly_infra.sandbox.engine.assets import asset_of
from tests.sandbox.engine_fixtures import Note, Thing, thing_called
from tests.sandbox.engine_harness import Bench, bench, by_name, on_both_engines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = on_both_engines()


@pytest.fixture
def both(engine_name: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(engine_name, tmp_path) as made:
        yield made


def asked(question: pulumi.Input[str], *depends_on: pulumi.Resource) -> pulumi.Output[Any]:
    options = InvokeOutputOptions(depends_on=[*depends_on])
    answered: pulumi.Output[Any] = pulumi.runtime.invoke_output("fake:index:ask", {"question": question}, options)
    return answered


def native(type_: str, name: str, **props: Any) -> pulumi.CustomResource:
    return pulumi.CustomResource(f"fake-native:{type_}", name, {"name": name, "arn": None, "region": None, **props})


def test_assets_reach_the_provider_with_their_content_and_hash(both: Bench) -> None:
    path = both.cloud.directory / "file.txt"
    path.write_text("in a file")

    def program() -> None:
        Thing("text", note=StringAsset("hello"))
        Thing("file", note=FileAsset(str(path)))
        Thing("inside", note={"deep": [pulumi.Output.secret(StringAsset("canary"))]})

    both.up(program)
    assert both.cloud.named("text")["note"] == asset_of(b"hello")
    file = asset_of(b"in a file")
    del file["text"]
    assert both.cloud.named("file")["note"] == file | {"path": str(path)}
    assert both.cloud.named("inside")["note"] == {"deep": [asset_of(b"canary")]}
    assert both.resources()["text"]["outputs"]["note"] == asset_of(b"hello")
    assert "canary" not in str(both.resources())
    assert both.refresh().counts == {"same": 3}
    assert both.resources()["file"]["outputs"]["note"] == file | {"path": str(path)}
    assert both.up(program).counts == {"same": 3}


def test_an_asset_changes_with_what_it_holds_and_not_with_where_that_lies(both: Bench) -> None:
    path = both.cloud.directory / "file.txt"
    path.write_text("one")
    both.up(lambda: Thing("a", note=FileAsset(str(path))))
    path.write_text("two")
    changed = both.up(lambda: Thing("a", note=FileAsset(str(path))))
    assert [(it.operation.value, it.keys) for it in changed.changes] == [("update", ("note",))]
    assert both.up(lambda: Thing("a", note=StringAsset("two"))).counts == {"same": 1}
    assert both.up(lambda: Thing("a", note=StringAsset("three"))).counts == {"update": 1}


def test_an_asset_whose_file_is_not_there_fails(both: Bench) -> None:
    failed = both.up(lambda: Thing("a", note=FileAsset(str(both.cloud.directory / "none"))))
    (failure,) = failed.failures
    assert str(both.cloud.directory / "none") in failure.message
    assert "no such file" in failure.message.lower()


def test_an_invoke_whose_argument_is_unknown_is_not_called(both: Bench) -> None:
    def program() -> None:
        pulumi.export("answer", asked(Thing("a").arn)["answer"])

    assert not both.preview(program).failed
    assert both.done("ask") == []
    assert both.up(program).outputs == {"answer": "arn:a!"}
    both.cloud.forget_diary()
    both.preview(program)
    assert both.done("ask") == ["ask fake:index:ask arn:a"]


def test_an_invoke_waits_for_what_it_depends_on_though_its_arguments_are_known(both: Bench) -> None:
    def program(name: str, size: int = 1) -> None:
        thing = thing_called("r", name, size=size)
        seen: list[str] = []
        asked("why", thing).apply(lambda answer: seen.append(answer["answer"]))
        asked(thing.name).apply(lambda answer: seen.append(answer["answer"]))
        pulumi.export("seen", pulumi.Output.all(asked("why", thing), asked(thing.name)).apply(lambda _: sorted(seen)))

    both.preview(lambda: program("a"))
    assert both.done("ask") == [], "the thing is to be made first"
    both.up(lambda: program("a"))
    diary = both.cloud.diary
    assert diary.index("end create a") < diary.index("ask fake:index:ask why")
    both.cloud.forget_diary()
    both.preview(lambda: program("b"))
    assert both.done("ask") == [], "the thing is to be replaced first"
    both.preview(lambda: program("a", size=2))
    assert set(both.done("ask")) == {"ask fake:index:ask why", "ask fake:index:ask a"}


def test_what_an_invoke_returns_is_secret_when_an_argument_is(both: Bench) -> None:
    def program() -> None:
        pulumi.export("answer", asked(pulumi.Output.secret("canary")))
        pulumi.export("open", asked("seen")["answer"])

    done = both.up(program)
    assert "canary" not in repr(done)
    assert done.outputs["answer"].value == {"answer": "canary!", "region": "mars"}
    assert done.outputs["open"] == "seen!"


def test_a_function_that_fails_may_be_caught_and_fails_the_program_otherwise(both: Bench) -> None:
    async def ask() -> str:
        try:
            await pulumi.runtime.invoke_async("fake:index:ask", {"question": "unanswerable"})
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing finer
            return str(error)
        return "answered"

    done = both.up(lambda: pulumi.export("caught", pulumi.Output.from_input(ask())))
    assert done.outputs["caught"].startswith("invoke of fake:index:ask failed: ")
    assert "nobody knows" in done.outputs["caught"]

    failed = both.engine.up(both.program(lambda: pulumi.export("answer", asked("unanswerable"))))
    assert any("nobody knows" in it.message for it in failed.failures)


def test_a_package_may_have_a_dash_and_types_any_form(both: Bench) -> None:
    both.config = {"fake-native:region": "venus", "fake-native:token": "canary-token", "fake:region": "mars"}
    both.secret_keys = frozenset({"fake-native:token"})

    def program() -> None:
        native("storage:StorageAccount", "plain")
        native("storage/bucketIAMMember:BucketIAMMember", "slashed")
        provider = pulumi.ProviderResource("fake-native", "explicit", {"region": "pluto"})
        child = pulumi.CustomResource(
            "fake-native:storage:Blob", "blob", {"name": "blob", "region": None}, ResourceOptions(provider=provider)
        )
        answered = pulumi.runtime.invoke_output("fake-native:storage:listKeys", {"question": "which"})
        pulumi.export("answer", answered["region"])
        pulumi.export("child", child.urn)

    done = both.up(program)
    assert by_name(done) == {"plain": "create", "slashed": "create", "blob": "create"}
    assert done.outputs["answer"] == "venus"
    states = both.resources()
    assert states["plain"]["type"] == "fake-native:storage:StorageAccount"
    assert {name: state["outputs"]["region"] for name, state in states.items()} == {
        "plain": "venus",
        "slashed": "venus",
        "blob": "pluto",
    }
    assert "canary-token" not in str(both.engine.export())
    assert both.refresh().counts == {"same": 3}
    assert both.destroy().counts == {"delete": 3}


def test_the_environment_may_grow_while_the_engine_lives(both: Bench) -> None:
    def program() -> None:
        native("storage:Thing", "a")
        Note("n", size=len(os.environ.get("FAKE_ENDPOINT", "")))

    both.up(program)
    assert set(both.done("start")) == {"start nowhere"}
    both.cloud.forget_diary()
    both.env["FAKE_ENDPOINT"] = "here"
    assert by_name(both.up(program)) == {"a": "same", "n": "update"}
    assert set(both.done("start")) == {"start here"}
    both.cloud.forget_diary()
    both.env["FAKE_ENDPOINT"] = "there"
    assert both.destroy().counts == {"delete": 2}
    assert set(both.done("start")) == {"start there"}
    assert "FAKE_ENDPOINT" not in os.environ


def test_an_emulated_provider_passes_for_the_one_that_its_sdk_expects(both: Bench) -> None:
    assert both.up(lambda: pulumi_random.RandomId("id", byte_length=4)).counts == {"create": 1}
    assert both.logged == []

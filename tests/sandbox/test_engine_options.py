"""Resource options mean the same on both engines: protection, retention, ignored changes, aliases, secrets."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pulumi
import pytest
from pulumi import Alias, ResourceOptions

from lightly_infra.sandbox.engine.values import SECRET_SIGNATURE, SIGNATURE
from tests.sandbox.engine_fixtures import Box, FakeCloudProvider, Note, Thing, thing_called
from tests.sandbox.engine_harness import Bench, bench, by_name, on_both_engines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = on_both_engines()

CANARY = "canary-c0ffee-unsung"


@pytest.fixture
def both(engine_name: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(engine_name, tmp_path) as made:
        yield made


def test_a_protected_resource_is_not_deleted_and_says_so(both: Bench) -> None:
    def program() -> None:
        below = Thing("below")
        Thing("kept", on=below.arn, opts=ResourceOptions(protect=True))
        Thing("other")

    both.up(program)
    refused = both.up(lambda: None)
    assert [failure.urn.rpartition("::")[2] for failure in refused.failures] == ["kept"]
    assert "protect" in refused.failures[0].message
    assert {"kept", "below"} <= set(both.resources())
    both.up(program)
    destroyed = both.destroy()
    assert [failure.urn.rpartition("::")[2] for failure in destroyed.failures] == ["kept"]
    assert sorted(both.resources()) == ["below", "kept"]
    both.up(lambda: (Thing("below"), Thing("kept", on="arn:below")))
    assert not both.destroy().failed
    assert both.cloud.things == {}


def test_a_protected_resource_is_not_replaced_and_the_preview_says_so_too(both: Bench) -> None:
    def program(name: str) -> None:
        thing_called("r", name, ResourceOptions(protect=True))

    both.up(lambda: program("old"))
    for result in (both.preview(lambda: program("new")), both.up(lambda: program("new"))):
        assert [failure.urn.rpartition("::")[2] for failure in result.failures] == ["r"]
        assert "protect" in result.failures[0].message
    assert [thing["name"] for thing in both.cloud.things.values()] == ["old"]


def test_a_retained_resource_is_forgotten_but_stays(both: Bench) -> None:
    both.up(lambda: Thing("kept", opts=ResourceOptions(retain_on_delete=True)))
    assert by_name(both.up(lambda: None)) == {"kept": "keep"}
    assert both.resources() == {}
    both.up(lambda: thing_called("r", "one", ResourceOptions(retain_on_delete=True)))
    assert by_name(both.up(lambda: thing_called("r", "two", ResourceOptions(retain_on_delete=True)))) == {
        "r": "replace"
    }
    both.destroy()
    assert sorted(thing["name"] for thing in both.cloud.things.values()) == ["kept", "one", "two"]


def test_what_is_deleted_with_another_resource_is_not_deleted_itself(both: Bench) -> None:
    def program() -> None:
        whole = Thing("whole")
        Thing("part", opts=ResourceOptions(deleted_with=whole, depends_on=[whole]))

    both.up(program)
    assert both.destroy().counts == {"delete": 2}
    assert both.done("end delete") == ["end delete whole"]


def test_ignored_changes_are_ignored_at_any_depth(both: Bench) -> None:
    def program(size: int, team: str, owner: str, last: int) -> None:
        opts = ResourceOptions(ignore_changes=["size", "tags.team", "rules[0].days"])
        props = {
            "size": size,
            "tags": {"team": team, "owner": owner},
            "rules": [{"days": size, "last": last}],
        }
        Thing("a", opts=opts, **props)
        Note("n", opts=opts, **props)

    both.up(lambda: program(1, "x", "o", 1))
    assert both.up(lambda: program(2, "y", "o", 1)).counts == {"same": 2}
    assert both.up(lambda: program(3, "z", "p", 2)).counts == {"update": 2}
    for name in ("a", "n"):
        thing = both.cloud.named(name)
        assert (thing["size"], thing["tags"]) == (1, {"team": "x", "owner": "p"})
        assert thing["rules"] == [{"days": 1, "last": 2}]


def test_an_aliased_resource_is_found_again_by_name_type_parent_or_urn(both: Bench) -> None:
    both.up(lambda: [Thing(name) for name in ("a", "b", "c")])
    ids = set(both.cloud.things)

    def renamed() -> None:
        thing_called("a2", "a", ResourceOptions(aliases=[Alias(name="a")]))
        urn = "urn:pulumi:dev::test::fake:index:Thing::b"
        thing_called("b2", "b", ResourceOptions(aliases=[urn]))
        parent = pulumi.ComponentResource("test:index:Parent", "parent")
        Thing("c", opts=ResourceOptions(parent=parent, aliases=[Alias(parent=pulumi.ROOT_STACK_RESOURCE)]))

    assert both.preview(renamed).counts == {"same": 3}
    assert both.up(renamed).counts == {"same": 3}
    assert set(both.cloud.things) == ids
    assert sorted(both.resources()) == ["a2", "b2", "c", "parent"]


def test_children_of_a_renamed_component_keep_their_resources(both: Bench) -> None:
    def program(name: str, *aliases: Alias) -> None:
        Thing("unrelated")
        Box(name, opts=ResourceOptions(aliases=list(aliases)))

    both.up(lambda: program("old"))
    made = both.up(lambda: program("new", Alias(name="old"), Alias(name="other")))
    assert by_name(made) == {"unrelated": "same", "new-thing": "replace"}  # its name in the cloud changed
    assert sorted(both.resources()) == ["new", "new-thing", "unrelated"]


def test_options_of_a_component_reach_its_children(both: Bench) -> None:
    both.up(lambda: Box("x", opts=ResourceOptions(protect=True)))
    refused = both.destroy()
    assert {failure.urn.rpartition("::")[2] for failure in refused.failures} >= {"x-thing"}
    assert both.cloud.named("x-thing")


def test_secrets_stay_secret_in_outputs_and_state(both: Bench) -> None:
    both.config = {**both.config, "test:token": CANARY}
    both.secret_keys = frozenset({"test:token"})

    def program() -> None:
        token = pulumi.Config("test").require_secret("token")
        thing = Thing(
            "a",
            password=token,
            tags={"inner": token},
            opts=ResourceOptions(additional_secret_outputs=["derived"]),
        )
        note = Note("n", password=token, opts=ResourceOptions(additional_secret_outputs=["stamp"]))
        pulumi.export("password", thing.password)
        pulumi.export("derived", thing.derived)
        pulumi.export("stamp", note.stamp)
        pulumi.export("within", {"plain": "seen", "secret": token})
        pulumi.export("number", pulumi.Output.secret(5))

    assert CANARY not in repr(both.preview(program))
    made = both.up(program)
    again = both.up(program)
    assert again.counts == {"same": 2}
    for result in (made, again, both.refresh()):
        outputs = result.outputs
        assert outputs["password"].value == CANARY
        assert outputs["derived"].value == f"<{CANARY}>"
        assert outputs["stamp"].value == "stamp of n"
        assert outputs["within"]["plain"] == "seen"
        assert outputs["within"]["secret"].value == CANARY
        assert outputs["number"].value == 5
        assert CANARY not in repr(result)
        exported = json.dumps(both.engine.export())
        assert CANARY not in exported
        assert "stamp of n" not in exported
        sealed = both.resources()["a"]["outputs"]["password"]
        assert sealed["4dabf18193072939515e22adb298388d"] == "1b47061264138c4ac30d75fd1eb44270"
    assert both.cloud.named("a")["password"] == CANARY


def test_unknown_values_reach_checks_and_diffs_in_a_preview(both: Bench) -> None:
    seen: list[str] = []

    def program(name: str) -> None:
        first = thing_called("first", name)
        second = Thing("second", on=first.arn, known="k")
        Note("third", on=second.arn)
        first.arn.apply(seen.append)
        pulumi.Output.all(second.name).apply(lambda names: seen.append(names[0]))

    both.preview(lambda: program("x"))
    assert seen == ["second"]
    both.up(lambda: program("x"))
    assert sorted(seen) == ["arn:x", "second", "second"]
    seen.clear()
    planned = both.preview(lambda: program("y"))
    assert by_name(planned) == {"first": "replace", "second": "update", "third": "update"}
    assert seen == ["second"]


def test_custom_timeouts_and_transformations_are_accepted(both: Bench) -> None:
    def bigger(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
        return pulumi.ResourceTransformationResult({**args.props, "size": 9}, args.opts)

    opts = ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="1s"), transformations=[bigger])
    assert both.up(lambda: Thing("a", size=1, opts=opts)).counts == {"create": 1}
    assert both.cloud.named("a")["size"] == 9


def test_an_asset_reaches_the_provider_as_it_is(both: Bench) -> None:
    both.up(lambda: Thing("a", note=pulumi.StringAsset("hello")))
    assert both.cloud.named("a")["note"]["text"] == "hello"
    assert both.up(lambda: Thing("a", note=pulumi.StringAsset("hello"))).counts == {"same": 1}


def test_a_resource_given_as_a_property_arrives_as_its_id(both: Bench) -> None:
    both.up(lambda: Thing("b", note=Thing("a")))
    assert both.cloud.named("b")["note"] == both.cloud.id_of("a")


def test_a_provider_whose_configuration_is_unknown_can_be_previewed(both: Bench) -> None:
    def program() -> None:
        region = Thing("a").arn
        Thing("b", opts=ResourceOptions(provider=FakeCloudProvider("p", region)))

    assert both.preview(program).counts == {"create": 2}
    assert both.up(program).counts == {"create": 2}
    assert both.preview(program).counts == {"same": 2}


def test_a_resource_moves_between_providers_without_being_replaced(both: Bench) -> None:
    def program(explicit: bool) -> None:
        provider = FakeCloudProvider("p", "mars") if explicit else None
        Thing("a", opts=ResourceOptions(provider=provider))

    both.up(lambda: program(False))
    assert by_name(both.up(lambda: program(True))) == {"a": "same"}
    assert by_name(both.up(lambda: program(False))) == {"a": "same"}
    assert both.destroy().counts == {"delete": 1}


def test_a_replacement_takes_along_what_is_to_be_replaced_with_it(both: Bench) -> None:
    def program(name: str) -> None:
        root = thing_called("root", name)
        Thing("together", opts=ResourceOptions(replace_with=[root]))
        Thing("part", opts=ResourceOptions(deleted_with=root))
        Thing("apart", opts=ResourceOptions(depends_on=[root]))

    both.up(lambda: program("old"))
    replaced = by_name(both.up(lambda: program("new")))
    assert replaced == {"root": "replace", "together": "replace", "part": "replace", "apart": "same"}
    assert both.up(lambda: program("new")).counts == {"same": 4}


def test_what_was_only_read_can_become_owned_and_the_other_way_round(both: Bench) -> None:
    both.cloud.put("theirs", {"name": "theirs"})
    both.up(lambda: thing_called("r", "theirs", ResourceOptions(id="theirs")))
    owned = both.up(lambda: thing_called("r", "mine"))
    assert by_name(owned) == {"r": "replace"}
    assert sorted(thing["name"] for thing in both.cloud.things.values()) == ["mine", "theirs"]
    read = both.up(lambda: thing_called("r", "theirs", ResourceOptions(id="theirs")))
    assert by_name(read) == {"r": "read"}
    assert [thing["name"] for thing in both.cloud.things.values()] == ["theirs"]


def test_reading_what_is_not_there_fails(both: Bench) -> None:
    failed = both.up(lambda: thing_called("r", "theirs", ResourceOptions(id="theirs")))
    assert [failure.message for failure in failed.failures] == ["resource 'theirs' does not exist"]


def test_a_value_that_becomes_secret_changes_nothing_but_is_hidden(both: Bench) -> None:
    both.up(lambda: Thing("a", note=CANARY))
    assert CANARY in json.dumps(both.engine.export())
    assert both.up(lambda: Thing("a", note=pulumi.Output.secret(CANARY))).counts == {"same": 1}
    assert CANARY not in json.dumps(both.engine.export())


def test_the_state_holds_the_config_of_default_providers_with_its_secrets_hidden(both: Bench) -> None:
    both.config = {"fake:region": "mars", "fake:token": CANARY, "test:plain": "seen"}
    both.secret_keys = frozenset({"fake:token"})
    both.up(lambda: (Thing("a"), Note("n")))

    resources = both.engine.export()["deployment"]["resources"]
    states = {state["urn"].rpartition("::")[2]: state for state in resources}
    defaults = {state["type"]: state for state in resources if state["urn"].endswith("::default")}
    fake, dynamic = defaults["pulumi:providers:fake"], defaults["pulumi:providers:pulumi-python"]
    assert len(defaults) == 2
    assert states["a"]["provider"] == f"{fake['urn']}::{fake['id']}"
    assert states["n"]["provider"] == f"{dynamic['urn']}::{dynamic['id']}"
    hidden = {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "[secret]"}
    for part in ("inputs", "outputs"):
        assert fake[part] == {"region": "mars", "token": hidden}
        assert dynamic[part] == {"fake:region": "mars", "fake:token": hidden, "test:plain": "seen"}
    assert CANARY not in json.dumps(resources)

    both.secret_keys = frozenset()  # what is plain in the config is plain in the state
    both.up(lambda: (Thing("a"), Note("n")))
    assert CANARY in json.dumps(both.engine.export())


def test_two_previews_leave_no_trace_of_each_other(both: Bench) -> None:
    both.up(lambda: thing_called("r", "one", zone="x"))
    before = both.engine.export()["deployment"]["resources"]
    for name in ("two", "three"):
        assert by_name(both.preview(partial(thing_called, "r", name, zone=name))) == {"r": "replace"}
    assert both.engine.export()["deployment"]["resources"] == before
    assert both.preview(lambda: thing_called("r", "one", zone="x")).counts == {"same": 1}

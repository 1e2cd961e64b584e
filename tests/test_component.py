"""Children of our components wait for what the component waits for, and failures come with a remedy."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pulumi import ResourceOptions
from pulumi.runtime import settings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import set_root_resource

from lightly_infra.component import Component, remedy_for
from lightly_infra.sandbox.engine import monitor
from lightly_infra.updates.changes import Failure
from tests import pulumi_mocks
from tests.sandbox.engine_fixtures import Thing
from tests.sandbox.engine_harness import Bench, bench, on_both_engines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NO_ROOM = "Make room: delete what you do not need."
NO_KEYS = "Ask for an exception to the policy."
URN = "urn:pulumi:dev::test::lightly-infra:test:Shelf$fake:index:Thing::"


class Shelf(Component):
    """A component of things, with remedies."""

    failures: ClassVar[Mapping[str, str]] = {r"(?i)no room": NO_ROOM, r"constraints/\w+Keys": NO_KEYS}

    def __init__(self, name: str, things: Mapping[str, dict[str, Any]], opts: ResourceOptions | None = None) -> None:
        super().__init__("test:Shelf", name, opts)
        self.things = [Thing(it, opts=self.child(), **props) for it, props in things.items()]


class Plain(Component):
    """A component without remedies."""

    def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
        super().__init__("test:Plain", name, opts)
        self.thing = Thing(f"{name}-thing", opts=self.child(protect=True))


@pytest.fixture
def both(engine_name: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(engine_name, tmp_path) as made:
        yield made


@on_both_engines()
def test_the_remedy_of_a_failure_is_told_with_the_resource_that_failed(both: Bench) -> None:
    failed = both.up(lambda: Shelf("s", {"a": {"fails": "Sorry, NO ROOM\nin the cloud"}}))
    assert Counter(failed.failures) == Counter(
        [Failure(URN + "a", "Sorry, NO ROOM\nin the cloud"), Failure(URN + "a", NO_ROOM)]
    )
    assert both.done("begin create") == ["begin create a"], "it is not tried again"


@on_both_engines()
def test_a_remedy_is_told_for_updates_and_deletes_too(both: Bench) -> None:
    both.up(lambda: Shelf("s", {"a": {}, "b": {}}))
    failed = both.up(lambda: Shelf("s", {"a": {"fails": "no room"}, "b": {}}))
    assert {it.message for it in failed.failures} == {"no room", NO_ROOM}
    (both.cloud.directory / "keep-b").touch()
    assert {it.message for it in both.up(lambda: Shelf("s", {"a": {}})).failures} == {"b cannot be deleted now"}


@on_both_engines()
def test_a_remedy_is_told_once_however_many_resources_fail_for_it(both: Bench) -> None:
    things = {name: {"fails": "no room", "meets": "m"} for name in ("a", "b")}
    failed = both.up(lambda: Shelf("s", things))
    messages = Counter(it.message for it in failed.failures)
    assert messages == {"no room": 2, NO_ROOM: 1}


@on_both_engines()
def test_each_run_tells_its_remedies_anew_and_many_components_share_one_hook(both: Bench) -> None:
    def program() -> None:
        Shelf("s", {"a": {}})
        Shelf("t", {"b": {"fails": "constraints/iam.disableKeys"}})
        Shelf("u", {"c": {"fails": "constraints/anyKeys"}})

    for _ in range(2):
        failed = both.up(program)
        assert [it.message for it in failed.failures].count(NO_KEYS) == 1


@on_both_engines()
def test_a_failure_without_a_remedy_stays_as_it_is(both: Bench) -> None:
    assert both.up(lambda: Shelf("s", {"a": {"fails": "huh"}})).failures == (Failure(URN + "a", "huh"),)


@on_both_engines()
def test_what_has_remedies_is_refreshed_and_destroyed_without_the_program(both: Bench) -> None:
    both.up(lambda: Shelf("s", {"a": {}}))
    assert both.engine.export()["version"] == 4
    assert not both.refresh().failed
    (both.cloud.directory / "keep-a").touch()
    assert both.destroy().failures == (Failure(URN + "a", "a cannot be deleted now"),)
    (both.cloud.directory / "keep-a").unlink()
    assert both.destroy().counts == {"delete": 1}


@on_both_engines()
def test_a_component_without_remedies_leaves_nothing_in_the_state(both: Bench) -> None:
    both.up(lambda: Plain("p"))
    assert both.engine.export()["version"] == 3
    assert not [it for it in both.resources().values() if "resourceHooks" in it]


def test_children_wait_for_what_the_component_waits_for(tmp_path: Path) -> None:
    def program() -> None:
        first = Thing("first")
        Plain("p", ResourceOptions(depends_on=[first]))

    with bench("embedded", tmp_path) as engine:
        engine.up(program)
        child = engine.resources()["p-thing"]
        assert child["dependencies"] == ["urn:pulumi:dev::test::fake:index:Thing::first"]
        assert child["protect"]


def test_an_engine_that_knows_no_error_hooks_is_not_asked_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = [it for it in monitor._FEATURES if it != resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS]
    monkeypatch.setattr(monitor, "_FEATURES", features)
    with bench("embedded", tmp_path) as old:
        assert old.up(lambda: Shelf("s", {"a": {}})).counts == {"create": 1}
        assert old.engine.export()["version"] == 3
        assert old.up(lambda: Shelf("s", {"a": {"fails": "no room"}})).failures == (Failure(URN + "a", "no room"),)


def test_a_component_with_remedies_can_be_tested_with_mocks() -> None:
    assert len(pulumi_mocks.run(lambda: Shelf("s", {"a": {}})).of("fake:index:Thing")) == 1


def test_a_component_that_a_plugin_builds_has_no_remedies() -> None:
    def program() -> None:
        set_root_resource(None)  # type: ignore[arg-type]  # as the SDK itself does in plugins
        hooks = Shelf("s", {}).child().hooks
        assert hooks is None or not hooks.on_error

    pulumi_mocks.run(program)


def test_the_first_pattern_that_is_found_gives_the_remedy() -> None:
    failures = {"b+": "second", "a": "first"}
    assert remedy_for("abc", failures) == "second"
    assert remedy_for("a", failures) == "first"
    assert remedy_for("c", failures) is None


OUTSIDE = """
import pulumi

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        return args.name, dict(args.inputs)

    def call(self, args):
        return {}

pulumi.runtime.set_mocks(Mocks())
from lightly_infra.clouds import aws, azure, gcp, obs

made = [
    aws.Bucket("aws"),
    azure.ResourceGroup("azure", {"location": "westeurope"}),
    gcp.Bucket("gcp", {"location": "EU"}),
    obs.Bucket("obs", {"endpoint": "https://obs.example.com", "region": "eu-de"}),
]

@pulumi.runtime.test
def check():
    return pulumi.Output.all(*(it.urn for it in made)).apply(lambda urns: print(len(urns), "made"))

check()
"""


def test_components_are_made_in_users_own_unit_tests_too_outside_of_any_event_loop() -> None:
    done = subprocess.run([sys.executable, "-c", OUTSIDE], capture_output=True, text=True, check=False, timeout=60)
    assert "4 made" in done.stdout, done.stderr


@pytest.mark.parametrize("gone", ["_get_callbacks", "monitor_supports_feature"])
def test_an_sdk_that_is_another_inside_costs_the_remedies_only(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(settings, gone)
    with bench("embedded", tmp_path) as embedded:
        failed = embedded.up(lambda: Shelf("s", {"a": {"fails": "no room"}}))
    assert [it.message for it in failed.failures] == ["no room"]

"""End to end, on every cloud: what is said of what lies in an Input, and of what a retention would delete."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import epochs
from lightly_infra.sandbox.environment import EngineName, Sandbox
from tests.e2e.clouds import CLOUDS, Cloud
from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.engine.interface import Program

    Make = Callable[..., Program]

Logged = list[tuple[str, str]]


@pytest.fixture(params=list(CLOUDS))
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture
def logged() -> Logged:
    return []


@pytest.fixture
def sandbox(engine: EngineName, cloud: Cloud, logged: Logged) -> Iterator[Sandbox]:
    with Sandbox(engine=engine, clouds=[cloud.key], on_log=lambda *line: logged.append(line)) as running:
        yield running


def said(logged: Logged, severity: str) -> list[str]:
    found = [message for of, message in logged if of == severity and message.startswith("scenes.input.")]
    logged.clear()
    return found


def datasets(cloud: Cloud, **of_input: object) -> dict[str, Any]:
    source, target = copy.deepcopy(dict(cloud.brought)), copy.deepcopy(dict(cloud.made))
    return {"scenes": {"verify_deadline": 5, "input": {cloud.key: source | of_input}, "lightly": {cloud.key: target}}}


def test_a_new_input_says_what_can_be_read_and_a_mistyped_prefix_that_nothing_can(
    sandbox: Sandbox, program: Make, cloud: Cloud, logged: Logged
) -> None:
    deploy(sandbox, program(datasets(cloud)))
    assert [it.partition(" under ")[0] for it in said(logged, "info")] == [
        f"scenes.input.{cloud.key}: 3 files for Images"
    ]

    assert not sandbox.preview(program(datasets(cloud))).failures
    assert (said(logged, "info"), said(logged, "warning")) == ([], []), "an unchanged Input is not mentioned"

    # The sandbox would play the user's part and put files there; nobody does for a slip.
    assert not sandbox.engine.preview(program(datasets(cloud, prefix="rwa/"))).failures
    becomes, nothing = said(logged, "warning")
    assert becomes.startswith(f"scenes.input.{cloud.key}: the Input was ")
    assert "raw/ and becomes " in becomes
    assert nothing.startswith(f"scenes.input.{cloud.key}: there is no file under ")
    assert "rwa/: look for a slip in the prefix" in nothing


def test_a_retention_that_is_added_says_what_it_deletes_at_once(
    sandbox: Sandbox, program: Make, cloud: Cloud, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dict(cloud.made) | {"prefix": "raw/"} | ({"container_wide": True} if cloud.key == "azure" else {})
    made.pop("container", None)
    wanted = datasets(cloud)
    wanted["scenes"]["input"][cloud.key] = made
    result = deploy(sandbox, program(wanted))
    sandbox.put_images(result.outputs["datasets"]["scenes"]["input"]["path"])
    logged.clear()
    later = epochs.now().replace(year=epochs.now().year + 1)
    monkeypatch.setattr(epochs, "now", lambda: later)
    expiring = copy.deepcopy(wanted)
    expiring["scenes"]["input"][cloud.key]["retention_days"] = 60

    assert not sandbox.preview(program(expiring)).failures
    (warning,) = said(logged, "warning")
    assert f"scenes.input.{cloud.key}: retention_days: 3 of the 3 files under " in warning
    assert "are older than 60 days and are deleted when the rule first runs" in warning

    expiring["scenes"]["strict_retention"] = True
    (failure,) = sandbox.up(program(expiring)).failures
    assert "retention_days: 3 of the 3 files under " in failure.message

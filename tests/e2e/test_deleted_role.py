"""End to end: a custom role of Google Cloud that somebody has deleted, which Google and its provider keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lightly_infra.sandbox.engine.pulumi_cli import PulumiEngine
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.updates.changes import Operation
from tests.e2e.clouds import CLOUDS, dataset
from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.engine.interface import Program, Result

    Make = Callable[..., Program]


@pytest.fixture
def sandbox(engine: EngineName) -> Iterator[Sandbox]:
    with Sandbox(engine=engine, clouds=["gcs"]) as running:
        yield running


def replaced(sandbox: Sandbox, program: Program, role: str) -> Result:
    """`pulumi up --replace` of the role, which would delete it again after the provider has brought it back."""
    if not isinstance(sandbox.engine, PulumiEngine):
        return sandbox.up(program)  # has no such option: what the program says comes before it all the same
    resources = sandbox.export()["deployment"]["resources"]
    (urn,) = (it["urn"] for it in resources if it.get("outputs", {}).get("name") == role)
    return sandbox.engine._run(program, None, "up", "--yes", "--skip-preview", "--replace", urn)


def test_a_deleted_role_is_named_with_the_command_that_brings_it_back(sandbox: Sandbox, program: Make) -> None:
    wanted = program({"scenes": dataset(CLOUDS["gcs"], CLOUDS["gcs"])})
    deploy(sandbox, wanted)
    roles = [
        it["outputs"]["name"]
        for it in sandbox.export()["deployment"]["resources"]
        if it["type"] == "gcp:projects/iAMCustomRole:IAMCustomRole"
    ]
    role = next(it for it in roles if "input" in it)
    sandbox.gcp.delete_role(role)
    role_id = role.rpartition("/")[2]
    command = f"gcloud iam roles undelete {role_id} "  # the project may be hidden: here all of the config is a secret

    for run in (sandbox.preview, sandbox.up, lambda it: replaced(sandbox, it, role)):
        result = run(wanted)
        assert any(command in it.message for it in result.failures), result
        assert not [it for it in result.changes if it.operation is not Operation.SAME], result
    # What `pulumi up --refresh` does, and `lightly-infra check`.
    assert any(command in it.message for it in sandbox.drift(wanted).failures)
    assert not sandbox.refresh(wanted).failures
    asked = len(sandbox.lightly.requests)
    assert any(command in it.message for it in sandbox.up(wanted).failures)
    assert not any("verify" in str(it) for it in sandbox.lightly.requests[asked:]), "nobody waits for what cannot come"

    sandbox.gcp.undelete_role(role)
    assert not sandbox.refresh(wanted).failures
    assert sandbox.report(deploy(sandbox, wanted)).ok

    sandbox.gcp.delete_role(role)
    (failure,) = sandbox.destroy(wanted).failures
    assert "Error deleting the custom project role" in failure.message
    assert role_id in failure.message
    sandbox.gcp.undelete_role(role)
    assert not sandbox.destroy(wanted).failures

"""Stacks of versions before: today's code takes their state over, and replaces nothing."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lightly_infra import epochs
from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.updates.changes import Change, Operation
from tests.upgrades.record import checkpoint, program

CHECKPOINTS = sorted((Path(__file__).parents[1] / "upgrades").glob("*.json"))


@pytest.fixture(params=CHECKPOINTS, ids=lambda it: it.stem)
def recorded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A checkpoint, on its own day: on a later one, what is renewed by epoch would be due."""
    it = json.loads(request.param.read_text())
    noon = datetime.fromisoformat(it["day"]).replace(hour=12, tzinfo=UTC)
    monkeypatch.setattr(epochs, "now", lambda: noon)
    return it


def accounts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """The storage accounts that the stack has made, each with its resource group."""
    made = [it for it in document["deployment"]["resources"] if it["type"] == "azure-native:storage:StorageAccount"]
    return [(it["inputs"]["resourceGroupName"], it["outputs"]["name"]) for it in made]


# What says who made it, since 2026-11-27: it changes in place.
MARKED = {
    *("aws:iam/role:Role", "aws:iam/user:User", "aws:s3/bucket:Bucket"),
    *("azure-native:resources:ResourceGroup", "azure-native:storage:StorageAccount"),
    *("gcp:projects/iAMCustomRole:IAMCustomRole", "gcp:serviceaccount/account:Account", "gcp:storage/bucket:Bucket"),
}


def may_change(change: Change) -> bool:
    if change.type in MARKED and change.operation is Operation.UPDATE:
        return True
    # It reads back what was set, and is told what that is.
    if change.type.endswith("lightly:Verification") and change.operation is Operation.UPDATE:
        return True
    # Its statements' ids tell the user as well.
    if change.type.endswith("obs:Grant") and change.operation is Operation.UPDATE:
        return True
    # Another emulated account than then signs the SAS.
    return (
        change.type.endswith("lightly:Datasource")
        and change.operation is Operation.UPDATE
        and change.name.startswith("on-azure")
    )


def test_an_upgrade_replaces_makes_and_deletes_nothing(engine: EngineName, recorded: Any) -> None:
    wanted, document = program(recorded["datasets"]), recorded["document"]
    with Sandbox(engine=engine) as sandbox:
        try:
            for group, account in accounts(document):
                sandbox.azure.make_account(group, account)
        except CannotStart as error:
            pytest.skip(str(error))
        sandbox.engine.load(wanted, document)

        result = sandbox.preview(wanted)

        assert not result.failures, result.failures
        assert [it for it in result.changes if it.operation is not Operation.SAME and not may_change(it)] == []
        # All that was there was looked at.
        before = Counter(it["type"] for it in document["deployment"]["resources"] if it["custom"])
        after = Counter(it.type for it in result.changes)
        assert after == Counter({it: count for it, count in before.items() if "pulumi:providers:" not in it})


@pytest.mark.parametrize("file", CHECKPOINTS, ids=lambda it: it.stem)
def test_a_checkpoint_holds_nothing_that_passes_for_a_secret(file: Path) -> None:
    text = file.read_text()
    it = json.loads(text)
    assert "PRIVATE KEY" not in text
    assert checkpoint(it["datasets"], it["document"], day=it["day"], commit=it["commit"]) == text, "it was scrubbed"

"""What a state knows of what was made, and what is told of the rest."""

from __future__ import annotations

import pytest

from lightly_infra import health
from lightly_infra.health import Health, State
from lightly_infra.leftovers import Known, Leftover
from lightly_infra.ownership import Owner

OWNER = Owner("acme/vision/prod", "lightly-scenes-input")
USER = {"id": "lightly-a-1", "inputs": {"tags": OWNER.tags}, "outputs": {"name": "lightly-a-1", "arn": "arn:of:a"}}


def test_what_carries_the_marks_of_the_state_is_the_stacks_unless_it_is_known() -> None:
    known = Known.of([USER, {"type": "pulumi:pulumi:Stack"}])

    assert known.component("lightly-b-2", OWNER.tags) == "lightly-scenes-input"
    assert known.component("lightly-a-1", OWNER.tags) is None
    assert known.component("lightly-b-2", Owner("acme/vision/dev", "x").tags) is None
    assert known.component("lightly-b-2", {"managed-by": "lightly-infra"}) is None


@pytest.mark.parametrize(
    "inputs",
    [{"labels": OWNER.labels}, {"metadata": OWNER.metadata}, {"description": OWNER.describe("Lightly reads.")}],
)
def test_marks_are_known_in_the_form_of_every_cloud(inputs: dict[str, object]) -> None:
    assert len(Known.of([{"id": "a", "inputs": inputs}]).stacks) == 1


def test_an_identity_is_to_be_removed_and_storage_is_kept() -> None:
    found = [Leftover("IAM user", "lightly-b", "scenes", ("aws iam delete-user --user-name lightly-b",))]

    (orphan,) = health.leftovers("s3", found)
    (kept,) = health.leftovers("s3", [Leftover("S3 bucket", "lightly-c", "scenes")])
    (nothing,) = health.leftovers("s3", [])

    assert (orphan.state, kept.state, nothing.state) == (State.EXPIRING, State.HEALTHY, State.HEALTHY)
    assert "remove it with `aws iam delete-user --user-name lightly-b`" in orphan.message
    assert kept.message.startswith("kept: ")


def test_a_cloud_that_cannot_be_listed_is_unknown_and_no_reason_to_fail() -> None:
    finding = health.not_listed("azure", "it cannot be listed from here")

    assert finding.state is State.UNKNOWN
    assert Health("dev", (finding,)).exit_code == 0

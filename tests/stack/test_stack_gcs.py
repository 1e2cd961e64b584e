"""From the YAML to components on Google Cloud Storage: what is made, and what is made once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import epochs, stack
from lightly_infra.clouds.gcp import policy
from lightly_infra.permissions import Purpose
from tests.clouds.test_gcp_access import BROUGHT, OWN
from tests.pulumi_mocks import GOOGLE_KEY, PROJECT_ID, Recording, Secret, in_the_open, made_by, run

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "projects/acme-vision-prod/locations/europe-west3/keyRings/ring/cryptoKeys/key"
DATASOURCE = "pulumi-python:dynamic/lightly:Datasource"

BROUGHT_BUCKET: Mapping[str, Any] = {"bucket": "acme-raw", "prefix": "street-scenes/"}
MADE_BUCKET: Mapping[str, Any] = {"create": True, "prefix": "lightly/", "location": "europe-west3"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "canary-token-of-lightly")


def datasets(source: Mapping[str, Any] = BROUGHT_BUCKET, target: Mapping[str, Any] = MADE_BUCKET) -> dict[str, Any]:
    return {"street-scenes": {"input": {"gcs": source}, "lightly": {"gcs": target}}}


def up(declared: Mapping[str, Any] | None = None, *, preview: bool = False, **more: str) -> Recording:
    config = {"lightly-infra:datasets": json.dumps(declared or datasets()), "gcp:project": PROJECT_ID}
    config |= {f"lightly-infra:{name}": value for name, value in more.items()}
    return run(stack.main, preview=preview, config=config, secret_keys=[stack.DATASETS_KEY])


def test_each_purpose_gets_a_service_account_and_a_role_of_its_own() -> None:
    recording = up()
    source, target = "lightly-street-scenes-input", "lightly-street-scenes-lightly"
    for type_ in ("serviceaccount/account", "serviceaccount/key", "projects/iAMCustomRole", "storage/bucketIAMMember"):
        assert [it.name for it in recording.of(f"gcp:{type_}")] == [source, target]
    assert [it.inputs["permissions"] for it in recording.of("IAMCustomRole")] == [
        policy.permissions(Purpose.INPUT),
        policy.permissions(Purpose.LIGHTLY),
    ]
    assert [(it.type, it.name) for it in recording.of("gcp:storage/bucket:")] == [("gcp:storage/bucket:Bucket", target)]


def test_what_is_made_is_in_the_project_and_the_bucket_in_its_location() -> None:
    recording = up()
    for it in (*recording.of("IAMCustomRole"), *recording.of("serviceaccount/account"), recording.one("bucket:Bucket")):
        assert it.inputs["project"] == PROJECT_ID
    assert recording.one("bucket:Bucket").inputs["location"] == "EUROPE-WEST3"


def test_lightly_is_told_of_both() -> None:
    told = up().of(DATASOURCE)
    assert [it.inputs["full_path"] for it in told] == [
        "gs://acme-raw/street-scenes/",
        "gs://lightly-street-scenes-lightly-0a1b2c3/lightly/",
    ]
    for it in told:
        assert it.inputs["gcs_credentials"] == Secret(GOOGLE_KEY)
        assert it.inputs["gcs_project_id"] == PROJECT_ID


def test_the_options_of_the_yaml_reach_the_bucket() -> None:
    more = {"bucket": "acme-lightly", "kms_key": KEY, "versioning": True, "labels": {"team": "vision"}}
    recording = up(datasets(target={**MADE_BUCKET, **more}))
    inputs = recording.one("bucket:Bucket").inputs
    assert recording.one("bucket:Bucket").name == "acme-lightly-bucket"
    assert inputs["name"] == "acme-lightly"
    assert inputs["encryption"] == {"defaultKmsKeyName": KEY}
    assert inputs["versioning"] == {"enabled": True}
    assert inputs["labels"] == made_by("acme-lightly-bucket").labels | {"team": "vision"}


def test_listing_the_whole_bucket_is_granted_if_asked_for() -> None:
    granted = up(datasets({**BROUGHT_BUCKET, "bucket_wide_listing": True})).of("IAMMember")
    assert ["resource.type" in it.inputs["condition"]["expression"] for it in granted] == [True, False]


def test_a_shared_account_is_made_once_and_granted_each() -> None:
    access = {"access": {"share": "team"}}
    recording = up(datasets({**BROUGHT_BUCKET, **access}, {**MADE_BUCKET, **access}))
    assert [it.name for it in recording.of("serviceaccount/")] == ["lightly-team-shared"] * 2
    assert len(recording.of("IAMMember")) == 2


def test_an_account_of_yours_is_granted_and_not_made() -> None:
    recording = up(datasets({**BROUGHT_BUCKET, "access": {"service_account": OWN}}))
    assert recording.one("serviceaccount/key", "lightly-street-scenes-input").inputs == {"serviceAccountId": OWN}
    assert recording.one("serviceaccount/account").name == "lightly-street-scenes-lightly"
    assert recording.one("IAMMember", "lightly-street-scenes-input").inputs["member"] == f"serviceAccount:{OWN}"


def test_credentials_of_yours_are_granted_nothing_and_stay_secret() -> None:
    recording = up(datasets({**BROUGHT_BUCKET, "access": {"credentials": BROUGHT}}))
    assert not [it for it in recording.of("gcp:") if it.custom and it.name == "lightly-street-scenes-input"]
    text = " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)
    assert "canary" not in text


def test_keys_are_renewed_by_the_epoch_of_today_and_what_was_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "now", lambda: datetime(2026, 11, 22, tzinfo=UTC))  # epoch 230 of 90 days
    wanted = datasets({**BROUGHT_BUCKET, "access": {"rotate_every_days": 90}})
    recording = up(wanted, rotation="1")
    assert [it.name for it in recording.of("serviceaccount/key")] == [
        *(f"lightly-street-scenes-input-{it}" for it in (230, 231)),
        "lightly-street-scenes-lightly",
    ]
    assert recording.stack_outputs["credentials"]["street-scenes"]["input"]["epoch"] == 231


def test_a_bucket_that_several_use_is_made_once_under_its_own_name() -> None:
    first = datasets(target={**MADE_BUCKET, "bucket": "acme-lightly"})
    second = datasets(target={"bucket": "acme-lightly", "prefix": "night/"})
    recording = up({**first, "night-drives": second["street-scenes"]})
    assert recording.one("bucket:Bucket").name == "acme-lightly-bucket"
    granted = [it.inputs for it in recording.of("IAMMember") if it.inputs["bucket"] == "acme-lightly"]
    assert len(granted) == 2
    # Both have their directory made.
    assert [it.inputs["name"] for it in recording.of("BucketObject")] == ["night/", "lightly/"]


def test_all_that_costs_money_waits_until_lightly_knows_the_dataset() -> None:
    recording = up()
    registered = recording.one("pulumi-python:dynamic/lightly:Dataset").urn
    waiting = [it for it in recording.custom if it.type.startswith(("gcp:", "random:"))]
    assert len(waiting) == 14
    assert [it for it in waiting if registered not in recording.waits_for(it)] == []


def test_lightly_verifies_after_the_grants() -> None:
    recording = up()
    granted = {it.urn for it in recording.of("IAMMember")}
    assert granted <= recording.waits_for(recording.one("pulumi-python:dynamic/lightly:Verification"))


def test_the_stacks_outputs_name_the_service_accounts_and_hide_their_keys() -> None:
    outputs = up().stack_outputs
    assert outputs["datasets"]["street-scenes"]["input"] == {
        "path": "gs://acme-raw/street-scenes/",
        "service_account": f"lightly-street-scenes-0a1b2c3d@{PROJECT_ID}.iam.gserviceaccount.com",
    }
    assert outputs["credentials"]["street-scenes"]["input"] == {
        "kind": "service account key",
        "created": "2026-11-24T10:11:12Z",
    }
    assert "canary" not in str(outputs)


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(up(preview=True).of("gcp:")) > 6


# -- what expires


def expires(recording: Recording, bucket: str) -> list[Any]:
    """Conditions of the rules that delete something in a bucket."""
    rules = recording.one("gcp:storage/bucket:Bucket", bucket).inputs["lifecycleRules"]
    return [it["condition"] for it in rules if it["action"]["type"] == "Delete"]


def test_an_input_that_is_kept_for_some_days_expires_and_nothing_else() -> None:
    recording = up(datasets({**MADE_BUCKET, "prefix": "raw/", "retention_days": 30}))
    assert expires(recording, "lightly-street-scenes-input") == [
        {"age": 30, "withState": "LIVE", "matchesPrefixes": ["raw/"]}
    ]
    assert expires(recording, "lightly-street-scenes-lightly") == []


@pytest.mark.parametrize("made_by", ["street-scenes", "night-drives"])
def test_all_inputs_of_a_bucket_expire_whichever_dataset_makes_it(made_by: str) -> None:
    def dataset(key: str, days: int) -> dict[str, Any]:
        source = {**MADE_BUCKET, "bucket": "acme-inputs", "prefix": f"{key}/", "retention_days": days}
        only: dict[str, Any] = datasets(source)["street-scenes"]
        return only

    both = {"street-scenes": dataset("street-scenes", 30), "night-drives": dataset("night-drives", 60)}
    recording = up({made_by: both[made_by]} | both)
    assert [(it["matchesPrefixes"], it["age"]) for it in expires(recording, "acme-inputs-bucket")] == [
        (["night-drives/"], 60),
        (["street-scenes/"], 30),
    ]


def test_a_bucket_of_yours_is_read_and_not_written() -> None:
    recording = up()
    assert ("gcp:storage/getBucket:getBucket", {"name": "acme-raw", "project": PROJECT_ID}) in recording.calls
    assert len([token for token, _ in recording.calls if "getBucket" in token]) == 1

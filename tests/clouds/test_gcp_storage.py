"""Buckets that we create: what they are made of, and that nothing of value goes with the program."""

from __future__ import annotations

import re
from typing import Any

import pulumi
import pytest

from lightly_infra.clouds import gcp
from tests.pulumi_mocks import GCS_AGENT, Recording, made_by, run

KEY = "projects/acme-vision-prod/locations/europe-west3/keyRings/ring/cryptoKeys/key"
NAME = "data-0a1b2c3"


def made(*, preview: bool = False, **args: Any) -> Recording:
    return run(lambda: gcp.Bucket("data", {"location": "europe-west3", **args}), preview=preview)  # type: ignore[typeddict-item]  # of any tests' choice


def test_a_bucket_is_one_resource_which_is_private_and_ruled_by_iam_alone() -> None:
    recording = made()
    (bucket,) = recording.custom
    assert (bucket.type, bucket.name) == ("gcp:storage/bucket:Bucket", "data")
    assert bucket.parent == recording.one("lightly-infra:gcp:Bucket").urn
    assert bucket.inputs == {
        "location": "EUROPE-WEST3",
        "uniformBucketLevelAccess": True,
        "publicAccessPrevention": "enforced",
        "versioning": {"enabled": False},
        "lifecycleRules": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}],
        "labels": made_by("data").labels,
    }


def test_nothing_ever_expires() -> None:
    inputs = made(versioning=True).one("gcp:storage/bucket").inputs
    assert [it["action"]["type"] for it in inputs["lifecycleRules"]] == ["AbortIncompleteMultipartUpload"]
    assert not {"forceDestroy", "retentionPolicy", "softDeletePolicy"} & set(inputs)


@pytest.mark.parametrize(
    ("args", "enabled"), [({}, False), ({"versioning": False}, False), ({"versioning": True}, True)]
)
def test_versioning_is_off_unless_asked_for_and_always_said(args: dict[str, bool], enabled: bool) -> None:
    # The provider takes what is left out for "as it is": versioning could not be turned off again.
    assert made(**args).one("gcp:storage/bucket").inputs["versioning"] == {"enabled": enabled}


@pytest.mark.parametrize("later", [False, True])
def test_a_key_is_granted_to_the_projects_service_agent_before_the_bucket_is_made(later: bool) -> None:
    recording = run(
        lambda: gcp.Bucket(
            "data", {"location": "europe-west3", "kms_key": pulumi.Output.from_input(KEY) if later else KEY}
        )
    )
    bucket, granted = recording.one("gcp:storage/bucket"), recording.one("gcp:kms/")
    assert bucket.inputs["encryption"] == {"defaultKmsKeyName": KEY}
    assert (granted.type, granted.name) == ("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", "data")
    assert granted.parent == recording.one("lightly-infra:gcp:Bucket").urn
    assert granted.inputs == {
        "cryptoKeyId": KEY,
        "role": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
        "member": f"serviceAccount:{GCS_AGENT}",
    }
    assert granted.urn in bucket.depends_on


def test_the_grant_on_the_key_stays_for_other_buckets_need_the_same_one() -> None:
    assert made(kms_key=KEY).one("gcp:kms/").retain_on_delete


def test_the_bucket_stays_when_it_leaves_the_program() -> None:
    assert made().one("gcp:storage/bucket").retain_on_delete


def test_name_project_and_labels_are_passed_on() -> None:
    inputs = made(bucket="acme-data", project="acme-vision-prod", labels={"team": "vision"}).one("storage/").inputs
    assert (inputs["name"], inputs["project"], inputs["labels"]) == (
        "acme-data",
        "acme-vision-prod",
        made_by("data").labels | {"team": "vision"},
    )


def test_whatever_is_passed_on_may_be_known_only_later() -> None:
    def program() -> None:
        later = pulumi.Output.from_input
        gcp.Bucket(
            "data",
            {
                "location": "EU",
                "bucket": later("acme-data"),
                "project": later("acme-vision-prod"),
                "labels": {"team": later("vision")},
            },
        )

    inputs = run(program).one("storage/").inputs
    assert (inputs["name"], inputs["project"], inputs["labels"]) == (
        "acme-data",
        "acme-vision-prod",
        made_by("data").labels | {"team": "vision"},
    )


def test_the_name_is_left_to_pulumi_where_none_is_given() -> None:
    assert "name" not in made().one("storage/").inputs


def test_the_component_gives_the_name() -> None:
    recording = made()
    assert recording.outputs_of(recording.one("lightly-infra:gcp:Bucket")) == {"bucket": NAME}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"bucket": "Acme"}, "'Acme' is no GCS bucket name"),
        ({"location": "europe-west3-a"}, "is a zone; a bucket lies in a region: write 'europe-west3'"),
        ({"kms_key": "key"}, "'key' is not a key; give its name in full"),
        ({"kms_key": KEY, "location": "EU"}, "is a key in 'europe-west3', but a bucket in 'EU' needs one in 'europe'"),
    ],
)
def test_what_gcs_would_refuse_is_refused_before_anything_is_made(args: dict[str, Any], said: str) -> None:
    def program() -> None:
        with pytest.raises(ValueError, match=re.escape(said)):
            gcp.Bucket("data", {"location": "europe-west3", **args})  # type: ignore[typeddict-item]  # that is the test

    assert run(program).custom == []


def test_a_name_that_would_make_a_bad_bucket_name_is_refused() -> None:
    def program() -> None:
        with pytest.raises(ValueError, match="Google keeps names that start with 'goog' or hold 'google'"):
            gcp.Bucket("lightly-google-street-view-input", {"location": "EU"})

    assert run(program).custom == []


def test_children_wait_for_what_the_component_waits_for_and_explicit_providers_and_protection_reach_them() -> None:
    def program() -> None:
        import pulumi_gcp

        before = gcp.Bucket("before", {"location": "EU"})
        provider = pulumi_gcp.Provider("ours")
        opts = pulumi.ResourceOptions(depends_on=[before], providers={"gcp": provider}, protect=True)
        gcp.Bucket("data", {"location": "europe-west3", "kms_key": KEY}, opts)

    recording = run(program)
    before = recording.one("gcp:storage/bucket", "before").urn
    later = [it for it in recording.custom if it.name == "data"]
    assert len(later) == 2
    for it in later:
        assert before in it.depends_on
        assert "pulumi:providers:gcp::ours::" in it.provider
        assert it.protect


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(made(preview=True, kms_key=KEY).custom) == 2

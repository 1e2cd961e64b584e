"""Buckets that we create: what they are made of, and that nothing of value goes with the program."""

from __future__ import annotations

import json

import pulumi
import pytest

from lightly_infra.clouds import aws
from lightly_infra.retention import Expiry
from tests.pulumi_mocks import Recorded, Recording, made_by, run

KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
NAME = "data-0a1b2c3"


def made(args: aws.BucketArgs | None = None) -> Recording:
    return run(lambda: aws.Bucket("data", args))


def part(recording: Recording, type_: str) -> Recorded:
    return recording.one(f"aws:s3/{type_[0].lower()}{type_[1:]}:{type_}")


def test_a_bucket_is_made_of_these_resources_and_no_others() -> None:
    recording = made()
    assert sorted(it.type for it in recording.resources) == [
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "lightly-infra:aws:Bucket",
    ]


def test_everything_lies_under_the_component_and_is_called_like_it() -> None:
    recording = made({"versioning": True, "access_logs": {"bucket": "acme-logs"}})
    component = recording.one("lightly-infra:aws:Bucket")
    assert {it.parent for it in recording.custom} == {component.urn}
    assert {it.name for it in recording.custom} == {"data"}


def test_all_public_access_is_blocked() -> None:
    block = part(made(), "BucketPublicAccessBlock")
    assert block.inputs == {
        "bucket": NAME,
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }


def test_the_owner_owns_every_object() -> None:
    assert part(made(), "BucketOwnershipControls").inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}


def test_objects_are_encrypted_by_s3_unless_a_key_is_given() -> None:
    (rule,) = part(made(), "BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule == {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}


def test_objects_are_encrypted_with_the_given_key_and_a_bucket_key() -> None:
    (rule,) = part(made({"kms_key_arn": KEY}), "BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule == {
        "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY},
        "bucketKeyEnabled": True,
    }


def test_calls_without_tls_are_refused() -> None:
    (statement,) = json.loads(part(made(), "BucketPolicy").inputs["policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == [f"arn:aws:s3:::{NAME}", f"arn:aws:s3:::{NAME}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_policy_waits_for_the_public_access_block_which_s3_changes_alone() -> None:
    recording = made()
    assert part(recording, "BucketPublicAccessBlock").urn in part(recording, "BucketPolicy").depends_on


def test_incomplete_uploads_are_aborted_and_nothing_ever_expires() -> None:
    (rule,) = part(made(), "BucketLifecycleConfiguration").inputs["rules"]
    assert rule == {
        "id": "abort-incomplete-uploads",
        "status": "Enabled",
        "filter": {"prefix": ""},
        "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
    }


def test_what_shall_expire_does_so_under_its_prefix_beside_the_rule_for_uploads() -> None:
    recording = made({"expiries": [Expiry("videos", 60), Expiry("raw/", 30)]})
    abort, *expiring = part(recording, "BucketLifecycleConfiguration").inputs["rules"]
    assert abort == part(made(), "BucketLifecycleConfiguration").inputs["rules"][0]
    assert expiring == [
        {
            "id": "expire-raw-e414985f",
            "status": "Enabled",
            "filter": {"prefix": "raw/"},
            "expiration": {"days": 30},
        },
        {
            "id": "expire-videos-7602a225",
            "status": "Enabled",
            "filter": {"prefix": "videos/"},
            "expiration": {"days": 60},
        },
    ]


def test_expiries_make_no_other_resources_and_change_no_other() -> None:
    def others(args: aws.BucketArgs) -> list[object]:
        return [(it.urn, it.inputs) for it in made(args).resources if "Lifecycle" not in it.type]

    assert others({"expiries": [Expiry("raw/", 30)]}) == others({})


@pytest.mark.parametrize(
    ("expiries", "said"),
    [
        ([Expiry("raw/", 29)], "^data: expiries: 'raw/': 29 days are too short"),
        ([Expiry("raw/", 30), Expiry("", 60)], "^data: expiries: what lies under 'raw/' would go after 30 days, and"),
        ([Expiry("*", 30)], "^data: expiries: .*which a policy would read as a pattern"),
    ],
)
def test_expiries_that_lightly_cannot_work_with_are_refused(expiries: list[Expiry], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made({"expiries": expiries})


def test_versioning_is_off_unless_asked_for() -> None:
    recording = made({"versioning": True})
    versioning = part(recording, "BucketVersioning")
    assert versioning.inputs["versioningConfiguration"] == {"status": "Enabled"}
    assert versioning.urn in part(recording, "BucketLifecycleConfiguration").depends_on
    assert not made().of("BucketVersioning")


def test_access_is_logged_where_asked_for() -> None:
    plain = part(made({"access_logs": {"bucket": "acme-logs"}}), "BucketLogging")
    assert plain.inputs == {"bucket": NAME, "targetBucket": "acme-logs", "targetPrefix": ""}
    prefixed = part(made({"access_logs": {"bucket": "acme-logs", "prefix": "s3/"}}), "BucketLogging")
    assert prefixed.inputs["targetPrefix"] == "s3/"
    assert not made().of("BucketLogging")


def test_the_bucket_stays_when_it_leaves_the_program() -> None:
    bucket = part(made(), "Bucket")
    assert bucket.retain_on_delete
    assert "forceDestroy" not in bucket.inputs


def test_what_guards_the_bucket_stays_with_it() -> None:
    recording = made({"versioning": True, "access_logs": {"bucket": "acme-logs"}})
    bucket = part(recording, "Bucket")
    guards = [it for it in recording.custom if it is not bucket]
    assert len(guards) == 7
    assert {it.deleted_with for it in guards} == {bucket.urn}
    # What is always there is shown as kept. Of the others, turning one off would turn nothing off.
    deleted = {it.type.partition(":Bucket")[2] for it in guards if not it.retain_on_delete}
    assert deleted == {"Versioning", "Logging"}


def test_name_tags_and_region_are_passed_on() -> None:
    recording = made(
        {
            "bucket": "acme-data",
            "region": "us-east-1",
            "tags": {"team": "vision"},
            "versioning": True,
            "access_logs": {"bucket": "acme-logs"},
        }
    )
    bucket = part(recording, "Bucket")
    assert bucket.inputs == {
        "bucket": "acme-data",
        "region": "us-east-1",
        "tags": made_by("data").tags | {"team": "vision"},
    }
    assert {it.inputs["region"] for it in recording.custom} == {"us-east-1"}
    assert {it.inputs["bucket"] for it in recording.custom} == {"acme-data"}


def test_whatever_is_passed_on_may_be_known_only_later() -> None:
    def program() -> None:
        later = pulumi.Output.from_input
        args: aws.BucketArgs = {
            "bucket": later("acme-data"),
            "region": later("us-east-1"),
            "kms_key_arn": later(KEY),
            "tags": later({"team": "vision"}),
            "access_logs": {"bucket": later("acme-logs")},
        }
        aws.Bucket("data", args)

    recording = run(program)
    bucket = part(recording, "Bucket")
    assert bucket.inputs == {
        "bucket": "acme-data",
        "region": "us-east-1",
        "tags": made_by("data").tags | {"team": "vision"},
    }
    (rule,) = part(recording, "BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule["applyServerSideEncryptionByDefault"]["kmsMasterKeyId"] == KEY
    assert part(recording, "BucketLogging").inputs["targetBucket"] == "acme-logs"


def test_the_name_is_left_to_pulumi_where_none_is_given() -> None:
    assert "bucket" not in part(made(), "Bucket").inputs


def test_the_component_gives_name_and_arn() -> None:
    recording = made()
    component = recording.one("lightly-infra:aws:Bucket")
    assert recording.outputs_of(component) == {"bucket": NAME, "arn": f"arn:aws:s3:::{NAME}"}


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(run(lambda: aws.Bucket("data"), preview=True).custom) == 6

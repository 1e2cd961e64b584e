from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.aws.provider import AwsProvider
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_provider import Driver, Refused, unique

if TYPE_CHECKING:
    from lightly_infra.sandbox.aws.ministack import Ministack
    from tests.sandbox.emulated_provider import Made

BUCKET = "aws:s3/bucket:Bucket"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
LOGGING = "aws:s3/bucketLogging:BucketLogging"


def _tls_only(bucket: str, sid: str = "TlsOnly") -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": sid,
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


@pytest.fixture
def bucket(aws: Driver) -> Made:
    return aws.create(BUCKET, {"bucket": unique("bucket")})


# What each setting is first, what it is changed to, what a stranger does to it behind our back.
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    BLOCK: (
        {"blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True, "restrictPublicBuckets": True},
        {"blockPublicAcls": True, "blockPublicPolicy": True},
    ),
    OWNERSHIP: (
        {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
        {"rule": {"objectOwnership": "ObjectWriter"}},
    ),
    ENCRYPTION: (
        {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
        {
            "rules": [
                {
                    "applyServerSideEncryptionByDefault": {
                        "sseAlgorithm": "aws:kms",
                        "kmsMasterKeyId": "arn:aws:kms:eu-central-1:123456789012:key/x",
                    },
                    "bucketKeyEnabled": True,
                }
            ]
        },
    ),
    LIFECYCLE: (
        {
            "rules": [
                {
                    "id": "uploads",
                    "status": "Enabled",
                    "filter": {},
                    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
                }
            ]
        },
        {
            "rules": [
                {
                    "id": "inputs",
                    "status": "Enabled",
                    "filter": {"prefix": "inputs/"},
                    "expiration": {"days": 40},
                    "noncurrentVersionExpiration": {"noncurrentDays": 30, "newerNoncurrentVersions": 2},
                },
                {"id": "uploads", "status": "Disabled", "abortIncompleteMultipartUpload": {"daysAfterInitiation": 3}},
            ]
        },
    ),
    VERSIONING: (
        {"versioningConfiguration": {"status": "Enabled"}},
        {"versioningConfiguration": {"status": "Suspended"}},
    ),
}


@pytest.mark.parametrize("type_name", SETTINGS)
def test_a_setting_of_a_bucket_lives_its_life(aws: Driver, bucket: Made, type_name: str) -> None:
    first, second = ({"bucket": bucket.id, **setting} for setting in SETTINGS[type_name])
    made = aws.create(type_name, first)
    assert made.id == bucket.id
    assert made.outputs["region"] == "eu-central-1"
    assert aws.drifted(made, first) == []

    changes = aws.diff(made, second)
    assert changes.changes == changes.DIFF_SOME
    assert not changes.replaces
    changed = aws.update(made, second)
    assert aws.drifted(changed, second) == []
    assert aws.drifted(changed, first), "a change behind our back is seen"

    aws.delete(changed)
    aws.delete(changed)
    gone = aws.refresh(changed)
    # Encryption and versioning are always there in some form.
    if gone is not None:
        assert type_name in {ENCRYPTION, VERSIONING}
        assert gone.outputs != changed.outputs or type_name == VERSIONING


@pytest.mark.parametrize("type_name", SETTINGS)
def test_a_setting_of_another_bucket_is_another_resource(aws: Driver, bucket: Made, type_name: str) -> None:
    setting = SETTINGS[type_name][0]
    made = aws.create(type_name, {"bucket": bucket.id, **setting})
    assert list(aws.diff(made, {"bucket": "another-bucket", **setting}).replaces) == ["bucket"]


@pytest.mark.parametrize("type_name", SETTINGS)
def test_a_setting_is_gone_with_its_bucket(aws: Driver, bucket: Made, type_name: str) -> None:
    made = aws.create(type_name, {"bucket": bucket.id, **SETTINGS[type_name][0]})
    aws.delete(bucket)
    assert aws.refresh(made) is None
    aws.delete(made)
    with pytest.raises(ResourceError, match="NoSuchBucket"):
        aws.create(type_name, {"bucket": bucket.id, **SETTINGS[type_name][0]})


def test_a_bucket_has_the_outputs_of_the_real_provider(aws: Driver) -> None:
    name = unique("bucket")
    made = aws.create(BUCKET, {"bucket": name, "tags": {"team": "vision"}})
    assert made.id == name
    assert made.outputs == {
        "id": name,
        "arn": f"arn:aws:s3:::{name}",
        "bucket": name,
        "bucketDomainName": f"{name}.s3.amazonaws.com",
        "bucketRegion": "eu-central-1",
        "bucketRegionalDomainName": f"{name}.s3.eu-central-1.amazonaws.com",
        "forceDestroy": False,
        "objectLockEnabled": False,
        "region": "eu-central-1",
        "tags": {"team": "vision"},
        "tagsAll": {"team": "vision"},
    }


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_is_made_in_the_region_it_asks_for(aws: Driver, ministack: Ministack, region: str) -> None:
    made = aws.create(BUCKET, {"bucket": unique("bucket"), "region": region, "tags": {"a": "b"}})
    assert ministack.client("s3", region).head_bucket(Bucket=made.id)["BucketRegion"] == region
    assert made.outputs["bucketRegion"] == region
    assert aws.drifted(made, {"bucket": made.id, "region": region, "tags": {"a": "b"}}) == []
    assert list(aws.diff(made, {"bucket": made.id, "region": "eu-north-1", "tags": {"a": "b"}}).replaces) == ["region"]


def test_tags_of_a_bucket_change_in_place_and_drift_is_seen(aws: Driver, bucket: Made, ministack: Ministack) -> None:
    inputs = {"bucket": bucket.id, "tags": {"a": "1"}}
    tagged = aws.update(bucket, inputs)
    assert aws.drifted(tagged, inputs) == []
    client = ministack.client("s3")
    client.put_bucket_tagging(Bucket=bucket.id, Tagging={"TagSet": [{"Key": "a", "Value": "2"}]})
    assert aws.drifted(tagged, inputs) == ["tags"]
    client.delete_bucket_tagging(Bucket=bucket.id)
    assert aws.drifted(tagged, inputs) == ["tags"]
    assert aws.drifted(aws.update(tagged, {"bucket": bucket.id}), {"bucket": bucket.id}) == []


def test_a_bucket_that_holds_anything_is_not_deleted(aws: Driver, bucket: Made, ministack: Ministack) -> None:
    ministack.client("s3").put_object(Bucket=bucket.id, Key="precious", Body=b"x")
    with pytest.raises(ResourceError, match=r"aws:s3/bucket:Bucket 'resource': BucketNotEmpty: "):
        aws.delete(bucket)
    ministack.client("s3").delete_object(Bucket=bucket.id, Key="precious")
    aws.delete(bucket)
    assert aws.refresh(bucket) is None
    aws.delete(bucket)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_bucket_that_exists_is_not_created_again(aws: Driver, region: str) -> None:
    inputs = {"bucket": unique("bucket"), "region": region}
    aws.create(BUCKET, inputs)
    with pytest.raises(ResourceError, match="BucketAlreadyOwnedByYou"):
        aws.create(BUCKET, inputs)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_bucket_of_another_account_conflicts(aws: Driver, ministack: Ministack, region: str) -> None:
    name = unique("theirs")
    settings: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    ministack.client("s3", region, credentials=Credentials("999999999999", "test")).create_bucket(
        Bucket=name, **settings
    )
    with pytest.raises(ResourceError, match="BucketAlreadyExists"):
        aws.create(BUCKET, {"bucket": name, "region": region})


@pytest.mark.parametrize(
    "name",
    ["ab", "Upper", "under_score", "-dash", "dash-", "a..b", "192.168.0.1", "x" * 64, "xn--a", "my-s3alias", "new\n"],
)
def test_bucket_names_that_s3_refuses_are_refused_before_anything_is_made(aws: Driver, name: str) -> None:
    with pytest.raises(Refused, match="bucket: "):
        aws.check(BUCKET, {"bucket": name})


def test_a_bucket_without_a_name_gets_a_lower_case_one_that_stays(aws: Driver) -> None:
    made = aws.create(BUCKET, {}, name="Raw-Data")
    assert made.id.startswith("raw-data-")
    assert len(made.id) == len("raw-data-") + 7
    assert not aws.diff(made, {}).diffs
    # A given name replaces it, and the bridge deletes first wherever one is given.
    assert list(aws.diff(made, {"bucket": "of-my-own"}).replaces) == ["bucket"]
    assert aws.diff(made, {"bucket": "of-my-own"}).deleteBeforeReplace


def test_a_bucket_prefix_is_completed_and_is_no_drift(aws: Driver) -> None:
    made = aws.create(BUCKET, {"bucketPrefix": "raw-"})
    assert made.id.startswith("raw-")
    assert len(made.id) == len("raw-") + 26
    assert aws.drifted(made, {"bucketPrefix": "raw-"}) == []
    with pytest.raises(Refused, match="bucketPrefix: conflicts with 'bucket'"):
        aws.check(BUCKET, {"bucketPrefix": "raw-", "bucket": "raw-1"})


def test_a_bucket_is_never_force_destroyed(aws: Driver) -> None:
    with pytest.raises(Refused, match=r"forceDestroy: .*only false"):
        aws.check(BUCKET, {"forceDestroy": True})


def test_a_bucket_policy_lives_its_life(aws: Driver, bucket: Made, ministack: Ministack) -> None:
    inputs = {"bucket": bucket.id, "policy": json.dumps(_tls_only(bucket.id))}
    made = aws.create(POLICY, inputs)
    assert made.id == bucket.id
    assert aws.drifted(made, inputs) == []

    indented = {**inputs, "policy": json.dumps(_tls_only(bucket.id), indent=4, sort_keys=True)}
    assert not aws.diff(made, indented).diffs, "formatting is no change"
    changed = aws.update(made, {**inputs, "policy": json.dumps(_tls_only(bucket.id, "Changed"))})
    assert "Changed" in ministack.client("s3").get_bucket_policy(Bucket=bucket.id)["Policy"]

    ministack.client("s3").put_bucket_policy(Bucket=bucket.id, Policy=json.dumps(_tls_only(bucket.id, "Drifted")))
    assert aws.drifted(changed, changed.inputs) == ["policy"]
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"Version": "2012-10-17"}', "no Statement"),
        ('{"Version": "2024-01-01", "Statement": [{}]}', "Version '2024-01-01'"),
        ('{"Statement": [{"Effect": "allow"}]}', "Effect must be Allow or Deny"),
        ('{"Statement": [{"Effect": "Allow", "Action": "s3:*"}]}', "Resource and NotResource"),
        ('{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}', "Principal and NotPrincipal"),
        ('{"Statement": [{"Effect": "Allow", "Actions": "s3:*"}]}', "unknown elements: Actions"),
        (
            '{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": {"AWS": "bob"}}}',
            "invalid principal 'bob'",
        ),
    ],
)
def test_a_malformed_bucket_policy_is_refused(aws: Driver, policy: str, why: str) -> None:
    with pytest.raises(Refused, match=f"policy: MalformedPolicyDocument: .*{why}"):
        aws.check(POLICY, {"bucket": "some-bucket", "policy": policy})


def test_a_bucket_policy_about_another_bucket_is_refused(aws: Driver, bucket: Made) -> None:
    with pytest.raises(ResourceError, match=r"MalformedPolicy: .*outside the bucket.*someone-elses"):
        aws.create(POLICY, {"bucket": bucket.id, "policy": json.dumps(_tls_only("someone-elses"))})


def test_a_public_bucket_policy_is_refused_where_the_public_is_blocked(aws: Driver, bucket: Made) -> None:
    aws.create(BLOCK, {"bucket": bucket.id, **SETTINGS[BLOCK][0]})
    public = _tls_only(bucket.id)
    public["Statement"][0] |= {"Effect": "Allow", "Action": "s3:GetObject"}
    del public["Statement"][0]["Condition"]
    with pytest.raises(ResourceError, match="AccessDenied"):
        aws.create(POLICY, {"bucket": bucket.id, "policy": json.dumps(public)})


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"id": "a", "status": "Enabled"}, "does nothing"),
        ({"id": "a", "status": "On", "expiration": {"days": 30}}, "must be Enabled or Disabled"),
        ({"id": "a", "status": "Enabled", "expiration": {"days": 0}}, r"expiration.days must be 1 or more"),
        (
            {"id": "a" * 256, "status": "Enabled", "expiration": {"days": 30}},
            r"id has 256 characters; 255 are the most",
        ),
        (
            {"id": "a", "status": "Enabled", "expiration": {"days": 30, "expiredObjectDeleteMarker": True}},
            "days or expiredObjectDeleteMarker, not both",
        ),
        (
            {"id": "a", "status": "Enabled", "expiration": {"days": 30, "date": "2027-01-01T00:00:00Z"}},
            r"does not support rules\[0\].expiration.date",
        ),
        ({"id": "a", "status": "Enabled", "transitions": []}, r"does not support rules\[0\].transitions"),
        (
            {"id": "a", "status": "Enabled", "filter": {"tag": {}}, "expiration": {"days": 1}},
            r"does not support rules\[0\].filter.tag",
        ),
    ],
)
def test_lifecycle_rules_that_s3_or_the_emulator_does_not_take_are_refused(
    aws: Driver, rule: dict[str, Any], why: str
) -> None:
    with pytest.raises(Refused, match=why):
        aws.check(LIFECYCLE, {"bucket": "some-bucket", "rules": [rule]})


def test_two_lifecycle_rules_of_one_id_are_refused(aws: Driver) -> None:
    rule = {"id": "a", "status": "Enabled", "expiration": {"days": 30}}
    with pytest.raises(Refused, match="same id"):
        aws.check(LIFECYCLE, {"bucket": "some-bucket", "rules": [rule, rule]})


@pytest.mark.parametrize(
    ("encryption", "why"),
    [
        ({"sseAlgorithm": "rot13"}, "'rot13' is not one of"),
        ({"sseAlgorithm": "AES256", "kmsMasterKeyId": "x"}, "needs the sseAlgorithm aws:kms"),
    ],
)
def test_an_encryption_that_s3_does_not_know_is_refused(aws: Driver, encryption: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        aws.check(ENCRYPTION, {"bucket": "some-bucket", "rules": [{"applyServerSideEncryptionByDefault": encryption}]})


def test_versioning_cannot_be_disabled_once_it_was_enabled(aws: Driver, bucket: Made) -> None:
    disabled = {"bucket": bucket.id, "versioningConfiguration": {"status": "Disabled"}}
    made = aws.create(VERSIONING, disabled)
    assert aws.drifted(made, disabled) == []
    enabled = aws.update(made, {"bucket": bucket.id, "versioningConfiguration": {"status": "Enabled"}})
    with pytest.raises(ResourceError, match="suspended"):
        aws.update(enabled, disabled)
    with pytest.raises(Refused, match="status must be"):
        aws.check(VERSIONING, {"bucket": bucket.id, "versioningConfiguration": {"status": "On"}})


def test_access_logging_lives_its_life(aws: Driver, bucket: Made) -> None:
    logs = aws.create(BUCKET, {"bucket": unique("logs")})
    inputs = {"bucket": bucket.id, "targetBucket": logs.id, "targetPrefix": "a/"}
    made = aws.create(LOGGING, inputs)
    assert aws.drifted(made, inputs) == []
    changed = aws.update(made, {**inputs, "targetPrefix": "b/"})
    assert aws.drifted(changed, inputs) == ["targetPrefix"]
    aws.delete(changed)
    assert aws.refresh(changed) is None


def test_access_logging_needs_a_bucket_to_write_to(aws: Driver, bucket: Made) -> None:
    with pytest.raises(ResourceError, match="InvalidTargetBucketForLogging"):
        aws.create(LOGGING, {"bucket": bucket.id, "targetBucket": "nowhere-to-be-found", "targetPrefix": ""})


def test_an_object_lives_its_life(aws: Driver, bucket: Made, ministack: Ministack) -> None:
    client = ministack.client("s3")
    inputs = {
        "bucket": bucket.id,
        "key": "a dir/",
        "content": "",
        "contentType": "application/x-directory",
        "tags": {"made-by": "us"},
    }
    made = aws.create(OBJECT, inputs)
    assert made.id == f"{bucket.id}/a dir/"
    assert made.outputs["arn"] == f"arn:aws:s3:::{bucket.id}/a dir/"
    assert made.outputs["etag"] == "d41d8cd98f00b204e9800998ecf8427e"
    assert aws.drifted(made, inputs) == []

    changed = aws.update(made, {**inputs, "content": "hello"})
    assert client.get_object(Bucket=bucket.id, Key="a dir/")["Body"].read() == b"hello"
    client.put_object(Bucket=bucket.id, Key="a dir/", Body=b"other", ContentType="application/x-directory")
    client.delete_object_tagging(Bucket=bucket.id, Key="a dir/")
    assert set(aws.drifted(changed, changed.inputs)) == {"content", "tags"}
    assert list(aws.diff(made, {**inputs, "key": "another"}).replaces) == ["key"]

    aws.delete(changed)
    assert aws.refresh(changed) is None
    aws.delete(changed)


def test_an_object_goes_with_all_its_versions_and_none_of_its_neighbours(
    aws: Driver, bucket: Made, ministack: Ministack
) -> None:
    aws.create(VERSIONING, {"bucket": bucket.id, "versioningConfiguration": {"status": "Enabled"}})
    made = aws.create(OBJECT, {"bucket": bucket.id, "key": "marker", "contentBase64": "AAE="})
    aws.update(made, {"bucket": bucket.id, "key": "marker", "contentBase64": "AAI="})
    neighbour = aws.create(OBJECT, {"bucket": bucket.id, "key": "marker-2"})
    assert ministack.client("s3").get_object(Bucket=bucket.id, Key="marker")["Body"].read() == b"\x00\x02"
    aws.delete(made)
    assert aws.refresh(neighbour) is not None
    aws.delete(neighbour)
    aws.delete(bucket)


def test_an_object_has_one_content_that_can_be_decoded(aws: Driver) -> None:
    with pytest.raises(Refused, match="conflicts with 'content'"):
        aws.check(OBJECT, {"bucket": "a-bucket", "key": "k", "content": "x", "contentBase64": "eA=="})
    with pytest.raises(Refused, match="is not base64"):
        aws.check(OBJECT, {"bucket": "a-bucket", "key": "k", "contentBase64": "?"})
    with pytest.raises(Refused, match="does not support this input"):
        aws.check(OBJECT, {"bucket": "a-bucket", "key": "k", "source": "file"})


def test_default_tags_of_the_provider_are_on_its_resources(ministack: Ministack) -> None:
    tagged = Driver(AwsProvider(ministack.environment("eu-central-1")))
    tagged.configure({"defaultTags": json.dumps({"tags": {"team": "vision", "stage": "dev"}})})
    inputs = {"bucket": unique("bucket"), "tags": {"stage": "prod"}}
    made = tagged.create(BUCKET, inputs)
    assert made.outputs["tagsAll"] == {"team": "vision", "stage": "prod"}
    assert tagged.drifted(made, inputs) == []
    tagged.configure({"defaultTags": {"tags": {"team": "audio"}}})
    assert list(tagged.diff(made, inputs).diffs) == ["tags"]

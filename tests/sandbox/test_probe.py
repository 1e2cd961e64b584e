"""What the emulated Lightly finds out with the credentials it was given, on an AWS that enforces permissions."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final

import pytest

from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import PermissionsMissing
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.lightly.operations import verify_until_allowed
from lightly_infra.sandbox import probe
from lightly_infra.sandbox.aws.cloud import AwsCloud
from lightly_infra.sandbox.aws.ministack import Ministack
from lightly_infra.sandbox.aws.probe import ASSUME, NO_EXTERNAL_ID, WRONG_EXTERNAL_ID
from lightly_infra.sandbox.aws.probe import probe as probe_s3
from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.sandbox.probe import BESIDE, ELSEWHERE, INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION: Final = "eu-central-1"
EXTERNAL_ID = "canary-external-id-1234"
READ = ["s3:GetObject"]
WRITE = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]

Tried = tuple[str, str, str]
INPUT: set[Tried] = {
    ("list", INSIDE, "allowed"),
    ("read", INSIDE, "allowed"),
    ("write", INSIDE, "refused"),
    ("overwrite", INSIDE, "refused"),
    ("delete", INSIDE, "refused"),
}
LIGHTLY: set[Tried] = {(it, INSIDE, "allowed") for it in ("list", "read", "write", "overwrite", "delete")}
OTHERS: set[Tried] = {(it, ELSEWHERE, "refused") for it in ("list", "read", "write", "delete")}
OUTSIDE: set[Tried] = OTHERS | {(it, BESIDE, "refused") for it in ("list", "read", "write", "delete")}
ROLE: set[Tried] = {(ASSUME, WRONG_EXTERNAL_ID, "refused"), (ASSUME, NO_EXTERNAL_ID, "refused")}


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsCloud]:
    with AwsCloud() as aws:
        aws.prepare([])
        yield aws


@pytest.fixture(scope="module")
def server(aws: AwsCloud) -> Iterator[LightlyServer]:
    with LightlyServer("t0ken", probers=dict.fromkeys(("S3", "S3DelegatedAccess"), aws.probe)) as server:
        yield server


@pytest.fixture
def lightly(server: LightlyServer) -> Iterator[LightlyClient]:
    with LightlyClient("t0ken", base_url=server.url) as client:
        yield client


@pytest.fixture
def bucket(aws: AwsCloud) -> str:
    name = f"acme-{secrets.token_hex(6)}"
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.client("s3").put_object(Bucket=name, Key="raw/a.jpg", Body=b"an image")
    return name


def policy(bucket: str, grants: dict[str, list[str]]) -> str:
    """Lists and does what is granted under each prefix."""
    listed = [pattern for prefix in grants for pattern in (prefix, f"{prefix}*")]
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": listed}},
        }
    ]
    for prefix, actions in grants.items():
        statements.append({"Effect": "Allow", "Action": actions, "Resource": f"arn:aws:s3:::{bucket}/{prefix}*"})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def make_role(
    aws: AwsCloud, bucket: str, grants: dict[str, list[str]], *, external_id: str | None = EXTERNAL_ID
) -> dict[str, str]:
    name = f"lightly-{secrets.token_hex(6)}"
    trust: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::916419735646:root"},
        "Action": "sts:AssumeRole",
    }
    if external_id is not None:
        trust["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam = aws.client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, MaxSessionDuration=43200)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="lightly", PolicyDocument=policy(bucket, grants))
    return {"type": "S3DelegatedAccess", "s3_region": REGION, "s3_external_id": EXTERNAL_ID, "s3_arn": arn}


def make_key(aws: AwsCloud, bucket: str, grants: dict[str, list[str]]) -> dict[str, str]:
    name = f"lightly-{secrets.token_hex(6)}"
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="lightly", PolicyDocument=policy(bucket, grants))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "type": "S3",
        "s3_region": REGION,
        "s3_access_key_id": key["AccessKeyId"],
        "s3_secret_access_key": key["SecretAccessKey"],
    }


def register(lightly: LightlyClient, bucket: str, access: dict[str, dict[str, str]], **paths: str) -> str:
    """A dataset with one datasource for each purpose."""
    dataset = lightly.create_dataset(f"dataset-{secrets.token_hex(6)}", DatasetType.IMAGES)
    prefixes = {"INPUT": "raw/", "LIGHTLY": "lightly/", "INPUT_OUTPUT": "raw/", **paths}
    for purpose, config in access.items():
        path = f"s3://{bucket}/{prefixes[purpose]}"
        lightly.set_datasource(dataset, parse_config({**config, "purpose": purpose, "full_path": path}))
    return dataset


def tried(server: LightlyServer, dataset: str, purpose: str) -> set[Tried]:
    return {(it.operation, it.target, it.outcome) for it in server.proof(dataset) if it.purpose == purpose}


def keys(aws: AwsCloud, bucket: str) -> list[str]:
    return [it["Key"] for it in aws.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_roles_of_least_privilege_hold(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    access = {
        "INPUT": make_role(aws, bucket, {"raw/": READ}),
        "LIGHTLY": make_role(aws, bucket, {"lightly/": WRITE}),
    }
    dataset = register(lightly, bucket, access)
    assert lightly.verify(dataset).missing == ()
    assert tried(server, dataset, "INPUT") == INPUT | OUTSIDE | ROLE
    assert tried(server, dataset, "LIGHTLY") == LIGHTLY | OUTSIDE | ROLE
    assert all(it.holds for it in server.proof(dataset))
    assert keys(aws, bucket) == ["raw/a.jpg"]
    assert EXTERNAL_ID not in repr(server.proof(dataset))


def test_access_keys_of_least_privilege_hold(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    access = {"INPUT": make_key(aws, bucket, {"raw/": READ}), "LIGHTLY": make_key(aws, bucket, {"lightly/": WRITE})}
    dataset = register(lightly, bucket, access)
    assert lightly.verify(dataset).missing == ()
    assert tried(server, dataset, "INPUT") == INPUT | OUTSIDE
    assert tried(server, dataset, "LIGHTLY") == LIGHTLY | OUTSIDE
    assert keys(aws, bucket) == ["raw/a.jpg"]


@pytest.mark.parametrize(
    ("input_", "output"), [("raw/", "lightly/"), ("raw/", "raw-lightly/"), ("a/raw/", "a/lightly/"), ("a/", "b/a/")]
)
def test_one_credential_for_both_holds_and_beside_is_beside_both(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str, input_: str, output: str
) -> None:
    shared = make_role(aws, bucket, {input_: READ, output: WRITE})
    dataset = register(lightly, bucket, {"INPUT": shared, "LIGHTLY": shared}, INPUT=input_, LIGHTLY=output)
    assert lightly.verify(dataset).missing == ()
    assert all(it.holds for it in server.proof(dataset)), server.proof(dataset)
    assert tried(server, dataset, "LIGHTLY") == LIGHTLY | OUTSIDE | ROLE


def test_one_credential_for_several_datasets_holds(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    shared = make_role(aws, bucket, {"raw/": READ, "more/raw/": READ, "lightly/": WRITE})
    first = register(lightly, bucket, {"INPUT": shared, "LIGHTLY": shared})
    second = register(lightly, bucket, {"INPUT": shared, "LIGHTLY": shared}, INPUT="more/raw")
    for dataset in (first, second):
        assert lightly.verify(dataset).missing == ()
        assert all(it.holds for it in server.proof(dataset)), server.proof(dataset)


def test_one_datasource_for_both_purposes_may_write(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    dataset = register(lightly, bucket, {"INPUT_OUTPUT": make_role(aws, bucket, {"raw/": WRITE})})
    assert lightly.verify(dataset).missing == ()
    assert tried(server, dataset, "INPUT_OUTPUT") == LIGHTLY | OUTSIDE | ROLE


def test_a_whole_bucket_has_nothing_beside(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    access = {"INPUT": make_role(aws, bucket, {"": READ})}
    dataset = register(lightly, bucket, access, INPUT="")
    assert lightly.verify(dataset).missing == ("write", "overwrite")
    assert tried(server, dataset, "INPUT") == INPUT | OTHERS | ROLE


def test_an_empty_directory_can_be_read(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    aws.client("s3").put_object(Bucket=bucket, Key="marked/", Body=b"")
    for prefix in ("marked/", "empty/"):
        access = {"INPUT": make_role(aws, bucket, {prefix: READ})}
        dataset = register(lightly, bucket, access, INPUT=prefix)
        assert lightly.verify(dataset).can_read
        assert tried(server, dataset, "INPUT") == INPUT | OUTSIDE | ROLE


def test_too_much_for_the_input_is_found_out_and_destroys_nothing(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    dataset = register(lightly, bucket, {"INPUT": make_role(aws, bucket, {"raw/": WRITE})})
    lightly.verify(dataset)
    broken = {(it.operation, it.target) for it in server.proof(dataset) if not it.holds}
    assert broken == {("write", INSIDE), ("overwrite", INSIDE), ("delete", INSIDE)}
    assert keys(aws, bucket) == ["raw/a.jpg"]
    assert aws.client("s3").get_object(Bucket=bucket, Key="raw/a.jpg")["Body"].read() == b"an image"


def test_a_policy_for_the_whole_bucket_is_found_out(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    dataset = register(lightly, bucket, {"LIGHTLY": make_role(aws, bucket, {"": WRITE})})
    lightly.verify(dataset)
    broken = {(it.operation, it.target) for it in server.proof(dataset) if not it.holds}
    assert broken == {("list", BESIDE), ("read", BESIDE), ("write", BESIDE), ("delete", BESIDE)}
    assert keys(aws, bucket) == ["raw/a.jpg"]


def test_a_policy_that_forgot_the_slash_is_found_out(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    dataset = register(lightly, bucket, {"INPUT": make_role(aws, bucket, {"raw": READ})}, INPUT="raw")
    lightly.verify(dataset)
    broken = {(it.operation, it.target) for it in server.proof(dataset) if not it.holds}
    assert broken == {("list", BESIDE), ("read", BESIDE)}


def test_a_role_that_asks_for_no_external_id_is_found_out(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    dataset = register(lightly, bucket, {"INPUT": make_role(aws, bucket, {"raw/": READ}, external_id=None)})
    lightly.verify(dataset)
    broken = {(it.operation, it.target) for it in server.proof(dataset) if not it.holds}
    assert broken == {(ASSUME, WRONG_EXTERNAL_ID), (ASSUME, NO_EXTERNAL_ID)}


def test_the_wrong_external_id_fails_with_a_message_that_says_so(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    access = {"INPUT": make_role(aws, bucket, {"raw/": READ}, external_id="another-external-id")}
    dataset = register(lightly, bucket, access)
    with pytest.raises(PermissionsMissing, match="check the external id and the trust policy") as failed:
        verify_until_allowed(lightly, dataset, deadline=0)
    assert "can't list or read in the Input datasource" in str(failed.value)
    assert "Likely cause: a wrong external id" in str(failed.value)
    assert EXTERNAL_ID not in str(failed.value)
    assert {(it.operation, it.outcome) for it in server.proof(dataset) if it.target == INSIDE} == {
        ("list", "refused"),
        ("read", "refused"),
    }


@pytest.mark.parametrize(
    ("grants", "missing"),
    [
        ({"raw/": WRITE}, ("list", "read", "write", "overwrite")),
        ({"lightly/": READ}, ("write", "overwrite")),
        ({"lightly/": ["s3:PutObject", "s3:DeleteObject"]}, ("read",)),
    ],
)
def test_missing_permissions_are_told_one_by_one(
    aws: AwsCloud, lightly: LightlyClient, bucket: str, grants: dict[str, list[str]], missing: tuple[str, ...]
) -> None:
    dataset = register(lightly, bucket, {"LIGHTLY": make_key(aws, bucket, grants)})
    permissions = lightly.verify(dataset)
    assert permissions.missing == missing
    assert f"LIGHTLY datasource s3://{bucket}/lightly/: s3:" in permissions.reason(missing[0])


def test_a_missing_delete_is_no_permission_of_the_api_but_shows_in_the_proof(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    access = make_key(aws, bucket, {"lightly/": ["s3:GetObject", "s3:PutObject"]})
    dataset = register(lightly, bucket, {"LIGHTLY": access})
    assert lightly.verify(dataset).missing == ()
    assert [(it.operation, it.outcome) for it in server.proof(dataset) if not it.holds] == [("delete", "refused")]


def test_a_bucket_that_is_not_there_is_an_error_and_no_refusal(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    gone = f"{bucket}-gone"
    dataset = register(lightly, gone, {"INPUT": make_key(aws, gone, {"raw/": READ})})
    assert "NoSuchBucket" in lightly.verify(dataset).reason("list")
    assert {it.outcome for it in server.proof(dataset) if it.target == INSIDE and it.operation == "list"} == {"error"}


def test_a_path_that_is_not_of_s3_is_told(aws: AwsCloud, lightly: LightlyClient, bucket: str) -> None:
    dataset = lightly.create_dataset(f"dataset-{secrets.token_hex(6)}", DatasetType.IMAGES)
    config = {**make_key(aws, bucket, {"raw/": READ}), "purpose": "INPUT", "full_path": f"gs://{bucket}/raw/"}
    lightly.set_datasource(dataset, parse_config(config))
    assert "is no path like s3://bucket/prefix/" in lightly.verify(dataset).reason("list")


def test_a_key_that_was_deleted_is_refused_everywhere(
    aws: AwsCloud, server: LightlyServer, lightly: LightlyClient, bucket: str
) -> None:
    gone = {**make_key(aws, bucket, {"raw/": READ}), "s3_access_key_id": "AKIAAAAAAAAAAAAAAAAA"}
    dataset = register(lightly, bucket, {"INPUT": gone})
    assert lightly.verify(dataset).missing == ("list", "read", "write", "overwrite")
    assert {it.outcome for it in server.proof(dataset)} == {"refused"}
    assert gone["s3_secret_access_key"] not in repr(server.proof(dataset))


def test_the_kms_key_is_sent_with_every_object_written(aws: AwsCloud, lightly: LightlyClient, bucket: str) -> None:
    arn = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    # Without leave to delete, what was written stays to be looked at.
    access = make_key(aws, bucket, {"lightly/": ["s3:GetObject", "s3:PutObject"]})
    dataset = register(lightly, bucket, {"LIGHTLY": {**access, "s3_server_side_encryption_kms_key": arn}})
    assert lightly.verify(dataset).missing == ()
    written = [key for key in keys(aws, bucket) if key.startswith("lightly/")]
    assert len(written) == 1
    head = aws.client("s3").head_object(Bucket=bucket, Key=written[0])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", arn)


class Unreachable(Ministack):
    def environment(self, region: str) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": region}


def test_an_aws_that_is_not_there_is_an_error_and_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore waits before it tries again
    datasource = {
        "type": "S3",
        "purpose": "INPUT",
        "fullPath": "s3://acme/raw/",
        "s3Region": REGION,
        "s3AccessKeyId": "A",
        "s3SecretAccessKey": "S",
    }
    attempts = probe_s3(datasource, [], Unreachable(), "916419735646")
    assert {it.outcome for it in attempts} == {"error"}
    assert not any(it.holds for it in attempts)


@pytest.mark.parametrize(
    ("prefix", "shared", "like"),
    [
        ("raw/", ["raw/"], "raw-"),
        ("a/raw/", ["a/raw/"], "a/raw-"),
        ("a/raw/", ["a/raw/", "a/"], ""),
        ("raw/", ["raw/", "raw-x/"], "raw-"),
        ("", [""], None),
        ("raw/", ["raw/", ""], None),
    ],
)
def test_beside_begins_like_the_prefix_where_it_can(prefix: str, shared: list[str], like: str | None) -> None:
    beside = probe._beside(prefix, shared)
    if like is None:
        assert beside is None
        return
    assert beside is not None
    assert beside.startswith(like)
    assert beside.endswith("/")
    assert not any(beside.startswith(it) for it in shared)

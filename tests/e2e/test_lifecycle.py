"""What becomes of datasets, and of what is Amazon's own; what is alike on every cloud is in `test_matrix`."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws
import pytest

from lightly_infra import Dataset, Purpose, ownership
from lightly_infra.clouds import aws
from lightly_infra.clouds.aws import policy
from lightly_infra.provider import Dataset as Registration
from lightly_infra.sandbox import seed
from lightly_infra.sandbox.engine.interface import Program
from tests.e2e.runs import changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

    from lightly_infra.sandbox.environment import Sandbox

    Make = Callable[..., Program]

Datasets = dict[str, Any]


def roles(sandbox: Sandbox) -> list[str]:
    return [it["RoleName"] for it in sandbox.aws.client("iam").list_roles()["Roles"] if "lightly" in it["RoleName"]]


def buckets(sandbox: Sandbox) -> set[str]:
    return {it["Name"] for it in sandbox.aws.client("s3").list_buckets()["Buckets"]} - {seed.ELSEWHERE}


def own(run: Callable[[], None]) -> Program:
    """A program of a user's own, made of components."""
    return Program(run, "own", "test", {"aws:region": "eu-central-1"})


def assert_guarded(s3: S3Client, bucket: str) -> None:
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    (rule,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rule["ObjectOwnership"] == "BucketOwnerEnforced"
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy.to_json(
        policy.tls_only_policy(f"arn:aws:s3:::{bucket}")
    )
    (lifecycle,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert lifecycle["ID"] == "abort-incomplete-uploads"
    (encryption,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def the_dataset(sandbox: Sandbox) -> Any:
    (dataset,) = sandbox.lightly.datasets.values()
    return dataset


@pytest.mark.parametrize("on_destroy", ["keep", "delete"])
def test_another_lightly_prefix_moves_the_directory_and_leaves_the_bucket_alone(
    sandbox: Sandbox, program: Make, street_scenes: Datasets, on_destroy: str
) -> None:
    street_scenes["street-scenes"]["on_destroy"] = on_destroy
    sandbox.up(program(street_scenes))
    (made,) = buckets(sandbox) - {"acme-raw"}
    s3 = sandbox.aws.client("s3")
    s3.put_object(Bucket=made, Key="lightly/.lightly/runs/report.pdf", Body=b"precious")
    street_scenes["street-scenes"]["lightly"]["s3"]["prefix"] = "moved/"

    result = sandbox.up(program(street_scenes))

    assert changed(result) == {
        ("replace", "BucketObjectv2", "lightly-street-scenes-lightly"),
        ("update", "RolePolicy", "lightly-street-scenes-lightly"),
        ("update", "Datasource", "street-scenes-lightly"),
        ("update", "Verification", "street-scenes"),
    }
    keys = {it["Key"] for it in s3.list_objects_v2(Bucket=made)["Contents"]}
    assert keys == {"moved/", "lightly/.lightly/runs/report.pdf"}, "what Lightly wrote stays where it is"
    assert_guarded(s3, made)
    assert sandbox.report(result).ok


def test_a_dataset_that_leaves_the_yaml_stays_at_lightly_and_loses_its_identities(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    street_scenes["other"] = copy.deepcopy(street_scenes["street-scenes"])
    street_scenes["other"]["input"]["s3"]["prefix"] = "other/"
    sandbox.up(program(street_scenes))
    assert len(roles(sandbox)) == 4
    made = buckets(sandbox)

    result = sandbox.up(program({"street-scenes": street_scenes["street-scenes"]}))

    assert not result.failures
    assert {it.name for it in sandbox.lightly.datasets.values()} == {"street-scenes", "other"}
    assert len(roles(sandbox)) == 2
    assert buckets(sandbox) == made, "buckets with what Lightly wrote are kept"
    for bucket in made - {"acme-raw"}:
        assert_guarded(sandbox.aws.client("s3"), bucket)


def test_destroy_keeps_data_and_takes_access_away(sandbox: Sandbox, program: Make, street_scenes: Datasets) -> None:
    wanted = program(street_scenes)
    sandbox.up(wanted)
    made = buckets(sandbox)

    result = sandbox.destroy(wanted)

    assert not result.failures
    assert the_dataset(sandbox).name == "street-scenes"
    assert roles(sandbox) == []
    assert buckets(sandbox) == made
    (kept,) = made - {"acme-raw"}
    assert_guarded(sandbox.aws.client("s3"), kept)


def test_destroy_deletes_the_dataset_when_told_so_and_keeps_its_bucket(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    street_scenes["street-scenes"]["on_destroy"] = "delete"
    wanted = program(street_scenes)
    sandbox.up(wanted)
    made = buckets(sandbox)

    result = sandbox.destroy(wanted)

    assert not result.failures
    assert sandbox.lightly.datasets == {}
    assert roles(sandbox) == []
    assert buckets(sandbox) == made
    (kept,) = made - {"acme-raw"}
    assert_guarded(sandbox.aws.client("s3"), kept)


def test_a_bucket_that_gets_another_name_leaves_the_old_one_with_its_data_guarded(sandbox: Sandbox) -> None:
    def named(name: str) -> Program:
        return own(lambda: pulumi.export("bucket", aws.Bucket("ours", {"bucket": name}).bucket))

    sandbox.up(named("acme-old"))
    s3 = sandbox.aws.client("s3")
    s3.put_object(Bucket="acme-old", Key="report.pdf", Body=b"precious")

    result = sandbox.up(named("acme-new"))

    assert not result.failures, result.failures
    assert result.outputs["bucket"] == "acme-new"
    assert buckets(sandbox) == {"acme-old", "acme-new"}
    assert_guarded(s3, "acme-old")
    assert_guarded(s3, "acme-new")


@pytest.mark.parametrize("on_destroy", ["keep", "delete"])
def test_turning_versioning_off_suspends_it(
    sandbox: Sandbox, program: Make, street_scenes: Datasets, on_destroy: str
) -> None:
    street_scenes["street-scenes"]["on_destroy"] = on_destroy
    wanted = street_scenes["street-scenes"]["lightly"]["s3"]
    wanted["versioning"] = True
    sandbox.up(program(street_scenes))
    (made,) = buckets(sandbox) - {"acme-raw"}
    s3 = sandbox.aws.client("s3")
    assert s3.get_bucket_versioning(Bucket=made)["Status"] == "Enabled"
    wanted["versioning"] = False

    result = sandbox.up(program(street_scenes))

    assert changed(result) == {("delete", "BucketVersioning", "lightly-street-scenes-lightly")}
    assert s3.get_bucket_versioning(Bucket=made)["Status"] == "Suspended"
    assert_guarded(s3, made)


def test_a_new_name_renames_the_dataset_in_place(sandbox: Sandbox, program: Make, street_scenes: Datasets) -> None:
    sandbox.up(program(street_scenes))
    before = the_dataset(sandbox).id
    street_scenes["street-scenes"]["name"] = "Street scenes 2026"

    result = sandbox.up(program(street_scenes))

    assert changed(result) == {("update", "Dataset", "street-scenes")}
    assert (the_dataset(sandbox).id, the_dataset(sandbox).name) == (before, "Street scenes 2026")


def test_a_new_type_is_refused_until_it_comes_with_another_name(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    street_scenes["street-scenes"]["on_destroy"] = "delete"
    sandbox.up(program(street_scenes))
    before = the_dataset(sandbox).id
    street_scenes["street-scenes"]["type"] = "Videos"

    refused = sandbox.up(program(street_scenes))
    assert any("change its `name:` in the same edit" in it.message for it in refused.failures), refused.failures
    assert the_dataset(sandbox).id == before

    street_scenes["street-scenes"]["name"] = "films"
    replaced = sandbox.up(program(street_scenes))

    assert {it for it in changed(replaced) if it[0] == "replace"} == {
        ("replace", "Dataset", "street-scenes"),
        ("replace", "Datasource", "street-scenes-input"),
        ("replace", "Datasource", "street-scenes-lightly"),
        ("replace", "Verification", "street-scenes"),
    }
    dataset = the_dataset(sandbox)
    assert (dataset.type, dataset.id == before) == ("Videos", False)
    assert sandbox.report(replaced).ok


def test_a_dataset_with_content_is_taken_only_by_adoption_and_never_deleted(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    import httpx

    created = httpx.post(
        f"{sandbox.lightly.url}/v1/datasets?token={sandbox.token}", json={"name": "street-scenes", "type": "Images"}
    ).json()["id"]
    sandbox.lightly.datasets[created].n_samples = 1000

    refused = sandbox.up(program(street_scenes))
    assert any("adopt: true" in it.message for it in refused.failures), refused.failures
    assert roles(sandbox) == []

    street_scenes["street-scenes"] |= {"adopt": True, "on_destroy": "delete"}
    adopted = sandbox.up(program(street_scenes))
    assert sandbox.report(adopted).ok

    sandbox.destroy(program(street_scenes))
    assert the_dataset(sandbox).id == created


def test_refresh_shows_what_was_changed_in_lightlys_own_ui(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    wanted = program(street_scenes)
    sandbox.up(wanted)
    assert changed(sandbox.refresh(wanted)) == set(), "masked secrets are no drift"
    the_dataset(sandbox).datasources["INPUT"]["fullPath"] = "s3://acme-raw/elsewhere/"

    drift = sandbox.refresh(wanted)
    assert ("update", "Datasource", "street-scenes-input") in changed(drift)

    mended = sandbox.up(wanted)
    assert ("update", "Datasource", "street-scenes-input") in changed(mended)
    assert the_dataset(sandbox).datasources["INPUT"]["fullPath"] == "s3://acme-raw/street-scenes/"


def test_a_dataset_deleted_at_lightly_is_made_again(sandbox: Sandbox, program: Make, street_scenes: Datasets) -> None:
    wanted = program(street_scenes)
    sandbox.up(wanted)
    sandbox.lightly.datasets.clear()

    assert ("delete", "Dataset", "street-scenes") in changed(sandbox.refresh(wanted))

    again = sandbox.up(wanted)
    assert not again.failures
    assert sandbox.report(again).ok


def test_several_datasets_share_one_credential_and_one_bucket(sandbox: Sandbox, program: Make) -> None:
    shared = {"kind": "keys", "share": "acme"}
    datasets = {
        name: {
            "input": {"s3": {"bucket": "acme-raw", "prefix": f"{name}/", "access": shared}},
            "lightly": {"s3": {"bucket": "acme-lightly", "create": True, "prefix": f"{name}/", "access": shared}},
        }
        for name in ("one", "two")
    }

    result = sandbox.up(program(datasets))

    assert sandbox.report(result).ok
    made = Counter(it.type.rsplit(":", 1)[-1] for it in result.changes)
    assert (made["User"], made["AccessKey"], made["Bucket"], made["UserPolicy"]) == (1, 1, 1, 4)


def test_a_kms_key_of_ones_own_is_opened_by_grants_alone(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    kms = sandbox.aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    for purpose in ("input", "lightly"):
        street_scenes["street-scenes"][purpose]["s3"]["kms_key_arn"] = key

    result = sandbox.up(program(street_scenes))

    assert sandbox.report(result).ok
    (made,) = buckets(sandbox) - {"acme-raw"}
    grants = {tuple(it["Operations"]): it.get("Constraints") for it in kms.list_grants(KeyId=key)["Grants"]}
    assert grants == {
        ("Decrypt",): None,
        ("Decrypt", "Encrypt", "GenerateDataKey"): {"EncryptionContextEquals": {"aws:s3:arn": f"arn:aws:s3:::{made}"}},
    }, "a key for a bucket made here opens that one alone"
    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == before
    assert the_dataset(sandbox).datasources["LIGHTLY"]["s3ServerSideEncryptionKMSKey"] == key
    (rule,) = sandbox.aws.client("s3").get_bucket_encryption(Bucket=made)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key
    assert rule["BucketKeyEnabled"]


def test_everything_optional_at_once(sandbox: Sandbox, program: Make, street_scenes: Datasets) -> None:
    boundary = "arn:aws:iam::123456789012:policy/bounds"
    street_scenes["street-scenes"]["lightly"]["s3"] |= {
        "bucket": "acme-lightly",
        "region": "us-east-1",
        "versioning": True,
        "access_logs": {"bucket": "acme-logs", "prefix": "lightly/"},
        "tags": {"team": "vision"},
        "access": {"kind": "delegated", "external_id": "given-by-the-user", "permissions_boundary": boundary},
    }

    result = sandbox.up(program(street_scenes))

    assert sandbox.report(result).ok
    s3, iam = sandbox.aws.client("s3", "us-east-1"), sandbox.aws.client("iam")
    assert s3.get_bucket_versioning(Bucket="acme-lightly")["Status"] == "Enabled"
    assert s3.get_bucket_logging(Bucket="acme-lightly")["LoggingEnabled"]["TargetBucket"] == "acme-logs"
    tags = {it["Key"]: it["Value"] for it in s3.get_bucket_tagging(Bucket="acme-lightly")["TagSet"]}
    assert tags["team"] == "vision"
    assert ownership.name_in(tags, "organization/lightly-infra/test") == "acme-lightly-bucket"
    name = next(it for it in roles(sandbox) if "lightly-street-scenes-lightly" in it)
    role = iam.get_role(RoleName=name)["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert role["MaxSessionDuration"] == 12 * 60 * 60
    config = the_dataset(sandbox).datasources["LIGHTLY"]
    assert (config["s3Region"], config["s3ExternalId"]) == ("us-east-1", "given-by-the-user")


def test_a_program_names_its_own_bucket_key_and_role_by_their_outputs(sandbox: Sandbox) -> None:
    role_arn, external_id = "arn:aws:iam::123456789012:role/theirs", "given-by-the-user"

    def run() -> None:
        bucket = pulumi_aws.s3.Bucket("theirs")
        key = pulumi_aws.kms.Key("theirs")
        pulumi_aws.s3.BucketObjectv2("image", bucket=bucket.bucket, key="raw/image.png", content="an image")
        role = pulumi_aws.iam.Role(
            "theirs",
            name="theirs",
            assume_role_policy=policy.to_json(policy.trust_policy(external_id=external_id)),
            max_session_duration=policy.MAX_SESSION_SECONDS,
        )
        allowed = pulumi_aws.iam.RolePolicy(
            "theirs",
            role=role.name,
            policy=bucket.arn.apply(
                lambda it: policy.to_json(
                    policy.access_policy(purpose=Purpose.LIGHTLY, bucket_arn=it, prefix="lightly/")
                )
            ),
        )
        raw = aws.S3Datasource(
            "raw",
            {
                "purpose": Purpose.INPUT,
                "bucket": bucket.bucket,
                "prefix": "raw/",
                "region": "eu-central-1",
                "access": aws.DelegatedAccess("raw"),
                "kms_key_arn": key.arn,
            },
        )
        lightly = aws.S3Datasource(
            "lightly",
            {
                "purpose": Purpose.LIGHTLY,
                "bucket": bucket.bucket,
                "prefix": "lightly/",
                "region": "eu-central-1",
                "access": aws.DelegatedAccess("theirs", {"role_arn": role.arn, "external_id": external_id}),
            },
            pulumi.ResourceOptions(depends_on=[allowed]),
        )
        registration = Registration("scenes", {"name": "scenes", "type": "Images"})
        Dataset("scenes", {"registration": registration, "input": raw, "lightly": lightly, "verify_deadline": 5})
        pulumi.export("bucket", bucket.bucket)
        pulumi.export("key", key.arn)
        pulumi.export("role", raw.config["s3_arn"])

    assert not sandbox.preview(own(run)).failures, "nothing is known in a preview"

    result = sandbox.up(own(run))

    assert not result.failures, result.failures
    bucket, key, role = (result.outputs[it] for it in ("bucket", "key", "role"))
    iam, name = sandbox.aws.client("iam"), role.rsplit("/", 1)[-1]
    (attached,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    assert iam.get_role_policy(RoleName=name, PolicyName=attached)["PolicyDocument"] == policy.access_policy(
        purpose=Purpose.INPUT, bucket_arn=f"arn:aws:s3:::{bucket}", prefix="raw/", kms_key_arn=key
    )
    (grant,) = sandbox.aws.client("kms").list_grants(KeyId=key)["Grants"]
    assert (grant["GranteePrincipal"], grant["Operations"]) == (role, ["Decrypt"])
    told = the_dataset(sandbox).datasources
    assert (told["INPUT"]["fullPath"], told["INPUT"]["s3ServerSideEncryptionKMSKey"]) == (f"s3://{bucket}/raw/", key)
    assert (told["LIGHTLY"]["fullPath"], told["LIGHTLY"]["s3ARN"]) == (f"s3://{bucket}/lightly/", role_arn)
    assert len(iam.list_role_policies(RoleName="theirs")["PolicyNames"]) == 1, "their own role is granted nothing"
    assert sandbox.report(result).ok
    assert changed(sandbox.up(own(run))) == set()

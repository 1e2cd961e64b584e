"""A datasource joins a prefix and an access: what it grants, and what it leaves alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from lightly_infra.clouds import aws
from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Expiry
from tests.pulumi_mocks import MINTED_EXTERNAL_ID, SECRET_ACCESS_KEY, Recording, Secret, in_the_open, made_by, run

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROLE_ARN = "arn:aws:iam::123456789012:role/access-0a1b2c3"
USER_ARN = "arn:aws:iam::123456789012:user/access-0a1b2c3"


def args(later: Mapping[str, str] | None = None, **more: Any) -> aws.S3DatasourceArgs:
    """Arguments; those in `later` are known only when they are asked for."""
    more |= {name: pulumi.Output.from_input(value) for name, value in (later or {}).items()}
    given: dict[str, Any] = {
        "purpose": Purpose.INPUT,
        "bucket": "acme-raw",
        "prefix": "street-scenes/",
        "region": "eu-central-1",
    }
    return given | more  # type: ignore[return-value]  # of any test's choice


def on_a_bucket_of_yours(*, access: type[Any] = aws.DelegatedAccess, preview: bool = False, **more: Any) -> Recording:
    return run(lambda: aws.S3Datasource("raw", args(access=access("access"), **more)), preview=preview)


def on_a_bucket_of_ours(
    bucket: aws.BucketArgs | None = None, *, access: type[Any] = aws.DelegatedAccess, **more: Any
) -> Recording:
    return run(
        lambda: aws.S3Datasource("raw", args(access=access("access"), bucket=aws.Bucket("ours", bucket), **more))
    )


def outcome(*, access: type[Any] = aws.DelegatedAccess, **more: Any) -> dict[str, Any]:
    """The component's own attributes, resolved."""
    found: dict[str, Any] = {}

    def program() -> None:
        source = aws.S3Datasource("raw", args(access=access("access"), **more))
        found.update(purpose=source.purpose, verifiable=source.verifiable)
        for name in ("config", "identity", "secrets"):
            pulumi.export(name, dict(getattr(source, name)))
        pulumi.export("path", source.path)
        pulumi.export("granted", source.granted)

    return found | run(program).stack_outputs


@pytest.mark.parametrize(
    ("access", "type_", "owner"),
    [
        (aws.DelegatedAccess, "aws:iam/rolePolicy:RolePolicy", "role"),
        (aws.AccessKeys, "aws:iam/userPolicy:UserPolicy", "user"),
    ],
)
@pytest.mark.parametrize("purpose", Purpose)
def test_the_access_is_granted_the_prefix_and_nothing_else(
    access: type[Any], type_: str, owner: str, purpose: Purpose
) -> None:
    recording = on_a_bucket_of_yours(access=access, purpose=purpose)
    granted = recording.one(type_)
    assert granted.parent == recording.one("lightly-infra:aws:S3Datasource").urn
    assert granted.inputs[owner] == "access-0a1b2c3"
    assert json.loads(granted.inputs["policy"]) == policy.access_policy(
        purpose=purpose, bucket_arn="arn:aws:s3:::acme-raw", prefix="street-scenes/"
    )
    assert len(recording.of("Policy")) == 1


def test_nothing_is_written_on_a_bucket_of_yours() -> None:
    recording = on_a_bucket_of_yours(kms_key_arn=KEY, allowed_source_ips=["203.0.113.0/24"])
    assert not recording.of("aws:s3/")
    assert not recording.of("aws:kms/key")


@pytest.mark.parametrize(
    ("region", "arn"),
    [("eu-central-1", "arn:aws:s3:::acme-raw"), ("cn-northwest-1", "arn:aws-cn:s3:::acme-raw")],
)
def test_the_policy_names_the_bucket_in_its_own_partition(region: str, arn: str) -> None:
    granted = on_a_bucket_of_yours(access=aws.AccessKeys, region=region).one("Policy")
    assert json.loads(granted.inputs["policy"])["Statement"][0]["Resource"] == arn


def test_a_prefix_without_its_slash_means_the_directory() -> None:
    assert outcome(prefix="street-scenes")["path"] == "s3://acme-raw/street-scenes/"


def test_a_bad_prefix_is_refused_here_too() -> None:
    with pytest.raises(ValueError, match="which a policy would read as a pattern"):
        on_a_bucket_of_yours(prefix="*")


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
def test_nothing_may_expire_where_lightly_writes(purpose: Purpose) -> None:
    with pytest.raises(
        ValueError, match=r"^raw: the bucket deletes what lies under 'street-scenes/' after 30 days, and"
    ):
        on_a_bucket_of_ours({"expiries": [Expiry("street-scenes/", 30)]}, purpose=purpose)
    assert on_a_bucket_of_ours({"expiries": [Expiry("elsewhere/", 30)]}, purpose=purpose).of("RolePolicy")


def test_what_lightly_only_reads_may_expire() -> None:
    assert on_a_bucket_of_ours({"expiries": [Expiry("street-scenes/", 30)]}).of("RolePolicy")


def test_the_directory_is_made_in_a_bucket_of_ours_after_all_that_guards_the_bucket() -> None:
    recording = on_a_bucket_of_ours()
    marker = recording.one("BucketObjectv2")
    assert marker.inputs == {
        "bucket": "ours-0a1b2c3",
        "key": "street-scenes/",
        "content": "",
        "contentType": "application/x-directory",
    }
    guards = [it.urn for it in recording.of("aws:s3/bucket") if it is not marker]
    assert set(guards) <= marker.depends_on


def test_the_whole_bucket_needs_no_directory() -> None:
    assert not on_a_bucket_of_ours(prefix="").of("BucketObjectv2")


def test_the_directory_stays_with_a_bucket_that_is_kept() -> None:
    recording = on_a_bucket_of_ours()
    marker = recording.one("BucketObjectv2")
    assert marker.deleted_with == recording.one("aws:s3/bucket:Bucket").urn
    assert not marker.retain_on_delete, "another prefix is another directory: the old one is cleared away"


def test_the_policy_is_of_the_bucket_that_was_made() -> None:
    granted = on_a_bucket_of_ours().one("RolePolicy")
    assert '"arn:aws:s3:::ours-0a1b2c3/street-scenes/*"' in granted.inputs["policy"]


@pytest.mark.parametrize(
    ("access", "type_"), [(aws.DelegatedAccess, "iam/rolePolicy"), (aws.AccessKeys, "iam/userPolicy")]
)
def test_nobody_gets_in_before_the_bucket_that_was_made_is_guarded(access: type[Any], type_: str) -> None:
    recording = on_a_bucket_of_ours({"versioning": True, "access_logs": {"bucket": "acme-logs"}}, access=access)
    guards = {it.urn for it in recording.custom if it.name == "ours"}
    assert len(guards) == 8
    assert guards <= recording.one(type_).depends_on


# -- what the program knows only later


@pytest.mark.parametrize("access", [aws.DelegatedAccess, aws.AccessKeys])
def test_a_bucket_of_the_program_itself_is_named_by_its_output(access: type[Any]) -> None:
    def program() -> None:
        import pulumi_aws

        theirs = pulumi_aws.s3.Bucket("theirs")
        source = aws.S3Datasource("raw", args(access=access("access"), bucket=theirs.bucket))
        pulumi.export("path", source.path)

    recording = run(program)
    assert json.loads(recording.one("Policy").inputs["policy"]) == policy.access_policy(
        purpose=Purpose.INPUT, bucket_arn="arn:aws:s3:::theirs-0a1b2c3", prefix="street-scenes/"
    )
    assert recording.one("aws:s3/bucket:Bucket").urn in recording.one("Policy").depends_on
    assert recording.stack_outputs["path"] == "s3://theirs-0a1b2c3/street-scenes/"
    assert [it.name for it in recording.of("aws:s3/")] == ["theirs"], "nothing is written on it"


def test_an_output_is_put_into_its_own_partition_too() -> None:
    granted = on_a_bucket_of_yours(later={"bucket": "acme-raw"}, region="cn-north-1").one("Policy")
    assert json.loads(granted.inputs["policy"])["Statement"][0]["Resource"] == "arn:aws-cn:s3:::acme-raw"


@pytest.mark.parametrize("key", ["*", KEY.rpartition("/")[0] + "/*", "alias/acme", ""])
def test_a_key_that_is_not_one_key_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="is no KMS key's ARN"):
        on_a_bucket_of_yours(kms_key_arn=key)


def test_a_key_of_the_program_itself_is_named_by_its_output() -> None:
    recording = on_a_bucket_of_yours(later={"kms_key_arn": KEY})
    assert recording.one("kms/grant").inputs["keyId"] == KEY
    assert recording.one("kms/grant").inputs["region"] == "us-east-1"
    statement = json.loads(recording.one("Policy").inputs["policy"])["Statement"][-1]
    assert (statement["Sid"], statement["Resource"]) == ("Encryption", KEY)
    assert outcome(later={"kms_key_arn": KEY})["config"]["s3_server_side_encryption_kms_key"] == KEY


def test_a_role_of_the_program_itself_is_named_by_its_output() -> None:
    def program() -> None:
        role = pulumi.Output.from_input("arn:aws:iam::123456789012:role/ours")
        access = aws.DelegatedAccess("access", {"role_arn": role, "external_id": "canary-external-id"})
        source = aws.S3Datasource("raw", args(access=access, kms_key_arn=KEY))
        pulumi.export("role", source.config["s3_arn"])

    recording = run(program)
    assert recording.custom == [], "it is granted nothing"
    assert recording.stack_outputs["role"] == "arn:aws:iam::123456789012:role/ours"


@pytest.mark.parametrize("name", ["Acme_Raw", "acme-raw/a", "*", "", "a..b", "192.168.5.4"])
def test_a_bad_bucket_name_is_refused_before_anything_is_made(name: str) -> None:
    def program() -> None:
        access = aws.DelegatedAccess("access", {"role_arn": ROLE_ARN, "external_id": "canary-external-id"})
        with pytest.raises(ValueError, match="is no S3 bucket name"):
            aws.S3Datasource("raw", args(access=access, bucket=name))

    assert run(program).custom == []


def test_a_bad_bucket_name_in_an_output_is_refused_too_for_a_policy_would_read_it_as_a_pattern() -> None:
    with pytest.raises(ValueError, match="'acme-\\*' is no S3 bucket name"):
        on_a_bucket_of_yours(later={"bucket": "acme-*"})


# -- encryption


@pytest.mark.parametrize(("access", "principal"), [(aws.DelegatedAccess, ROLE_ARN), (aws.AccessKeys, USER_ARN)])
@pytest.mark.parametrize(
    ("purpose", "operations"),
    [(Purpose.INPUT, ["Decrypt"]), (Purpose.LIGHTLY, ["Decrypt", "Encrypt", "GenerateDataKey"])],
)
def test_the_key_is_granted_and_allowed_both(
    access: type[Any], principal: str, purpose: Purpose, operations: list[str]
) -> None:
    recording = on_a_bucket_of_yours(access=access, purpose=purpose, kms_key_arn=KEY)
    grant = recording.one("aws:kms/grant:Grant")
    assert grant.parent == recording.one("lightly-infra:aws:S3Datasource").urn
    assert grant.inputs == {
        "name": f"raw-{made_by('raw').digest}",
        "keyId": KEY,
        "granteePrincipal": principal,
        "operations": operations,
        "region": "us-east-1",
    }
    statement = json.loads(recording.one("Policy").inputs["policy"])["Statement"][-1]
    assert statement["Resource"] == KEY
    assert statement["Action"] == [f"kms:{it}" for it in operations]


def test_lightly_is_told_the_key() -> None:
    assert outcome(kms_key_arn=KEY)["config"]["s3_server_side_encryption_kms_key"] == KEY
    assert "s3_server_side_encryption_kms_key" not in outcome()["config"]


def test_the_key_of_a_bucket_of_ours_needs_no_second_mention() -> None:
    recording = on_a_bucket_of_ours({"kms_key_arn": KEY})
    assert recording.one("kms/grant").inputs["keyId"] == KEY
    assert json.loads(recording.one("RolePolicy").inputs["policy"])["Statement"][-1]["Resource"] == KEY


def test_the_key_of_a_bucket_of_ours_is_granted_for_that_bucket_alone() -> None:
    grant = on_a_bucket_of_ours({"kms_key_arn": KEY}).one("kms/grant")
    assert grant.inputs["constraints"] == [{"encryptionContextEquals": {"aws:s3:arn": "arn:aws:s3:::ours-0a1b2c3"}}]


def test_without_bucket_keys_s3_names_each_object_to_the_key_so_the_grant_names_no_bucket() -> None:
    assert "constraints" not in on_a_bucket_of_yours(kms_key_arn=KEY).one("kms/grant").inputs
    assert "constraints" not in on_a_bucket_of_ours(kms_key_arn=KEY).one("kms/grant").inputs


def test_a_role_of_yours_is_granted_nothing() -> None:
    def program() -> None:
        access = aws.DelegatedAccess(
            "access", {"role_arn": "arn:aws:iam::123456789012:role/ours", "external_id": "canary-external-id"}
        )
        aws.S3Datasource("raw", args(access=access, kms_key_arn=KEY))

    assert run(program).custom == []


# -- source addresses


def test_source_addresses_are_in_the_policy_and_rule_verification_out() -> None:
    ips = ["203.0.113.0/24"]
    for statement in json.loads(on_a_bucket_of_yours(allowed_source_ips=ips).one("Policy").inputs["policy"])[
        "Statement"
    ]:
        assert statement["Condition"]["IpAddress"] == {"aws:SourceIp": ips}
    assert outcome(allowed_source_ips=ips)["verifiable"] is False
    assert outcome()["verifiable"] is True


# -- what Lightly is told


def test_lightly_is_told_of_a_role() -> None:
    told = outcome()
    assert told["config"] == {
        "type": "S3DelegatedAccess",
        "full_path": "s3://acme-raw/street-scenes/",
        "s3_region": "eu-central-1",
        "s3_arn": ROLE_ARN,
        "s3_external_id": Secret(MINTED_EXTERNAL_ID),
    }
    assert told["identity"] == {"role_arn": ROLE_ARN}
    assert told["secrets"] == {"external_id": Secret(MINTED_EXTERNAL_ID)}


def test_lightly_is_told_of_a_key() -> None:
    told = outcome(access=aws.AccessKeys)
    assert told["config"] == {
        "type": "S3",
        "full_path": "s3://acme-raw/street-scenes/",
        "s3_region": "eu-central-1",
        "s3_access_key_id": "AKIAEXAMPLE",
        "s3_secret_access_key": Secret(SECRET_ACCESS_KEY),
    }
    assert told["identity"] == {"access_key_id": "AKIAEXAMPLE", "user_arn": USER_ARN}
    assert told["secrets"] == {"secret_access_key": Secret(SECRET_ACCESS_KEY)}


@pytest.mark.parametrize("purpose", Purpose)
def test_what_was_granted_is_told_as_the_policy_and_is_no_secret(purpose: Purpose) -> None:
    granted = outcome(purpose=purpose, kms_key_arn=KEY)["granted"]
    recording = on_a_bucket_of_yours(purpose=purpose, kms_key_arn=KEY)
    assert granted == recording.one("Policy").inputs["policy"]


@pytest.mark.parametrize("access", [aws.DelegatedAccess, aws.AccessKeys])
def test_nothing_secret_is_in_the_open(access: type[Any]) -> None:
    recording = on_a_bucket_of_yours(access=access, kms_key_arn=KEY)
    text = " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)
    assert MINTED_EXTERNAL_ID not in text
    assert "canary" not in text


def test_the_component_registers_path_and_identity() -> None:
    recording = on_a_bucket_of_yours()
    assert recording.outputs_of(recording.one("lightly-infra:aws:S3Datasource")) == {
        "path": "s3://acme-raw/street-scenes/",
        "role_arn": ROLE_ARN,
    }


# -- options


def test_children_wait_for_what_the_component_waits_for() -> None:
    def program() -> None:
        bucket = aws.Bucket("before")
        opts = pulumi.ResourceOptions(depends_on=[bucket])
        aws.S3Datasource(
            "raw",
            args(
                access=aws.AccessKeys("access", None, opts),
                bucket=aws.Bucket("ours", None, opts),
                kms_key_arn=KEY,
            ),
            opts,
        )

    recording = run(program)
    before = recording.one("aws:s3/bucket:Bucket", "before").urn
    later = [it for it in recording.custom if it.name != "before"]
    assert len(later) == 11
    assert [it for it in later if before not in it.depends_on] == []


def test_explicit_providers_and_protection_reach_every_child() -> None:
    def program() -> None:
        import pulumi_aws
        import pulumi_random

        opts = pulumi.ResourceOptions(
            providers={"aws": pulumi_aws.Provider("ours"), "random": pulumi_random.Provider("ours")}, protect=True
        )
        access = aws.DelegatedAccess("access", None, opts)
        aws.S3Datasource("raw", args(access=access, bucket=aws.Bucket("ours", None, opts), kms_key_arn=KEY), opts)

    recording = run(program)
    made = [it for it in recording.custom if not it.type.startswith("pulumi:providers:")]
    assert len(made) == 11
    for it in made:
        package = it.type.split(":")[0]
        assert f"pulumi:providers:{package}::ours::" in it.provider
        assert it.protect


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert on_a_bucket_of_yours(preview=True, kms_key_arn=KEY).one("Policy").inputs["policy"]

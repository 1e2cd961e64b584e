"""Reading the lifecycle and the objects of a bucket of the user's own, as whoever runs Pulumi."""

from __future__ import annotations

import json
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra.clouds.aws import lifecycle
from lightly_infra.clouds.aws.connection import Role, Settings
from lightly_infra.retention import Rule, RulesUnreadable
from lightly_infra.sandbox.aws.ministack import ACCOUNT, Credentials, Ministack
from lightly_infra.sandbox.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lightly_infra.listing import Stored

REGION: Final = "eu-central-1"
CANARY = "canary/secret+of-whoever-runs-this"
READ = {"Effect": "Allow", "Action": "s3:GetLifecycleConfiguration", "Resource": "*"}


@pytest.fixture(scope="module")
def emulated() -> Iterator[Ministack]:
    with Ministack() as running:
        yield running


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that knows no AWS account, and is none of Amazon's."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def administrator(emulated: Ministack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the sandbox."""
    for name, value in emulated.environment(REGION).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def reachable(emulated: Ministack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its endpoint, and no credentials."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulated.endpoint)
    monkeypatch.setenv("AWS_CA_BUNDLE", emulated.ca_bundle)


@pytest.fixture
def bucket(emulated: Ministack) -> str:
    name = f"acme-{secrets.token_hex(6)}"
    emulated.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def put(emulated: Ministack, bucket: str, *rules: Any) -> None:
    emulated.client("s3").put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}
    )


EXPIRING = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "raw/"}, "Expiration": {"Days": 7}}


def user(emulated: Ministack, *statements: Any) -> Credentials:
    iam, name = emulated.client("iam"), f"user-{secrets.token_hex(6)}"
    iam.create_user(UserName=name)
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="any", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def as_user(keys: Credentials) -> Settings:
    return Settings(access_key=keys.access_key, secret_key=keys.secret_key)


def role(emulated: Ministack, external_id: str, *statements: Any) -> str:
    """A role that everybody of the account may assume who knows the external id."""
    iam, name = emulated.client("iam"), f"role-{secrets.token_hex(6)}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
            }
        ],
    }
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_role_policy(RoleName=name, PolicyName="any", PolicyDocument=document)
    return arn


# -- rules


@pytest.mark.usefixtures("administrator")
def test_the_rules_of_a_bucket_are_read_in_the_sandbox(emulated: Ministack, bucket: str) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    dated = {"ID": "dated", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Date": at}}
    tag = {"Key": "stage", "Value": "new"}
    tagged = EXPIRING | {"ID": "tagged", "Filter": {"And": {"Prefix": "raw/", "Tags": [tag]}}}
    disabled = EXPIRING | {"ID": "disabled", "Status": "Disabled"}
    put(emulated, bucket, EXPIRING, dated, tagged, disabled)
    assert lifecycle.read(bucket, REGION, Settings()) == [
        Rule("old", "raw/", days=7),
        Rule("dated", "", on=at),
        Rule("tagged", "raw/", days=7, partly=True),
    ]


@pytest.mark.usefixtures("administrator")
def test_a_bucket_without_a_lifecycle_has_no_rules(bucket: str) -> None:
    assert lifecycle.read(bucket, REGION, Settings()) == []


@pytest.mark.usefixtures("reachable")
def test_who_asks_needs_one_permission_which_is_named(emulated: Ministack, bucket: str) -> None:
    put(emulated, bucket, EXPIRING)
    assert lifecycle.read(bucket, REGION, as_user(user(emulated, READ))) == [Rule("old", "raw/", days=7)]
    with pytest.raises(RulesUnreadable) as caught:
        lifecycle.read(bucket, REGION, as_user(user(emulated)))
    assert str(caught.value).startswith(f"could not read the lifecycle of bucket {bucket!r}: AccessDenied: ")
    assert str(caught.value).endswith(
        f"allow s3:GetLifecycleConfiguration on arn:aws:s3:::{bucket} to whoever runs this"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("administrator")
def test_a_bucket_that_is_not_there_is_said() -> None:
    with pytest.raises(RulesUnreadable, match=r"NoSuchBucket: .*: make the bucket, or look whether its name is right"):
        lifecycle.read(f"acme-{secrets.token_hex(6)}", REGION, Settings())


@pytest.mark.usefixtures("reachable")
def test_without_credentials_one_is_told_to_log_in(bucket: str) -> None:
    with pytest.raises(RulesUnreadable, match=r"redentials: log in as for the AWS CLI, or set aws:profile$"):
        lifecycle.read(bucket, REGION, Settings())
    with pytest.raises(RulesUnreadable, match=r"profile \(acme\) could not be found: log in"):
        lifecycle.read(bucket, REGION, Settings(profile="acme"))


@pytest.mark.usefixtures("reachable")
def test_a_key_that_is_no_longer_one_is_said_without_its_secret(bucket: str) -> None:
    with pytest.raises(RulesUnreadable, match="log in as for the AWS CLI") as caught:
        lifecycle.read(bucket, REGION, Settings(access_key="AKIAGONE", secret_key=CANARY))
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_network_that_leads_nowhere_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{free_port()}")
    with pytest.raises(RulesUnreadable, match="look at the network, proxies and AWS_CA_BUNDLE") as caught:
        lifecycle.read("acme-raw", REGION, Settings(access_key="AKIAANY", secret_key=CANARY))
    assert "canary" not in str(caught.value)


def test_boto3_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(RulesUnreadable, match=r"boto3 is missing: pip install 'lightly-infra\[aws\]'"):
        lifecycle.read("acme-raw", REGION, Settings())


# -- objects


def inputs(*given: Any) -> list[Stored]:
    return [it for page in lifecycle.pages(*given) for it in page.objects]


@pytest.mark.usefixtures("administrator")
def test_inputs_are_all_objects_under_the_prefix_and_no_directories(emulated: Ministack, bucket: str) -> None:
    s3 = emulated.client("s3")
    for key in ("raw/", "raw/a.png", "raw/day/", "raw/day/b.png", "raw-2/c.png", "d.png"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    found = inputs(bucket, REGION, "raw/", Settings())
    assert [it.key for it in found] == ["raw/a.png", "raw/day/b.png"]
    assert all(it.modified.tzinfo is not None for it in found)
    assert len(inputs(bucket, REGION, "", Settings())) == 4
    assert inputs(bucket, REGION, "nothing/", Settings()) == []


@pytest.mark.usefixtures("administrator")
def test_inputs_come_page_by_page(emulated: Ministack, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"raw/{it}.png" for it in range(5)]
    for key in keys:
        emulated.client("s3").put_object(Bucket=bucket, Key=key, Body=b"")
    pages = []

    def short(params: Any, **_: Any) -> Any:
        pages.append(params)
        return params | {"MaxKeys": 2}

    client = Settings().client("s3", REGION)
    client.meta.events.register("provide-client-params.s3.ListObjectsV2", short)
    monkeypatch.setattr(Settings, "client", lambda *_: client)
    assert [it.key for it in inputs(bucket, REGION, "raw/", Settings())] == keys
    assert len(pages) == 3


@pytest.mark.usefixtures("reachable")
def test_who_lists_needs_another_permission(emulated: Ministack, bucket: str) -> None:
    with pytest.raises(
        RulesUnreadable, match=f"under 'raw/': AccessDenied: .*allow s3:ListBucket on arn:aws:s3:::{bucket}"
    ):
        inputs(bucket, REGION, "raw/", as_user(user(emulated, READ)))


# -- who asks


@pytest.mark.usefixtures("reachable")
def test_a_role_is_assumed_with_its_external_id(emulated: Ministack, bucket: str) -> None:
    put(emulated, bucket, EXPIRING)
    arn = role(emulated, "acme-external-id", READ)
    keys = user(emulated, {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"})
    config = {
        "aws:accessKey": keys.access_key,
        "aws:secretKey": keys.secret_key,
        "aws:assumeRoles": json.dumps([{"roleArn": arn, "externalId": "acme-external-id", "sessionName": "ci"}]),
    }
    assert lifecycle.read(bucket, REGION, Settings.read(config)) == [Rule("old", "raw/", days=7)]
    config["aws:assumeRoles"] = json.dumps([{"roleArn": arn, "externalId": CANARY}])
    with pytest.raises(RulesUnreadable, match="let whoever runs this assume the role of aws:assumeRoles") as caught:
        lifecycle.read(bucket, REGION, Settings.read(config))
    assert "canary" not in str(caught.value)


@pytest.mark.usefixtures("reachable")
def test_roles_are_assumed_one_after_the_other(emulated: Ministack, bucket: str) -> None:
    put(emulated, bucket, EXPIRING)
    may_assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    first, second = role(emulated, "first-of-two", may_assume), role(emulated, "second-of-two", READ)
    keys = user(emulated, may_assume)
    roles = (Role(first, "first-of-two"), Role(second, "second-of-two"))
    settings = Settings(access_key=keys.access_key, secret_key=keys.secret_key, roles=roles)
    assert lifecycle.read(bucket, REGION, settings) == [Rule("old", "raw/", days=7)]


@pytest.mark.usefixtures("reachable")
def test_a_profile_of_the_stack_goes_before_the_environment(
    emulated: Ministack, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = user(emulated, READ)
    (tmp_path / "credentials").write_text(
        f"[acme]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAGONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    assert lifecycle.read(bucket, REGION, Settings.read({"aws:profile": "acme"})) == []


@pytest.mark.usefixtures("administrator")
def test_a_proxy_is_not_asked_for_an_emulator_on_this_machine(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    assert lifecycle.read(bucket, REGION, Settings()) == []


def test_the_settings_of_a_stack_are_those_of_its_provider() -> None:
    roles = [{"roleArn": "arn:aws:iam::123456789012:role/a", "externalId": CANARY, "durationSeconds": 900}]
    config = {
        "aws:profile": "acme",
        "aws:accessKey": "AKIA",
        "aws:secretKey": CANARY,
        "aws:token": f"{CANARY}-token",
        "aws:assumeRoles": json.dumps(roles),
        "aws:region": REGION,
    }
    settings = Settings.read(config)
    assert settings == Settings(
        "acme", "AKIA", CANARY, f"{CANARY}-token", (Role("arn:aws:iam::123456789012:role/a", CANARY),)
    )
    assert "canary" not in repr(settings)
    assert Settings.read({}) == Settings.read({"aws:assumeRoles": "[]", "aws:profile": ""}) == Settings()


def test_the_older_single_role_is_read_too() -> None:
    older = {"aws:assumeRole": json.dumps({"roleArn": "arn:aws:iam::123456789012:role/a", "sessionName": "ci"})}
    assert Settings.read(older).roles == (Role("arn:aws:iam::123456789012:role/a", session_name="ci"),)


@given(
    st.one_of(
        st.text(), st.sampled_from(['{"roleArn": 1}', '[{"externalId": "canary"}]', "7", '"canary"', "null"])
    ).filter(lambda text: text and text != "[]")
)
def test_what_is_no_role_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^aws:assumeRoles: is not a role to assume: write it as \{roleArn: "
    ) as caught:
        Settings.read({"aws:assumeRoles": text})
    assert "canary" not in str(caught.value)

"""Buckets, policies and markers on an OBS that checks signatures and policies."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lightly_infra.clouds.obs import api, errors, policy
from lightly_infra.clouds.obs.api import Obs
from lightly_infra.clouds.obs.connection import Server, Settings
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.obs.ministack import ObsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EU = Server("https://obs.eu-de.otc.t-systems.com", "eu-de")
USER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"
RULES = policy.lifecycle()
IN_EU: Any = {"LocationConstraint": "eu-de"}


@pytest.fixture(scope="module")
def emulated() -> Iterator[ObsServer]:
    with ObsServer() as running:
        yield running


def settings(emulated: ObsServer, secret: str | None = None) -> Settings:
    keys = emulated.deployer
    return Settings(keys.access_key, secret or keys.secret_key, emulated.endpoint, emulated.ca_bundle)


@pytest.fixture(scope="module")
def obs(emulated: ObsServer) -> Iterator[Obs]:
    obs = Obs(EU, settings(emulated))
    yield obs
    obs.close()


@pytest.fixture
def bucket(obs: Obs) -> str:
    name = f"acme-{secrets.token_hex(6)}"
    obs.make_bucket(name, RULES)
    return name


def statements(name: str = "Raw") -> list[policy.Statement]:
    return policy.grant(purpose=Purpose.LIGHTLY, bucket="acme-raw", prefix=f"{name}/", user=USER, sid=name)


def policy_of(emulated: ObsServer, bucket: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(emulated.buckets().get_bucket_policy(Bucket=bucket)["Policy"])
    return document


# -- buckets


def test_a_bucket_is_made_in_its_region_private_and_with_its_lifecycle(
    emulated: ObsServer, obs: Obs, bucket: str
) -> None:
    assert str(emulated.buckets().get_bucket_location(Bucket=bucket)["LocationConstraint"]) == "eu-de"
    grants = emulated.buckets().get_bucket_acl(Bucket=bucket)["Grants"]
    assert [it["Grantee"]["Type"] for it in grants] == ["CanonicalUser"]
    assert obs.lifecycle(bucket) == RULES


def test_a_bucket_is_tagged(emulated: ObsServer, obs: Obs) -> None:
    name = f"acme-{secrets.token_hex(6)}"
    obs.make_bucket(name, RULES, {"managed-by": "lightly-infra"})
    tags = emulated.buckets().get_bucket_tagging(Bucket=name)["TagSet"]
    assert tags == [{"Key": "managed-by", "Value": "lightly-infra"}]


@pytest.mark.parametrize("code", ["NotImplemented", "MethodNotAllowed", "AccessDenied"])
def test_a_cloud_without_tags_makes_buckets_as_well(obs: Obs, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no tags"}}, "PutBucketTagging")

    monkeypatch.setattr(obs._client, "put_bucket_tagging", refuse)
    name = f"acme-{secrets.token_hex(6)}"
    obs.make_bucket(name, RULES, {"managed-by": "lightly-infra"})
    assert obs.lifecycle(name) == RULES


def test_what_a_crash_left_behind_is_taken_over(obs: Obs, bucket: str) -> None:
    obs.make_bucket(bucket, RULES)
    assert obs.lifecycle(bucket) == RULES


def test_a_crash_between_the_bucket_and_its_lifecycle_is_made_good(emulated: ObsServer, obs: Obs) -> None:
    name = f"acme-{secrets.token_hex(6)}"
    emulated.buckets().create_bucket(Bucket=name, CreateBucketConfiguration=IN_EU)
    assert obs.lifecycle(name) == []
    obs.make_bucket(name, RULES)
    assert obs.lifecycle(name) == RULES


def test_a_bucket_of_ours_with_something_in_it_is_not_taken_over(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    emulated.buckets().put_object(Bucket=bucket, Key="a.png", Body=b"x")
    with pytest.raises(errors.BucketTaken, match="not empty: leave 'create' out to use it"):
        obs.make_bucket(bucket, RULES)


def test_a_bucket_of_yours_that_has_a_lifecycle_is_not_taken_over(emulated: ObsServer, obs: Obs) -> None:
    name, client = f"acme-{secrets.token_hex(6)}", emulated.buckets()
    client.create_bucket(Bucket=name, CreateBucketConfiguration=IN_EU)
    rule: Any = {"ID": "away", "Prefix": "", "Status": "Enabled", "Expiration": {"Days": 1}}
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    with pytest.raises(errors.BucketTaken, match="with a lifecycle of its own: leave 'create' out to use it as it is"):
        obs.make_bucket(name, RULES)
    assert obs.lifecycle(name) == [rule]


def test_a_bucket_of_yours_that_has_a_policy_is_not_taken_over(emulated: ObsServer, obs: Obs) -> None:
    name, client = f"acme-{secrets.token_hex(6)}", emulated.buckets()
    client.create_bucket(Bucket=name, CreateBucketConfiguration=IN_EU)
    client.put_bucket_policy(Bucket=name, Policy=policy.to_json(policy.document(statements())))
    with pytest.raises(errors.BucketTaken, match="with a policy of its own: leave 'create' out to use it as it is"):
        obs.make_bucket(name, RULES)
    assert obs.lifecycle(name) == []


def refusing(code: str) -> Callable[..., None]:
    """A call that is refused with this code."""

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "any")

    return refuse


def test_a_bucket_whose_lifecycle_is_refused_is_not_left_behind(obs: Obs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obs._client, "put_bucket_lifecycle_configuration", refusing("MalformedXML"))
    name = f"acme-{secrets.token_hex(6)}"
    with pytest.raises(errors.CallFailed, match="could not set the lifecycle"):
        obs.make_bucket(name, RULES)
    assert obs.lifecycle(name) is None


def test_one_that_cannot_be_deleted_again_does_not_hide_why(obs: Obs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obs._client, "put_bucket_lifecycle_configuration", refusing("MalformedXML"))
    monkeypatch.setattr(obs._client, "delete_bucket", refusing("AccessDenied"))
    name = f"acme-{secrets.token_hex(6)}"
    with pytest.raises(errors.CallFailed, match="could not set the lifecycle"):
        obs.make_bucket(name, RULES)
    assert obs.lifecycle(name) == []


def test_a_bucket_that_was_there_before_is_never_deleted(
    emulated: ObsServer, obs: Obs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obs._client, "put_bucket_lifecycle_configuration", refusing("MalformedXML"))
    name = f"acme-{secrets.token_hex(6)}"
    emulated.buckets().create_bucket(Bucket=name, CreateBucketConfiguration=IN_EU)
    with pytest.raises(errors.CallFailed, match="could not set the lifecycle"):
        obs.make_bucket(name, RULES)
    # The real OBS takes a bucket of ours for created once more, so that this alone must not count.
    monkeypatch.setattr(obs._client, "list_buckets", refusing("AccessDenied"))
    monkeypatch.setattr(obs._client, "create_bucket", lambda **_: {})
    with pytest.raises(errors.CallFailed, match="could not set the lifecycle"):
        obs.make_bucket(name, RULES)
    assert obs.lifecycle(name) == []


def test_old_versions_are_something_too(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    client = emulated.buckets()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket, Key="a.png", Body=b"x")
    client.delete_object(Bucket=bucket, Key="a.png")
    with pytest.raises(errors.BucketTaken):
        obs.make_bucket(bucket, RULES)


def test_an_empty_bucket_in_another_region_is_not_taken_over(emulated: ObsServer, bucket: str) -> None:
    elsewhere = Obs(Server(EU.endpoint, "eu-nl"), settings(emulated))
    with pytest.raises(errors.BucketTaken, match="in region 'eu-de' and not 'eu-nl'"):
        elsewhere.make_bucket(bucket, RULES)
    elsewhere.close()


def test_somebody_elses_bucket_is_told_plainly_and_left_alone(emulated: ObsServer, obs: Obs) -> None:
    theirs, name = Credentials("111122223333", "test"), f"theirs-{secrets.token_hex(6)}"
    stranger = emulated.client("s3", "eu-de", credentials=theirs)
    stranger.create_bucket(Bucket=name, CreateBucketConfiguration=IN_EU)
    with pytest.raises(errors.BucketTaken, match=f"'{name}' is taken: names are unique"):
        obs.make_bucket(name, RULES)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        stranger.get_bucket_lifecycle_configuration(Bucket=name)


def test_who_may_not_list_buckets_can_make_them_and_take_over_too(obs: Obs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListBuckets")

    monkeypatch.setattr(obs._client, "list_buckets", refuse)
    name = f"acme-{secrets.token_hex(6)}"
    for _ in range(2):
        obs.make_bucket(name, RULES)
    assert obs.lifecycle(name) == RULES


def test_a_lifecycle_that_drifted_is_seen_and_set_again(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    rule: Any = {"ID": "away", "Filter": {"Prefix": "x/"}, "Status": "Enabled", "Expiration": {"Days": 1}}
    emulated.buckets().put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert obs.lifecycle(bucket) == [{"ID": "away", "Prefix": "x/", "Status": "Enabled", "Expiration": {"Days": 1}}]
    obs.put_lifecycle(bucket, RULES)
    assert obs.lifecycle(bucket) == RULES


def test_an_empty_bucket_is_deleted_and_one_that_is_gone_is_no_error(obs: Obs, bucket: str) -> None:
    obs.delete_bucket(bucket)
    assert obs.lifecycle(bucket) is None
    obs.delete_bucket(bucket)


def test_a_bucket_with_something_in_it_is_never_emptied(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    emulated.buckets().put_object(Bucket=bucket, Key="a.png", Body=b"x")
    with pytest.raises(errors.BucketNotEmpty, match="never emptied here: empty it first"):
        obs.delete_bucket(bucket)
    assert emulated.buckets().get_object(Bucket=bucket, Key="a.png")["Body"].read() == b"x"


# -- statements


def test_statements_are_added_found_changed_and_removed(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    obs.put_statements(bucket, statements())
    assert policy_of(emulated, bucket) == policy.document(statements())
    assert obs.statements(bucket, {"RawList", "RawObjects"}) == statements()
    changed = [it | {"Effect": "Deny"} for it in statements()]
    obs.put_statements(bucket, changed, replacing={"RawList", "RawObjects"})
    assert policy_of(emulated, bucket)["Statement"] == changed
    obs.remove_statements(bucket, {"RawList", "RawObjects"})
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        policy_of(emulated, bucket)
    obs.remove_statements(bucket, {"RawList", "RawObjects"})


def test_the_statements_of_others_stay_word_for_word(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    theirs: dict[str, Any] = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/private/*",
    }
    text = json.dumps({"Version": "2012-10-17", "Id": "theirs", "Statement": theirs})
    emulated.buckets().put_bucket_policy(Bucket=bucket, Policy=text)
    obs.put_statements(bucket, statements())
    whole = policy_of(emulated, bucket)
    assert (whole["Version"], whole["Id"]) == ("2012-10-17", "theirs")
    assert whole["Statement"] == [theirs, *statements()]
    obs.remove_statements(bucket, {"RawList", "RawObjects"})
    assert policy_of(emulated, bucket)["Statement"] == [theirs]


def test_statements_that_a_crash_left_behind_are_ours(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    for _ in range(2):
        obs.put_statements(bucket, statements())
    assert policy_of(emulated, bucket)["Statement"] == statements()


def test_half_of_the_statements_is_made_whole(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    obs.put_statements(bucket, statements()[:1])
    obs.put_statements(bucket, statements())
    assert policy_of(emulated, bucket)["Statement"] == statements()


def test_another_statement_of_the_same_id_is_not_replaced(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    theirs = [it | {"Effect": "Deny"} for it in statements()]
    obs.put_statements(bucket, theirs)
    with pytest.raises(errors.StatementTaken, match="'RawList' already that says something else"):
        obs.put_statements(bucket, statements())
    assert policy_of(emulated, bucket)["Statement"] == theirs


def test_added_side_by_side_none_is_lost(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    """Pulumi acts from four threads, and each of the resources may have a client of its own."""
    clients = [obs, Obs(EU, settings(emulated))]
    names = [f"Data{it}" for it in range(16)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [(clients[at % 2], name) for at, name in enumerate(names)]
        list(pool.map(lambda job: job[0].put_statements(bucket, statements(job[1])), jobs))
    sids = [it["Sid"] for it in policy_of(emulated, bucket)["Statement"]]
    assert sorted(sids) == sorted(it["Sid"] for name in names for it in statements(name))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: obs.remove_statements(bucket, {f"{name}List", f"{name}Objects"}), names[1:]))
    assert policy_of(emulated, bucket)["Statement"] == statements(names[0])
    clients[1].close()


def test_a_policy_that_obs_would_not_take_is_refused_before(obs: Obs, bucket: str) -> None:
    many = [it | {"Sid": f"{it['Sid']}{at}"} for at in range(60) for it in statements()]
    with pytest.raises(errors.PolicyTooLong, match="OBS takes 20480"):
        obs.put_statements(bucket, many)


def test_what_is_as_it_should_be_is_not_written_again(obs: Obs, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    obs.put_statements(bucket, statements())

    def fail(**_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(obs._client, "put_bucket_policy", fail)
    monkeypatch.setattr(obs._client, "delete_bucket_policy", fail)
    obs.put_statements(bucket, statements())
    obs.remove_statements(bucket, {"Other"})


def test_a_bucket_that_is_gone_has_no_statements_and_takes_none(obs: Obs) -> None:
    assert obs.statements("acme-gone", {"RawList"}) == []
    obs.remove_statements("acme-gone", {"RawList"})
    with pytest.raises(errors.CallFailed, match=r"NoSuchBucket.*Remedy: make the bucket"):
        obs.put_statements("acme-gone", statements())


# -- markers


def test_a_marker_is_made_found_and_deleted(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    assert not obs.has_marker(bucket, "raw/")
    obs.put_marker(bucket, "raw/")
    assert obs.has_marker(bucket, "raw/")
    head = emulated.buckets().head_object(Bucket=bucket, Key="raw/")
    assert (head["ContentLength"], head["ContentType"]) == (0, "application/x-directory")
    obs.delete_marker(bucket, "raw/")
    assert not obs.has_marker(bucket, "raw/")
    obs.delete_marker(bucket, "raw/")


def test_a_marker_that_is_there_is_not_written_over(emulated: ObsServer, obs: Obs, bucket: str) -> None:
    emulated.buckets().put_object(Bucket=bucket, Key="raw/", Body=b"precious")
    obs.put_marker(bucket, "raw/")
    assert emulated.buckets().get_object(Bucket=bucket, Key="raw/")["Body"].read() == b"precious"


def test_a_marker_in_a_bucket_that_is_gone_is_gone(obs: Obs) -> None:
    assert not obs.has_marker("acme-gone", "raw/")
    obs.delete_marker("acme-gone", "raw/")


# -- errors


def test_a_wrong_key_is_told_in_one_line_with_a_remedy_and_without_the_secret(emulated: ObsServer) -> None:
    wrong = Obs(EU, settings(emulated, "canary-of-a-secret-key"))
    with pytest.raises(errors.CallFailed, match="SignatureDoesNotMatch") as error:
        wrong.make_bucket("acme-never", RULES)
    said = str(error.value)
    assert "'acme-never'" in said
    assert "check OBS_ACCESS_KEY_ID and OBS_SECRET_ACCESS_KEY" in said
    assert "\n" not in said
    assert "canary" not in said
    assert error.value.__suppress_context__
    wrong.close()


def test_secrets_that_a_server_repeats_are_not_told(obs: Obs, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = obs._secrets[0]

    def echo(**_: object) -> None:
        raise ClientError({"Error": {"Code": "Odd", "Message": f"you said\n{secret}"}}, "DeleteBucket")

    monkeypatch.setattr(obs._client, "delete_bucket", echo)
    with pytest.raises(errors.CallFailed, match=r"Odd: you said \[redacted\]") as error:
        obs.delete_bucket("acme-raw")
    assert secret not in str(error.value)


@pytest.mark.parametrize("code", ["AccessDenied", "403"])
def test_what_may_not_be_looked_at_is_not_gone(obs: Obs, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "Forbidden"}}, "any")

    for call in ("head_object", "get_bucket_lifecycle_configuration", "get_bucket_policy", "delete_object"):
        monkeypatch.setattr(obs._client, call, refuse)
    for act in (
        lambda: obs.has_marker("acme-raw", "a/"),
        lambda: obs.lifecycle("acme-raw"),
        lambda: obs.statements("acme-raw", {"x"}),
        lambda: obs.remove_statements("acme-raw", {"x"}),
        lambda: obs.delete_marker("acme-raw", "a/"),
    ):
        with pytest.raises(errors.CallFailed, match=r"AccessDenied.*give their user the permission in IAM"):
            act()


def test_no_answer_is_told_with_what_to_look_at(obs: Obs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://obs.example")

    monkeypatch.setattr(obs._client, "delete_bucket", fail)
    monkeypatch.setattr(obs._client, "create_bucket", fail)
    with pytest.raises(errors.CallFailed, match="Look at the endpoint, at the network, and at OBS_CA_BUNDLE"):
        obs.delete_bucket("acme-raw")
    with pytest.raises(errors.CallFailed, match="could not create the bucket"):
        obs.make_bucket("acme-never", RULES)


def test_a_refused_list_of_buckets_that_is_no_missing_permission_ends_it(
    obs: Obs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ClientError({"Error": {"Code": "RequestTimeTooSkewed"}}, "ListBuckets")

    monkeypatch.setattr(obs._client, "list_buckets", fail)
    with pytest.raises(errors.CallFailed, match=r"RequestTimeTooSkewed. Remedy: set this machine's clock"):
        obs.make_bucket("acme-never", RULES)


def test_the_one_lock_is_free_after_an_error(obs: Obs) -> None:
    with pytest.raises(errors.CallFailed):
        obs.put_statements("acme-gone", statements())
    assert not api._POLICIES.locked()

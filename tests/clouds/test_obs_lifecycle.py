"""Reading the lifecycle of an OBS bucket of the user's own."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds.obs import lifecycle, policy
from lightly_infra.clouds.obs.api import Obs
from lightly_infra.clouds.obs.connection import Server, Settings
from lightly_infra.clouds.obs.errors import CallFailed
from lightly_infra.retention import Expiry, Rule, RulesUnreadable
from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.obs.ministack import ACCOUNT, ObsServer, User

if TYPE_CHECKING:
    from collections.abc import Iterator

EU = Server("https://obs.eu-de.otc.t-systems.com", "eu-de")
IN_EU: Any = {"LocationConstraint": "eu-de"}


@pytest.fixture(scope="module")
def emulated() -> Iterator[ObsServer]:
    with ObsServer() as running:
        yield running


@pytest.fixture
def bucket(emulated: ObsServer) -> str:
    name = f"acme-{secrets.token_hex(6)}"
    emulated.buckets().create_bucket(Bucket=name, CreateBucketConfiguration=IN_EU)
    return name


def settings(emulated: ObsServer, keys: Credentials | None = None) -> Settings:
    keys = keys or emulated.deployer
    return Settings(keys.access_key, keys.secret_key, emulated.endpoint, emulated.ca_bundle)


def put(emulated: ObsServer, bucket: str, *rules: Any) -> None:
    emulated.buckets().put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def test_the_rules_of_a_bucket_are_read(emulated: ObsServer, bucket: str) -> None:
    assert lifecycle.read(bucket, EU, settings(emulated)) == []
    put(emulated, bucket, {"ID": "old", "Prefix": "raw/", "Status": "Enabled", "Expiration": {"Days": 7}})
    assert lifecycle.read(bucket, EU, settings(emulated)) == [Rule("old", "raw/", days=7)]


def test_a_rule_by_tags_is_about_some_objects_only_and_keeps_its_prefix(emulated: ObsServer, bucket: str) -> None:
    tags = {"Prefix": "raw/", "Tags": [{"Key": "stage", "Value": "new"}]}
    put(emulated, bucket, {"ID": "old", "Filter": {"And": tags}, "Status": "Enabled", "Expiration": {"Days": 7}})
    assert lifecycle.read(bucket, EU, settings(emulated)) == [Rule("old", "raw/", days=7, partly=True)]


def test_what_we_set_is_what_is_read(emulated: ObsServer) -> None:
    name = f"acme-{secrets.token_hex(6)}"
    wanted = [Expiry("raw/", 30), Expiry("videos/", 60)]
    obs = Obs(EU, settings(emulated))
    obs.make_bucket(name, policy.lifecycle(wanted))
    obs.make_bucket(name, policy.lifecycle(wanted))
    assert obs.lifecycle(name) == policy.lifecycle(wanted)
    assert [(it.prefix, it.days) for it in lifecycle.read(name, EU, settings(emulated))] == wanted
    obs.close()


def test_rules_that_overlap_are_refused_as_the_real_one_does(emulated: ObsServer, bucket: str) -> None:
    obs = Obs(EU, settings(emulated))
    beside = [*policy.lifecycle(), *policy.lifecycle([Expiry("raw/", 30)])]
    with pytest.raises(CallFailed, match="InvalidRequest: the prefixes '' and 'raw/' overlap"):
        obs.put_lifecycle(bucket, beside)
    obs.close()


def test_who_may_not_read_is_told(emulated: ObsServer, bucket: str) -> None:
    keys = Credentials("OBSNOBODY", secrets.token_hex(20))
    emulated.let_in(User(f"arn:aws:iam::{ACCOUNT}:user/nobody", keys))
    with pytest.raises(
        RulesUnreadable, match=f"could not read the lifecycle .OBS bucket '{bucket}'.: AccessDenied: .*IAM"
    ):
        lifecycle.read(bucket, EU, settings(emulated, keys))


def test_a_bucket_that_is_not_there_is_said(emulated: ObsServer) -> None:
    with pytest.raises(RulesUnreadable, match="there is no OBS bucket 'acme-none': make the bucket, or look whether"):
        lifecycle.read("acme-none", EU, settings(emulated))


def test_without_keys_one_is_told_which() -> None:
    with pytest.raises(RulesUnreadable, match="no OBS keys to act with: set OBS_ACCESS_KEY_ID"):
        lifecycle.read("acme-raw", EU, Settings())

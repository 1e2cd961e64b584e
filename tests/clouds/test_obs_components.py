"""The OBS components: what they are made of, what they grant, and what they leave alone."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from lightly_infra.clouds import obs
from lightly_infra.clouds.obs import policy
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Expiry
from tests.pulumi_mocks import Recorded, Recording, Secret, in_the_open, made_by, run

ENDPOINT = "https://obs.eu-de.otc.t-systems.com"
USER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"
KEYS: obs.AccessKeysArgs = {"access_key_id": "AKOBS", "secret_access_key": "canary-secret", "user": USER}
BUCKET: obs.BucketArgs = {"endpoint": ENDPOINT, "region": "eu-de"}
SID = policy.sid_of("raw", USER)
SERVER = {"endpoint": ENDPOINT, "region": "eu-de", "addressing": "path"}


def resource(recording: Recording, kind: str) -> Recorded:
    return recording.one(f"pulumi-python:dynamic/obs:{kind}")


def inputs(recording: Recording, kind: str) -> dict[str, Any]:
    return {name: it for name, it in resource(recording, kind).inputs.items() if name != "__provider"}


# -- buckets


def made(*, preview: bool = False, **more: Any) -> Recording:
    args: Any = BUCKET | more
    return run(lambda: obs.Bucket("data", args), preview=preview)


def test_a_bucket_is_one_resource_under_its_component() -> None:
    recording = made()
    component = recording.one("lightly-infra:obs:Bucket")
    assert [it.type for it in recording.custom] == ["pulumi-python:dynamic/obs:Bucket"]
    assert resource(recording, "Bucket").parent == component.urn
    assert inputs(recording, "Bucket") == {
        **SERVER,
        "stem": "data",
        "lifecycle": policy.to_json(policy.lifecycle()),
        "tags": made_by("data").tags,
    }
    assert recording.outputs_of(component) == {"bucket": "data-0a1b2c3"}


def test_name_region_and_addressing_are_passed_on_even_when_known_only_later() -> None:
    later = pulumi.Output.from_input
    recording = run(
        lambda: obs.Bucket(
            "data",
            {"endpoint": later(ENDPOINT), "region": later("eu-nl"), "bucket": later("acme"), "addressing": "virtual"},
        )
    )
    found = inputs(recording, "Bucket")
    assert (found["endpoint"], found["region"], found["bucket"], found["addressing"]) == (
        ENDPOINT,
        "eu-nl",
        "acme",
        "virtual",
    )


def test_what_shall_expire_changes_the_lifecycle_and_nothing_else() -> None:
    found = inputs(made(expiries=[Expiry("raw", 30)]), "Bucket")
    assert json.loads(found["lifecycle"]) == policy.lifecycle([Expiry("raw/", 30)])
    assert {**found, "lifecycle": ""} == {**inputs(made(), "Bucket"), "lifecycle": ""}


@pytest.mark.parametrize(
    ("expiries", "said"),
    [
        ([Expiry("raw/", 29)], "^data: expiries: 'raw/': 29 days are too short"),
        ([Expiry("raw/", 30), Expiry("raw/new/", 60)], "^data: expiries: what lies under 'raw/new/' would go after"),
        ([Expiry("a:b/", 30)], "^data: expiries: 'a:b/' holds ':', for which OBS takes no rule"),
    ],
)
def test_expiries_that_do_not_work_are_refused(expiries: list[Expiry], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(expiries=expiries)


def test_the_bucket_stays_when_it_leaves_the_program() -> None:
    assert resource(made(), "Bucket").retain_on_delete


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(made(preview=True).custom) == 1


# -- access


def accessed(**more: Any) -> Recording:
    args: Any = KEYS | more
    return run(lambda: obs.AccessKeys("access", args))


def test_keys_are_taken_as_they_are_and_nothing_is_made() -> None:
    recording = accessed()
    assert recording.custom == []
    assert recording.outputs_of(recording.one("lightly-infra:obs:AccessKeys")) == {
        "access_key_id": "AKOBS",
        "user": USER,
        "secret_access_key": Secret("canary-secret"),
    }


def test_a_whole_domain_is_no_user() -> None:
    with pytest.raises(ValueError, match="and no pattern"):
        accessed(user="arn:aws:iam::abc:user/*")


# -- datasources


def joined(*, preview: bool = False, keys: obs.AccessKeysArgs = KEYS, ours: Any = None, **more: Any) -> Recording:
    """A datasource: on a bucket of yours, or on one that is made as `ours` says."""

    def program() -> None:
        bucket = "acme-raw" if ours is None else obs.Bucket("ours", BUCKET | ours)
        args: Any = {
            "purpose": Purpose.INPUT,
            "bucket": bucket,
            "prefix": "street-scenes/",
            "endpoint": ENDPOINT,
            "access": obs.AccessKeys("access", keys),
        }
        source = obs.OBSDatasource("raw", args | more)
        pulumi.export("config", dict(source.config))
        pulumi.export("identity", dict(source.identity))
        pulumi.export("secrets", dict(source.secrets))
        pulumi.export("path", source.path)
        pulumi.export("granted", source.granted)
        assert source.verifiable
        assert source.purpose == (args | more)["purpose"]

    return run(program, preview=preview)


def test_nothing_is_written_on_a_bucket_of_yours() -> None:
    assert joined().custom == []


def test_what_the_user_needs_on_a_bucket_of_yours_is_told() -> None:
    wanted = policy.grant(purpose=Purpose.INPUT, bucket="acme-raw", prefix="street-scenes/", user=USER, sid=SID)
    assert json.loads(joined().stack_outputs["granted"]) == wanted
    nobody: obs.AccessKeysArgs = {"access_key_id": "AKOBS", "secret_access_key": "canary-secret"}
    assert "Principal" not in joined(keys=nobody).stack_outputs["granted"]


def test_a_bucket_of_yours_may_be_known_only_later() -> None:
    def program() -> None:
        bucket = pulumi.Output.from_input("acme-raw")
        access = obs.AccessKeys("access", KEYS)
        args: obs.OBSDatasourceArgs = {
            "purpose": Purpose.INPUT,
            "bucket": bucket,
            "prefix": "",
            "endpoint": ENDPOINT,
            "access": access,
        }
        pulumi.export("path", obs.OBSDatasource("raw", args).path)

    assert run(program).stack_outputs["path"] == "obs://acme-raw/"


@pytest.mark.parametrize("purpose", Purpose)
def test_the_user_is_granted_the_prefix_of_a_bucket_of_ours_and_nothing_else(purpose: Purpose) -> None:
    recording = joined(ours={}, purpose=purpose)
    grant = resource(recording, "Grant")
    assert grant.parent == recording.one("lightly-infra:obs:OBSDatasource").urn
    found = inputs(recording, "Grant")
    assert json.loads(found.pop("statements")) == policy.grant(
        purpose=purpose, bucket="ours-0a1b2c3", prefix="street-scenes/", user=USER, sid=SID
    )
    assert found == {**SERVER, "bucket": "ours-0a1b2c3"}
    assert resource(recording, "Bucket").urn in recording.waits_for(grant)


def test_the_directory_is_made_in_a_bucket_of_ours_and_stays_with_it() -> None:
    recording = joined(ours={})
    assert inputs(recording, "Marker") == {**SERVER, "bucket": "ours-0a1b2c3", "key": "street-scenes/"}
    assert resource(recording, "Marker").deleted_with == resource(recording, "Bucket").urn


def test_a_grant_is_taken_back_even_where_the_bucket_stays() -> None:
    grant = resource(joined(ours={}), "Grant")
    assert (grant.deleted_with, grant.retain_on_delete) == ("", False)


def test_a_whole_bucket_needs_no_marker() -> None:
    assert not joined(ours={}, prefix="").of("Marker")


def test_lightly_is_told_path_endpoint_and_keys_with_the_secret_marked() -> None:
    outputs = joined(prefix="street-scenes").stack_outputs
    assert outputs["config"] == {
        "type": "OBS",
        "full_path": "obs://acme-raw/street-scenes/",
        "obs_endpoint": ENDPOINT,
        "obs_access_key_id": "AKOBS",
        "obs_secret_access_key": Secret("canary-secret"),
    }
    assert outputs["path"] == "obs://acme-raw/street-scenes/"
    assert outputs["identity"] == {"access_key_id": "AKOBS", "user": USER}
    assert outputs["secrets"] == {"secret_access_key": Secret("canary-secret")}


def test_the_secret_is_in_the_open_nowhere() -> None:
    recording = joined(ours={})
    for it in recording.resources:
        assert "canary" not in in_the_open(it.inputs)
    for outputs in recording.outputs.values():
        assert "canary" not in in_the_open(outputs)


def test_a_preview_of_a_bucket_of_ours_needs_nothing_to_be_known() -> None:
    assert len(joined(ours={}, preview=True).custom) == 3


@pytest.mark.parametrize("ours", [None, {}])
def test_an_endpoint_in_clear_is_warned_of_once(ours: Any) -> None:
    (said,) = joined(ours=ours, endpoint="HTTP://storage.example").warnings
    assert said == (
        "raw: endpoint: data and signatures travel in clear to 'HTTP://storage.example': write https:// if the cloud "
        "answers there"
    )
    assert joined(ours=ours).warnings == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"prefix": "*"}, "which a policy would read as a pattern"),
        ({"bucket": "Acme"}, "is no OBS bucket name"),
        ({"endpoint": "obs.example"}, "must start with http"),
        ({"endpoint": "https://acme-raw.obs.example"}, "has a bucket in front"),
    ],
)
def test_bad_input_is_refused_here_too(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        joined(**more)


def test_a_bucket_of_ours_needs_the_user_to_let_in() -> None:
    nobody: obs.AccessKeysArgs = {"access_key_id": "AKOBS", "secret_access_key": "canary-secret"}
    with pytest.raises(ValueError, match="raw: the access needs its 'user'"):
        joined(ours={}, keys=nobody)


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
def test_nothing_may_expire_where_lightly_writes(purpose: Purpose) -> None:
    with pytest.raises(
        ValueError, match=r"^raw: the bucket deletes what lies under 'street-scenes/' after 30 days, and"
    ):
        joined(ours={"expiries": [Expiry("street-scenes/", 30)]}, purpose=purpose)
    assert joined(ours={"expiries": [Expiry("elsewhere/", 30)]}, purpose=purpose).of("Grant")


def test_what_lightly_only_reads_may_expire() -> None:
    assert joined(ours={"expiries": [Expiry("street-scenes/", 30)]}).of("Grant")

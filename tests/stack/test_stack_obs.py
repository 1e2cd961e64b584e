"""From the YAML to components on OBS."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from lightly_infra import stack
from lightly_infra.clouds.obs import policy
from lightly_infra.permissions import Purpose
from tests.pulumi_mocks import Recorded, Recording, in_the_open, run

ENDPOINT = "https://obs.eu-de.otc.t-systems.com"
USER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"
OTHER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/00000000000000000000000000000000"
SECRET = "canary-secret"
BROUGHT = {"bucket": "acme-raw", "prefix": "raw/", "access_key_id": "AKOBS", "secret_access_key": SECRET}
MADE = BROUGHT | {"bucket": "acme-lightly", "prefix": "lightly/", "create": True, "user": USER}
CONFIG = {"obs:endpoint": ENDPOINT, "obs:region": "eu-nl"}


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "token")


def deployed(
    *,
    source: dict[str, Any] = BROUGHT,
    target: dict[str, Any] = MADE,
    preview: bool = False,
    previous: Any = None,
    **more: Any,
) -> Recording:
    """A stack of one dataset `street-scenes` and those in `more`."""
    datasets = {"street-scenes": {"input": {"obs": source}, "lightly": {"obs": target}}, **more}
    key = "lightly-infra:datasets"
    config = CONFIG | {key: json.dumps(datasets)}
    return run(stack.main, preview=preview, config=config, secret_keys=[key], previous=previous)


def obs(recording: Recording, kind: str) -> list[Recorded]:
    return recording.of(f"pulumi-python:dynamic/obs:{kind}")


def test_a_brought_input_and_a_made_lightly_bucket() -> None:
    recording = deployed()
    (bucket,), (grant,), (marker,) = (obs(recording, kind) for kind in ("Bucket", "Grant", "Marker"))
    assert (bucket.name, grant.name, marker.name) == (
        "acme-lightly-bucket",
        "lightly-street-scenes-lightly",
        "lightly-street-scenes-lightly",
    )
    assert {name: bucket.inputs[name] for name in ("endpoint", "region", "bucket", "addressing")} == {
        "endpoint": ENDPOINT,
        "region": "eu-de",
        "bucket": "acme-lightly",
        "addressing": "path",
    }
    assert json.loads(grant.inputs["statements"]) == policy.grant(
        purpose=Purpose.LIGHTLY,
        bucket="acme-lightly",
        prefix="lightly/",
        user=USER,
        sid=policy.sid_of("lightly-street-scenes-lightly", USER),
    )
    told = {it.inputs["purpose"]: it.inputs for it in recording.of("lightly:Datasource")}
    assert told["INPUT"]["full_path"] == "obs://acme-raw/raw/"
    assert told["LIGHTLY"]["full_path"] == "obs://acme-lightly/lightly/"
    assert {it["obs_endpoint"] for it in told.values()} == {ENDPOINT}


def test_nothing_is_made_before_lightly_knows_the_dataset() -> None:
    recording = deployed()
    registration = recording.one("lightly:Dataset")
    for it in recording.of("dynamic/obs:"):
        assert registration.urn in recording.waits_for(it)


def test_verification_waits_for_what_is_granted() -> None:
    recording = deployed()
    assert obs(recording, "Grant")[0].urn in recording.waits_for(recording.one("lightly:Verification"))


def test_a_bucket_of_several_datasources_is_made_once_and_each_user_gets_its_own_prefix() -> None:
    night = {
        "input": {"obs": MADE | {"prefix": "night/", "create": False}},
        "lightly": {"obs": MADE | {"prefix": "night-lightly/", "access_key_id": "AKOTHER", "user": OTHER}},
    }
    recording = deployed(night=night)
    assert len(obs(recording, "Bucket")) == 1
    grants = {it.name: json.loads(it.inputs["statements"]) for it in obs(recording, "Grant")}
    assert set(grants) == {"lightly-street-scenes-lightly", "lightly-night-input", "lightly-night-lightly"}
    users = {name: it[0]["Principal"]["AWS"] for name, it in grants.items()}
    assert users["lightly-night-input"] == [USER]
    assert users["lightly-night-lightly"] == [OTHER]
    sids = [statement["Sid"] for it in grants.values() for statement in it]
    assert len(set(sids)) == len(sids)


def test_a_bucket_of_the_same_name_on_another_cloud_is_another() -> None:
    there = BROUGHT | {"bucket": "acme-lightly", "prefix": "raw/", "endpoint": "https://storage.example"}
    recording = deployed(source=there | {"access_key_id": "AKTHERE"})
    # It is yours, and nothing is written on it.
    assert [it.name for it in obs(recording, "Grant")] == ["lightly-street-scenes-lightly"]
    assert [it.inputs["endpoint"] for it in obs(recording, "Bucket")] == [ENDPOINT]


def test_generated_names_are_the_datasources_own() -> None:
    unnamed = {name: it for name, it in MADE.items() if name != "bucket"}
    recording = deployed(source=unnamed | {"prefix": "raw/"}, target=unnamed)
    assert [it.name for it in obs(recording, "Bucket")] == [
        "lightly-street-scenes-input",
        "lightly-street-scenes-lightly",
    ]


def test_the_secret_is_in_the_open_nowhere() -> None:
    recording = deployed()
    for it in recording.resources:
        assert "canary" not in in_the_open(it.inputs)
    for outputs in recording.outputs.values():
        assert "canary" not in in_the_open(outputs)
    (grant,) = obs(recording, "Grant")
    assert "canary" not in str(grant.inputs)


def test_a_secret_that_stands_in_clear_is_refused() -> None:
    datasets = {"street-scenes": {"input": {"obs": BROUGHT}, "lightly": {"obs": MADE}}}
    with pytest.raises(pulumi.RunError, match="secret_access_key: stands in clear; set it with") as error:
        run(stack.main, config=CONFIG | {"lightly-infra:datasets": json.dumps(datasets)})
    assert "canary" not in str(error.value)


def test_a_preview_needs_no_keys() -> None:
    assert obs(deployed(preview=True), "Bucket")


GRANT = "pulumi-python:dynamic/obs:Grant"


@pytest.mark.parametrize(
    ("name", "bucket", "endpoint", "granted"),
    [
        ("lightly-street-scenes-lightly", "acme-lightly", ENDPOINT, True),
        ("lightly-street-scenes-lightly", "acme-other", ENDPOINT, False),
        ("lightly-street-scenes-lightly", "acme-lightly", "https://obs.eu-de.example.com", False),
        ("lightly-other-lightly", "acme-lightly", ENDPOINT, False),
    ],
    ids=["this one", "another bucket", "another cloud", "another dataset's"],
)
def test_what_the_policy_of_a_bucket_grants_stays_when_the_bucket_leaves_the_stack(
    name: str, bucket: str, endpoint: str, *, granted: bool
) -> None:
    urns = {it: f"urn:pulumi:test::lightly-infra::{it}::{name}" for it in (GRANT, "pulumi:pulumi:Stack")}
    before = {
        urns["pulumi:pulumi:Stack"]: {"type": "pulumi:pulumi:Stack", "outputs": {"datasets": {}}},
        urns[GRANT]: {"type": GRANT, "outputs": {"bucket": bucket, "endpoint": endpoint}},
    }
    made = deployed()
    kept = deployed(target={**MADE, "create": False}, previous=before)

    assert obs(kept, "Bucket") == obs(kept, "Marker") == []
    assert [it.inputs for it in obs(kept, "Grant")] == ([it.inputs for it in obs(made, "Grant")] if granted else [])
    assert [it.urn for it in obs(kept, "Grant")] == ([it.urn for it in obs(made, "Grant")] if granted else [])
    if granted:
        assert obs(kept, "Grant")[0].urn in kept.waits_for(kept.one("lightly:Verification"))


def test_what_was_there_before_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    monkeypatch.setattr("lightly_infra.stack.previous.read", lambda: asked.append(None))
    deployed()
    assert len(asked) == 1

"""From `retention_days` in the YAML to the rules of the buckets that are made on S3 and OBS."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from lightly_infra import stack
from lightly_infra.clouds.obs import policy as obs
from lightly_infra.retention import Expiry
from tests.pulumi_mocks import Recording, run

USER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"
CONFIG = {"aws:region": "eu-central-1", "obs:endpoint": "https://obs.eu-de.otc.t-systems.com", "obs:region": "eu-de"}
MADE: dict[str, dict[str, Any]] = {
    "s3": {"create": True, "access": "delegated"},
    "obs": {"create": True, "access_key_id": "AKOBS", "secret_access_key": "canary-secret", "user": USER},
}


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "token")


@pytest.fixture(params=MADE)
def cloud(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def dataset(cloud: str, bucket: str | None = None, prefix: str = "raw/", **of_the_input: Any) -> dict[str, Any]:
    named = {} if bucket is None else {"bucket": bucket}
    return {
        "input": {cloud: {**MADE[cloud], **named, "prefix": prefix, **of_the_input}},
        "lightly": {cloud: {**MADE[cloud], **named, "prefix": f"lightly/{prefix}"}},
    }


def up(datasets: dict[str, Any]) -> Recording:
    key = stack.DATASETS_KEY
    return run(stack.main, config=CONFIG | {key: json.dumps(datasets)}, secret_keys=[key])


def expiring(recording: Recording) -> dict[str, list[tuple[str, float]]]:
    """What expires, by the name of the bucket's resource."""
    s3 = {
        it.name: [
            (rule["filter"]["prefix"], rule["expiration"]["days"])
            for rule in it.inputs["rules"]
            if "expiration" in rule
        ]
        for it in recording.of("BucketLifecycleConfiguration")
    }
    on_obs = {
        it.name: [(rule.prefix, rule.days or 0) for rule in obs.rules({"Rules": json.loads(it.inputs["lifecycle"])})]
        for it in recording.of("dynamic/obs:Bucket")
    }
    return s3 | on_obs


def test_a_bucket_of_an_input_alone_expires_what_that_says(cloud: str) -> None:
    recording = up({"street-scenes": dataset(cloud, retention_days=45)})
    assert expiring(recording) == {
        "lightly-street-scenes-input": [("raw/", 45)],
        "lightly-street-scenes-lightly": [],
    }


def test_without_a_retention_nothing_expires(cloud: str) -> None:
    assert list(expiring(up({"street-scenes": dataset(cloud, bucket="acme")})).values()) == [[]]


def test_a_bucket_of_several_inputs_expires_what_each_says(cloud: str) -> None:
    datasets = {
        "street-scenes": dataset(cloud, "acme", "streets/", retention_days=30),
        "night-drives": dataset(cloud, "acme", "nights/", retention_days=60),
        "kept": dataset(cloud, "acme", "kept/"),
        "elsewhere": dataset(cloud, "acme-2", "streets/", retention_days=90),
    }
    assert expiring(up(datasets)) == {
        "acme-bucket": [("nights/", 60), ("streets/", 30)],
        "acme-2-bucket": [("streets/", 90)],
    }


def test_the_order_of_the_datasets_changes_nothing(cloud: str) -> None:
    datasets = {
        "street-scenes": dataset(cloud, "acme", "streets/", retention_days=30),
        "night-drives": dataset(cloud, "acme", "nights/", retention_days=60),
    }
    assert expiring(up(datasets)) == expiring(up(dict(reversed(datasets.items()))))


def test_two_inputs_of_one_directory_have_one_rule(cloud: str) -> None:
    first = dataset(cloud, "acme", retention_days=30)
    second = copy.deepcopy(first)
    second["lightly"][cloud]["prefix"] = "lightly/second/"
    assert expiring(up({"first": first, "second": second})) == {"acme-bucket": [("raw/", 30)]}


def test_an_input_in_a_bucket_that_another_makes_counts_too(cloud: str) -> None:
    brought = dataset(cloud, "acme", "streets/")
    del brought["input"][cloud]["create"]
    night = dataset(cloud, "acme", "nights/", retention_days=60)
    assert expiring(up({"streets": brought, "nights": night})) == {"acme-bucket": [("nights/", 60)]}


def test_the_names_of_buckets_of_two_clouds_do_not_mix() -> None:
    datasets = {f"on-{it}": dataset(it, "acme", f"{it}/", retention_days=30) for it in MADE}
    recording = up(datasets)
    (s3,) = recording.of("BucketLifecycleConfiguration")
    assert [it["filter"]["prefix"] for it in s3.inputs["rules"]] == ["", "s3/"]
    (on_obs,) = recording.of("dynamic/obs:Bucket")
    assert json.loads(on_obs.inputs["lifecycle"]) == obs.lifecycle([Expiry("obs/", 30)])

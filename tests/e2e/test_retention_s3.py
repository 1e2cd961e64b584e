"""End to end: what expires in an Input bucket that is made on S3 or OBS, and how it changes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import retention
from lightly_infra.clouds.aws import lifecycle as s3
from lightly_infra.clouds.aws import policy as s3_policy
from lightly_infra.clouds.aws.connection import Settings
from lightly_infra.clouds.obs import policy as obs_policy
from lightly_infra.retention import Expiry
from lightly_infra.sandbox.environment import EngineName, Sandbox
from tests.e2e.clouds import CLOUDS, Cloud
from tests.e2e.runs import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3 import S3Client

    from lightly_infra.sandbox.engine.interface import Program

    Make = Callable[..., Program]

NAME = "lightly-street-scenes-input"


@pytest.fixture(params=["s3", "obs"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture
def sandbox(engine: EngineName, cloud: Cloud) -> Iterator[Sandbox]:
    with Sandbox(engine=engine, clouds=[cloud.key]) as running:
        yield running


@pytest.fixture
def datasets(cloud: Cloud) -> dict[str, Any]:
    """A dataset whose Input and Lightly buckets are both made, and whose inputs expire."""
    made = copy.deepcopy(dict(cloud.made))
    wanted = {
        "type": "Images",
        "verify_deadline": 5,
        "input": {cloud.key: {**made, "prefix": "raw/", "retention_days": 30}},
        "lightly": {cloud.key: made},
    }
    return {"street-scenes": wanted}


def client_of(sandbox: Sandbox, cloud: Cloud) -> S3Client:
    return sandbox.aws.client("s3") if cloud.key == "s3" else sandbox.obs.client()


def rules(sandbox: Sandbox, cloud: Cloud, purpose: str) -> list[Any]:
    """The rules of a bucket that was made, as the cloud gives them."""
    (dataset,) = sandbox.lightly.datasets.values()
    bucket = dataset.datasources[purpose]["fullPath"].split("/")[2]
    found: Any = client_of(sandbox, cloud).get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return [{**it, "Filter": it.get("Filter") or {"Prefix": it.pop("Prefix")}} for it in found]


def written(cloud: Cloud, *expiries: Expiry) -> list[Any]:
    """The rules that are to be there, in the same form."""
    if cloud.key == "s3":
        return s3_policy.lifecycle(expiries)
    return [{"Filter": {"Prefix": it.pop("Prefix")}, **it} for it in obs_policy.lifecycle(expiries)]


def test_inputs_expire_under_their_prefix_for_as_long_as_the_yaml_says(
    sandbox: Sandbox, program: Make, datasets: dict[str, Any], cloud: Cloud
) -> None:
    result = sandbox.up(program(datasets))

    assert sandbox.report(result).ok
    assert rules(sandbox, cloud, "INPUT") == written(cloud, Expiry("raw/", 30))
    assert rules(sandbox, cloud, "LIGHTLY") == written(cloud), "nothing ever expires where Lightly writes"

    assert changed(sandbox.up(program(datasets))) == set()
    assert changed(sandbox.refresh(program(datasets))) == set()

    # Only the rules change, and in place.
    in_place = {("update", "BucketLifecycleConfiguration" if cloud.key == "s3" else "Bucket", NAME)}
    datasets["street-scenes"]["input"][cloud.key]["retention_days"] = 90
    assert changed(sandbox.up(program(datasets))) == in_place
    assert rules(sandbox, cloud, "INPUT") == written(cloud, Expiry("raw/", 90))

    del datasets["street-scenes"]["input"][cloud.key]["retention_days"]
    assert changed(sandbox.up(program(datasets))) == in_place
    assert rules(sandbox, cloud, "INPUT") == written(cloud)
    assert changed(sandbox.up(program(datasets))) == set()


def test_one_bucket_for_both_keeps_what_lightly_writes(
    sandbox: Sandbox, program: Make, datasets: dict[str, Any], cloud: Cloud
) -> None:
    for each in ("input", "lightly"):
        datasets["street-scenes"][each][cloud.key]["bucket"] = "acme-both"

    result = sandbox.up(program(datasets))

    assert sandbox.report(result).ok
    assert rules(sandbox, cloud, "LIGHTLY") == written(cloud, Expiry("raw/", 30))
    assert not [it for it in s3_policy.rules({"Rules": rules(sandbox, cloud, "LIGHTLY")}) if it.concerns("lightly/")]


def test_a_directory_that_expired_is_made_again(
    sandbox: Sandbox, program: Make, datasets: dict[str, Any], cloud: Cloud
) -> None:
    datasets["street-scenes"]["input"][cloud.key]["bucket"] = "acme-inputs"
    sandbox.up(program(datasets))
    client = client_of(sandbox, cloud)
    client.delete_object(Bucket="acme-inputs", Key="raw/")  # as the rule does in the end

    sandbox.refresh(program(datasets))

    marker = "BucketObjectv2" if cloud.key == "s3" else "Marker"
    assert changed(sandbox.up(program(datasets))) == {("create", marker, NAME)}
    assert [it["Key"] for it in client.list_objects_v2(Bucket="acme-inputs")["Contents"]] == ["raw/"]


@pytest.mark.parametrize("cloud", [CLOUDS["s3"]], ids=["s3"])
def test_what_was_made_reads_as_the_user_would_read_it(
    sandbox: Sandbox, program: Make, datasets: dict[str, Any], cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets["street-scenes"]["input"][cloud.key]["bucket"] = "acme-inputs"
    sandbox.up(program(datasets))
    sandbox.aws.client("s3").put_object(Bucket="acme-inputs", Key="raw/a.png", Body=b"")
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)

    found = s3.read("acme-inputs", "eu-central-1", Settings())
    (page,) = s3.pages("acme-inputs", "eu-central-1", "raw/", Settings())
    (only,) = page.objects

    assert [(it.prefix, it.days) for it in found] == [("raw/", 30)]
    assert retention.shortest(found, "raw/", only.modified) == 30
    assert only.key == "raw/a.png"

"""End to end: what expires in an Input that is made on Azure or Google Cloud, and what is said of one's own rules."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.environment import EngineName, Sandbox
from tests.e2e.clouds import CLOUDS, Cloud
from tests.e2e.runs import attempt, changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.engine.interface import Program

    Make = Callable[..., Program]

Datasets = dict[str, Any]

NAME = "lightly-street-scenes-input"
DAYS = "daysAfterModificationGreaterThan"


@pytest.fixture(params=["azure", "gcs"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture
def logged() -> list[tuple[str, str]]:
    """What the program logs: severity and message."""
    return []


@pytest.fixture
def sandbox(engine: EngineName, cloud: Cloud, logged: list[tuple[str, str]]) -> Iterator[Sandbox]:
    def note(severity: str, message: str) -> None:
        logged.append((severity, message))

    with Sandbox(engine=engine, clouds=[cloud.key], on_log=note) as running:
        yield running


@pytest.fixture
def datasets(cloud: Cloud) -> Datasets:
    """A dataset whose Input and Lightly storage are both made, each with a generated name, and whose inputs expire."""
    made = copy.deepcopy(dict(cloud.made))
    expiring = {**made, "prefix": "raw/", "retention_days": 30}
    if cloud.key == "azure":
        del expiring["container"]
        expiring["container_wide"] = True
    wanted = {
        "type": "Images",
        "verify_deadline": 5,
        "input": {cloud.key: expiring},
        "lightly": {cloud.key: made},
    }
    return {"street-scenes": wanted}


@pytest.fixture
def brought(cloud: Cloud) -> Datasets:
    """A dataset whose Input lies in storage of the user's own, and Lightly's beside it."""
    own = copy.deepcopy(dict(cloud.brought))
    wanted = {
        "type": "Images",
        "verify_deadline": 5,
        "input": {cloud.key: own},
        "lightly": {
            cloud.key: own | ({"container": "lightly"} if cloud.key == "azure" else {}) | {"prefix": "lightly/"}
        },
    }
    return {"street-scenes": wanted}


def place(sandbox: Sandbox, purpose: str) -> tuple[str, str]:
    """Where Lightly finds a datasource: account and container on Azure, nothing and the bucket on Google Cloud."""
    (dataset,) = sandbox.lightly.datasets.values()
    source = dataset.datasources[purpose]
    return source.get("accountName", ""), source["fullPath"].removeprefix("gs://").split("/")[0]


def expiries(sandbox: Sandbox, cloud: Cloud, purpose: str) -> list[tuple[str, int]]:
    """What the cloud itself has in force on a datasource's storage: what names begin with, and days."""
    account, bucket = place(sandbox, purpose)
    if cloud.key == "gcs":
        found = [dict(it) for it in sandbox.gcp.client().get_bucket(bucket).lifecycle_rules]
        deleting = [it["condition"] for it in found if it["action"] == {"type": "Delete"}]
        assert all(it["isLive"] is True for it in deleting)
        return [(prefix, it["age"]) for it in deleting for prefix in it["matchesPrefix"]]
    rules = [it["definition"] for it in sandbox.azure.lifecycle(account) if it["enabled"]]
    return [
        (prefix.removeprefix(f"{bucket}/"), it["actions"]["baseBlob"]["delete"][DAYS])
        for it in rules
        for prefix in it["filters"]["prefixMatch"]
    ]


def delete_marker(sandbox: Sandbox, cloud: Cloud) -> None:
    """As the rule does in the end."""
    account, bucket = place(sandbox, "INPUT")
    if cloud.key == "gcs":
        sandbox.gcp.client().bucket(bucket).blob("raw/").delete()
        return
    with sandbox.azure.container_client(account, bucket) as client:
        client.delete_blob("raw/.keep")


def set_rule(sandbox: Sandbox, cloud: Cloud, prefix: str, days: int) -> None:
    """A rule of the user's own, on their own storage."""
    if cloud.key == "gcs":
        bucket = sandbox.gcp.client().get_bucket("acme-raw")
        bucket.add_lifecycle_delete_rule(age=days, matches_prefix=[prefix])
        bucket.patch()
        return
    definition = {
        "filters": {"blobTypes": ["blockBlob"], "prefixMatch": [f"raw/{prefix}", f"lightly/{prefix}"]},
        "actions": {"baseBlob": {"delete": {DAYS: days}}},
    }
    sandbox.azure.set_lifecycle("acmedata", [{"name": "tidy", "type": "Lifecycle", "definition": definition}])


def test_inputs_expire_under_their_prefix_for_as_long_as_the_yaml_says(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    result = attempt(sandbox, program(datasets))

    assert sandbox.report(result).ok
    assert expiries(sandbox, cloud, "INPUT") == [("raw/", 30)]
    assert expiries(sandbox, cloud, "LIGHTLY") == [], "nothing ever expires where Lightly writes"

    assert changed(sandbox.up(program(datasets))) == set()
    assert changed(sandbox.refresh(program(datasets))) == set()

    # Only the rules change, and in place.
    kind = "ManagementPolicy" if cloud.key == "azure" else "Bucket"
    datasets["street-scenes"]["input"][cloud.key]["retention_days"] = 90
    assert changed(sandbox.up(program(datasets))) == {("update", kind, NAME)}
    assert expiries(sandbox, cloud, "INPUT") == [("raw/", 90)]

    del datasets["street-scenes"]["input"][cloud.key]["retention_days"]
    gone = ("delete", kind, NAME) if cloud.key == "azure" else ("update", kind, NAME)
    assert changed(sandbox.up(program(datasets))) == {gone}
    assert expiries(sandbox, cloud, "INPUT") == []
    assert changed(sandbox.up(program(datasets))) == set()

    # And it comes back to what is there.
    datasets["street-scenes"]["input"][cloud.key]["retention_days"] = 45
    back = ("create", kind, NAME) if cloud.key == "azure" else ("update", kind, NAME)
    assert changed(sandbox.up(program(datasets))) == {back}
    assert expiries(sandbox, cloud, "INPUT") == [("raw/", 45)]


def test_one_place_for_both_keeps_what_lightly_writes(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    named = {"bucket": "acme-both"} if cloud.key == "gcs" else {"account": "acmeboth", "resource_group": "acme-rg"}
    for each in ("input", "lightly"):
        datasets["street-scenes"][each][cloud.key] |= named

    result = attempt(sandbox, program(datasets))

    assert sandbox.report(result).ok
    # On Azure both containers lie in the account, whose one policy names the Input's.
    (prefix, days), *others = expiries(sandbox, cloud, "LIGHTLY")
    assert (prefix, days, others) == ("raw/" if cloud.key == "gcs" else f"{NAME}/raw/", 30, [])


def test_what_guards_and_expires_stays_with_what_is_kept(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    attempt(sandbox, program(datasets))

    result = sandbox.destroy(program(datasets))

    assert not result.failures
    assert expiries(sandbox, cloud, "INPUT") == [("raw/", 30)]


def test_a_directory_that_expired_is_made_again(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    attempt(sandbox, program(datasets))
    delete_marker(sandbox, cloud)

    sandbox.refresh(program(datasets))

    kind = "Blob" if cloud.key == "azure" else "BucketObject"
    assert changed(sandbox.up(program(datasets))) == {("create", kind, NAME)}


@pytest.mark.parametrize("strict", [False, True])
def test_a_rule_of_ones_own_that_deletes_too_early_is_warned_of_or_stops(
    sandbox: Sandbox, program: Make, brought: Datasets, cloud: Cloud, logged: list[tuple[str, str]], *, strict: bool
) -> None:
    attempt(sandbox, program(brought))
    assert [it for it in logged if it[0] == "warning"] == []
    set_rule(sandbox, cloud, "raw/", 20)
    brought["street-scenes"]["strict_retention"] = strict

    preview, result = sandbox.preview(program(brought)), sandbox.up(program(brought))

    name = "'tidy'" if cloud.key == "azure" else "'number 1'"
    said = (
        f"street-scenes.input.{cloud.key}: lifecycle rule {name} deletes the objects under 'raw/' after 20 days: "
        "inputs have to persist for 30 days at least"
    )
    if strict:
        assert said in str(preview.failures)
        assert said in str(result.failures)
    else:
        assert changed(result) == set()
        assert len([it for severity, it in logged if severity == "warning" and said in it]) == 2, "preview and up"


@pytest.mark.parametrize(
    ("prefix", "days", "warned"), [("raw/", 30, False), ("other/", 1, False), ("light", 365, True)]
)
def test_inputs_may_go_after_a_month_and_what_lightly_writes_never(
    sandbox: Sandbox,
    program: Make,
    brought: Datasets,
    cloud: Cloud,
    logged: list[tuple[str, str]],
    prefix: str,
    days: int,
    *,
    warned: bool,
) -> None:
    attempt(sandbox, program(brought))
    set_rule(sandbox, cloud, prefix, days)

    assert changed(sandbox.up(program(brought))) == set()

    warnings = [it for severity, it in logged if severity == "warning"]
    assert [it.startswith(f"street-scenes.lightly.{cloud.key}: lifecycle rule") for it in warnings] == [True] * warned

"""Lifecycle rules of emulated GCS buckets: what is refused of them, and how the provider tells them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds.gcp import policy
from lightly_infra.retention import Rule
from lightly_infra.sandbox.gcp.clients import exceptions
from lightly_infra.sandbox.gcp.cloud import GcpCloud
from lightly_infra.sandbox.gcp.provider import GcpProvider
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_gcp import PROJECT, new_bucket
from tests.sandbox.emulated_provider import Driver, Refused, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET, GET_BUCKET = "gcp:storage/bucket:Bucket", "gcp:storage/getBucket:getBucket"


@pytest.fixture(scope="module")
def cloud() -> Iterator[GcpCloud]:
    with GcpCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def driver(cloud: GcpCloud) -> Driver:
    driver = Driver(GcpProvider(cloud.environment()))
    driver.configure({"project": PROJECT})
    return driver


def rule(kind: str = "Delete", storage_class: str | None = None, **condition: Any) -> dict[str, Any]:
    return {
        "action": {"type": kind} | ({"storageClass": storage_class} if storage_class else {}),
        "condition": condition,
    }


def put(cloud: GcpCloud, *rules: Any) -> Any:
    """A bucket with the rules, through the official client."""
    bucket = cloud.client().bucket(new_bucket(cloud))
    bucket.lifecycle_rules = list(rules)
    bucket.patch()
    return bucket


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([rule(age=it) for it in range(101)], "at most 100 lifecycle rules"),
        ([rule()], "Lifecycle rule 1: it must have an action and at least one condition"),
        ([{"condition": {"age": 1}}], "it must have an action"),
        ([rule(age=1), rule("Archive", age=1)], "Lifecycle rule 2: there is no action 'Archive'"),
        ([rule("SetStorageClass", age=1)], "a storageClass goes with SetStorageClass only, and always"),
        ([rule("Delete", "NEARLINE", age=1)], "a storageClass goes with SetStorageClass only, and always"),
        ([rule("AbortIncompleteMultipartUpload", isLive=True)], "AbortIncompleteMultipartUpload knows no isLive"),
        ([rule(age=-1)], "age must be a whole number, 0 or more, and is -1"),
        ([rule(age=1.5)], "age must be a whole number, 0 or more, and is 1.5"),
        ([rule(age="30")], "age must be a whole number, 0 or more, and is '30'"),
        ([rule(age=True)], "age must be a whole number, 0 or more, and is True"),
        ([rule(createdBefore="2026-13-01")], "createdBefore must be a date such as 2026-12-31"),
        ([rule(matchesPrefix="raw/")], "matchesPrefix must be a list"),
        ([rule(matchesPrefix=[""])], "matchesPrefix must be a list of texts that are not empty"),
        ([rule(isLive="LIVE")], "isLive must be true or false"),
        ([rule(olderThan=3)], "there is no condition 'olderThan'"),
    ],
)
def test_what_cloud_storage_refuses_is_refused(cloud: GcpCloud, rules: list[Any], reason: str) -> None:
    with pytest.raises(exceptions.BadRequest, match=reason):
        put(cloud, *rules)


def test_rules_are_kept_as_they_are(cloud: GcpCloud) -> None:
    rules = [
        rule(age=0, matchesPrefix=["raw/"], matchesSuffix=[".tmp"], isLive=False),
        rule("SetStorageClass", "NEARLINE", daysSinceCustomTime=3, customTimeBefore="2026-12-31"),
        rule("AbortIncompleteMultipartUpload", age=7),
    ]
    bucket = put(cloud, *rules)
    bucket.reload()
    assert [dict(it) for it in bucket.lifecycle_rules] == rules


def made(driver: Driver, *rules: Any) -> Any:
    inputs = {"name": unique("acme"), "location": "EU", "lifecycleRules": list(rules)}
    return driver.create(BUCKET, inputs), inputs


def test_the_provider_makes_changes_and_looks_up_rules_as_we_write_them(driver: Driver) -> None:
    live = {"age": 30, "withState": "LIVE", "matchesPrefixes": ["raw/"]}
    bucket, inputs = made(driver, {"action": {"type": "Delete"}, "condition": live})
    assert not driver.drifted(bucket, inputs)
    found = driver.invoke(GET_BUCKET, {"name": inputs["name"], "project": PROJECT})["lifecycleRules"]
    assert policy.rules(found, today=date(2026, 11, 25)) == [Rule("number 1", "raw/", 30)]

    later = inputs | {"lifecycleRules": [{"action": {"type": "Delete"}, "condition": live | {"age": 60}}]}
    changes = driver.diff(bucket, later)
    assert (list(changes.diffs), list(changes.replaces)) == (["lifecycleRules"], [])
    bucket = driver.update(bucket, later)
    assert not driver.drifted(bucket, later)
    assert driver.drifted(bucket, inputs) == ["lifecycleRules"]
    found = driver.invoke(GET_BUCKET, {"name": inputs["name"]})["lifecycleRules"]
    assert policy.rules(found, today=date(2026, 11, 25)) == [Rule("number 1", "raw/", 60)]


def test_a_rule_is_looked_up_as_lists_of_one_action_and_one_condition_with_nothing_left_out(
    cloud: GcpCloud, driver: Driver
) -> None:
    bucket = put(cloud, rule(age=0), rule(isLive=False), rule(createdBefore="2026-12-31"))
    at_once, former, dated = driver.invoke(GET_BUCKET, {"name": bucket.name})["lifecycleRules"]
    assert at_once["actions"] == [{"type": "Delete", "storageClass": ""}]
    (condition,) = at_once["conditions"]
    assert (condition["age"], condition["sendAgeIfZero"], condition["withState"]) == (0, True, "ANY")
    assert (condition["createdBefore"], condition["matchesPrefixes"], condition["numNewerVersions"]) == ("", [], 0)
    assert (former["conditions"][0]["withState"], former["conditions"][0]["sendAgeIfZero"]) == ("ARCHIVED", False)
    assert dated["conditions"][0]["createdBefore"] == "2026-12-31"


def test_a_bucket_without_a_lifecycle_is_looked_up_with_no_rules(cloud: GcpCloud, driver: Driver) -> None:
    assert driver.invoke(GET_BUCKET, {"name": new_bucket(cloud)})["lifecycleRules"] == []


def test_a_bucket_that_is_not_there_is_said_in_googles_words(driver: Driver) -> None:
    with pytest.raises(ResourceError, match="404: The specified bucket does not exist"):
        driver.invoke(GET_BUCKET, {"name": "nobodys", "project": PROJECT})


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([{"action": {"type": "Delete"}, "condition": {"withState": "live"}}], "expected with_state to be one of LIVE"),
        (
            [{"action": {"type": "Delete"}, "condition": {"age": it}} for it in range(101)],
            "Too many list items: has 101",
        ),
        ([{"action": {"type": "Delete"}, "condition": {"colour": "red"}}], r"condition\.colour"),
    ],
)
def test_what_the_provider_refuses_is_refused_before_anything_is_made(
    driver: Driver, rules: list[Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        made(driver, *rules)

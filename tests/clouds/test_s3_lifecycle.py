"""Lifecycles in S3's words: what is written for a bucket that is made, and what is read from one of the user's own."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra.clouds.aws import policy as aws
from lightly_infra.clouds.obs import policy as obs
from lightly_infra.retention import Expiry, Rule, check_expiries

if TYPE_CHECKING:
    from types import ModuleType

CLOUDS = pytest.mark.parametrize("cloud", [aws, obs], ids=["aws", "obs"])
DAY = datetime(2026, 12, 24, tzinfo=UTC)

prefixes = st.lists(st.sampled_from(["raw", "raw-1", "日本", "a b"]), max_size=3).map(
    lambda parts: "".join(f"{it}/" for it in parts)
)
together = st.builds(
    lambda wanted, days: check_expiries([Expiry(it, days) for it in wanted]), st.sets(prefixes), st.integers(30, 3650)
)

# -- written


def test_on_s3_unfinished_uploads_go_in_all_of_the_bucket_and_the_rest_under_its_prefix() -> None:
    abort, expire = aws.lifecycle([Expiry("raw/", 30)])
    assert abort == {
        "ID": "abort-incomplete-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    assert expire == {
        "ID": "expire-raw-e414985f",
        "Status": "Enabled",
        "Filter": {"Prefix": "raw/"},
        "Expiration": {"Days": 30},
    }


def test_on_obs_one_rule_does_both_since_no_two_may_overlap() -> None:
    assert obs.lifecycle([Expiry("raw/", 30)]) == [
        {
            "ID": "expire-raw-e414985f",
            "Prefix": "raw/",
            "Status": "Enabled",
            "Expiration": {"Days": 30},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]


@CLOUDS
def test_without_an_expiry_nothing_ever_expires(cloud: ModuleType) -> None:
    (rule,) = cloud.lifecycle()
    assert "Expir" not in json.dumps(rule)
    assert cloud.rules({"Rules": cloud.lifecycle()}) == []


def test_the_document_of_an_obs_bucket_without_expiries_is_the_one_of_before() -> None:
    # It is in the state of users, word for word.
    assert obs.to_json(obs.lifecycle()) == (
        '[{"ID":"abort-incomplete-uploads","Prefix":"","Status":"Enabled","AbortIncompleteMultipartUpload":'
        '{"DaysAfterInitiation":7}}]'
    )


@given(together)
def test_no_two_rules_on_obs_are_about_the_same_object(expiries: list[Expiry]) -> None:
    for one, other in itertools.permutations([it["Prefix"] for it in obs.lifecycle(expiries)], 2):
        assert not one.startswith(other)


@pytest.mark.parametrize("prefix", ["a:b/", 'a"b/', "a<b/", "a>b/", "a|b/"])
def test_a_prefix_that_obs_takes_no_rule_for_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="for which OBS takes no rule: name the directory otherwise, or let nothing"):
        obs.lifecycle([Expiry(prefix, 30)])


@CLOUDS
@given(together)
def test_what_is_written_reads_as_what_was_wanted(cloud: ModuleType, expiries: list[Expiry]) -> None:
    read = cloud.rules({"Rules": cloud.lifecycle(expiries)})
    assert read == [Rule(it.rule_id, it.prefix, it.days) for it in expiries]


# -- read


def read(**rule: Any) -> list[Rule]:
    return aws.rules({"Rules": [{"ID": "any", "Status": "Enabled", "Filter": {"Prefix": "raw/"}, **rule}]})


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"Expiration": {"Days": 7}}, Rule("any", "raw/", days=7)),
        ({"Expiration": {"Date": DAY}}, Rule("any", "raw/", on=DAY)),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 3}}, Rule("any", "raw/", old_versions_days=3)),
        (
            {"Expiration": {"Days": 7}, "NoncurrentVersionExpiration": {"NoncurrentDays": 3}},
            Rule("any", "raw/", days=7, old_versions_days=3),
        ),
    ],
)
def test_what_goes_and_when(rule: dict[str, Any], found: Rule) -> None:
    assert read(**rule) == [found]


@pytest.mark.parametrize(
    ("where", "prefix", "partly"),
    [
        ({"Filter": {}}, "", False),
        ({"Filter": {"Prefix": ""}}, "", False),
        ({"Filter": {}, "Prefix": "old/"}, "old/", False),
        ({"Filter": {"Tag": {"Key": "stage", "Value": "new"}}}, "", True),
        ({"Filter": {"ObjectSizeGreaterThan": 1024}}, "", True),
        ({"Filter": {"ObjectSizeLessThan": 1024}}, "", True),
        ({"Filter": {"And": {"Prefix": "raw/", "Tags": [{"Key": "stage", "Value": "new"}]}}}, "raw/", True),
        ({"Filter": {"And": {"Prefix": "raw/", "ObjectSizeLessThan": 5}}}, "raw/", True),
        # S3 fills in the zero.
        ({"Filter": {"And": {"Prefix": "raw/", "ObjectSizeGreaterThan": 0}}}, "raw/", False),
    ],
)
def test_which_objects_it_is_about(where: dict[str, Any], prefix: str, partly: bool) -> None:
    assert read(Expiration={"Days": 7}, **where) == [Rule("any", prefix, days=7, partly=partly)]


def test_the_oldest_form_has_the_prefix_in_the_rule() -> None:
    rule = {"ID": "old", "Status": "Enabled", "Prefix": "raw/", "Expiration": {"Days": 7}}
    assert aws.rules({"Rules": [rule]}) == [Rule("old", "raw/", days=7)]


@pytest.mark.parametrize(
    "rule",
    [
        {"Status": "Disabled", "Expiration": {"Days": 1}},
        {"Expiration": {"ExpiredObjectDeleteMarker": True}},
        {"Transitions": [{"Days": 30, "StorageClass": "GLACIER"}]},
        {"NoncurrentVersionTransitions": [{"NoncurrentDays": 30, "StorageClass": "GLACIER"}]},
        {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
    ],
)
def test_what_deletes_nothing_is_left_out(rule: dict[str, Any]) -> None:
    assert read(**rule) == []


def test_a_rule_needs_no_name_and_a_document_no_rules() -> None:
    assert aws.rules({"Rules": [{"Status": "Enabled", "Expiration": {"Days": 7}}]}) == [Rule("", "", days=7)]
    assert obs.rules({}) == []

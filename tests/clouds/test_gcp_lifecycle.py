"""Lifecycles of GCS buckets: the rules of one that is made, and what is read of one of the user's own."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import epochs
from lightly_infra.clouds import gcp
from lightly_infra.clouds.gcp import lifecycle, policy
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Expiry, Rule, RulesUnreadable, check_expiries, problems, remarks
from tests import pulumi_mocks
from tests.clouds.test_gcp_access import BROUGHT
from tests.pulumi_mocks import PROJECT_ID, Recording, run

if TYPE_CHECKING:
    from collections.abc import Sequence

TODAY = date(2026, 11, 25)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
GET_BUCKET = "gcp:storage/getBucket:getBucket"
# As the provider tells a condition: what a rule does not have is there, too, and empty.
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions"), 0),
    **dict.fromkeys(("createdBefore", "customTimeBefore", "noncurrentTimeBefore"), ""),
    **{name: [] for name in ("matchesPrefixes", "matchesStorageClasses", "matchesSuffixes")},
    **dict.fromkeys(("sizeAboveBytes", "sizeBelowBytes"), 0),
    "sendAgeIfZero": False,
    "withState": "ANY",
}

prefixes = st.lists(st.sampled_from(["raw", "raw-1", "日本", "a b"]), max_size=3).map(
    lambda parts: "".join(f"{it}/" for it in parts)
)


def told(action: str = "Delete", **condition: Any) -> dict[str, Any]:
    return {"actions": [{"type": action, "storageClass": ""}], "conditions": [NOTHING | condition]}


def rules(*found: dict[str, Any]) -> list[Rule]:
    return policy.rules(found, today=TODAY)


# -- written


def made(*expiries: Expiry, **args: Any) -> Recording:
    return run(lambda: gcp.Bucket("data", {"location": "EU", "expiries": expiries, **args}))  # type: ignore[typeddict-item]  # of any tests' choice


def test_each_expiry_is_a_rule_for_current_objects_under_its_prefix_beside_that_for_unfinished_uploads() -> None:
    bucket = made(Expiry("raw/videos/", 90), Expiry("images", 30)).one("gcp:storage/bucket")
    assert bucket.inputs["lifecycleRules"] == [
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}},
        {
            "action": {"type": "Delete"},
            "condition": {"age": 30, "withState": "LIVE", "matchesPrefixes": ["images/"]},
        },
        {
            "action": {"type": "Delete"},
            "condition": {"age": 90, "withState": "LIVE", "matchesPrefixes": ["raw/videos/"]},
        },
    ]


def test_of_the_whole_bucket_no_prefix_is_said() -> None:
    _, rule = made(Expiry("", 30)).one("gcp:storage/bucket").inputs["lifecycleRules"]
    assert rule["condition"] == {"age": 30, "withState": "LIVE"}


def test_without_an_expiry_the_rules_are_those_of_before() -> None:
    assert policy.lifecycle() == [
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}},
    ]
    assert made().one("gcp:storage/bucket").inputs == (
        run(lambda: gcp.Bucket("data", {"location": "EU"})).one("gcp:storage/bucket").inputs
    )


@pytest.mark.parametrize(
    ("expiries", "said"),
    [
        ([Expiry("raw/", 29)], "data: expiries: 'raw/': 29 days are too short"),
        ([Expiry("/raw", 30)], "data: expiries: '/raw' starts with a slash"),
        ([Expiry("raw/", 30), Expiry("raw/a/", 60)], "data: expiries: what lies under 'raw/a/' would go after 60 days"),
        (
            [Expiry(f"{number}/", 30) for number in range(100)],
            "data: expiries: 100 directories that expire; a bucket has room for 99: let a directory around them",
        ),
    ],
)
def test_expiries_that_cannot_be_are_refused_before_anything_is_made(expiries: list[Expiry], said: str) -> None:
    def program() -> None:
        with pytest.raises(ValueError, match=re.escape(said)):
            gcp.Bucket("data", {"location": "EU", "expiries": expiries})

    assert run(program).custom == []


def datasource(purpose: Purpose, prefix: str, *expiries: Expiry) -> Recording:
    def program() -> None:
        gcp.GCSDatasource(
            "lightly",
            {
                "purpose": purpose,
                "bucket": gcp.Bucket("data", {"location": "EU", "expiries": expiries}),
                "prefix": prefix,
                "project": PROJECT_ID,
                "access": gcp.BroughtCredentials("mine", {"credentials": BROUGHT}),
            },
        )

    return run(program)


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
@pytest.mark.parametrize("prefix", ["raw/", "raw/lightly/", ""])
def test_lightly_does_not_write_where_something_expires(purpose: Purpose, prefix: str) -> None:
    said = "lightly: the bucket deletes what lies under 'raw/' after 30 days, and Lightly needs what it has written"
    with pytest.raises(ValueError, match=said):
        datasource(purpose, prefix, Expiry("raw/", 30))


def test_lightly_writes_beside_what_expires_and_an_input_may_expire() -> None:
    assert datasource(Purpose.LIGHTLY, "raw-1/", Expiry("raw/", 30)).of("BucketObject")
    assert datasource(Purpose.INPUT, "raw/", Expiry("raw/", 30)).of("BucketObject")


# -- read


@given(st.sets(prefixes), st.integers(30, 3650))
def test_what_is_written_is_read_again(wanted: set[str], days: int) -> None:
    expiries = check_expiries([Expiry(it, days) for it in wanted])
    names = {"age": "age", "with_state": "withState", "matches_prefixes": "matchesPrefixes"}
    found = [
        told(rule["action"]["type"], **{names[name]: value for name, value in rule["condition"].items()})
        for rule in policy.lifecycle(expiries)
    ]
    assert [(it.prefix, it.days, it.partly, it.old_versions_days) for it in rules(*found)] == [
        (it.prefix, it.days, False, None) for it in expiries
    ]


@given(st.lists(prefixes, min_size=1), st.integers(0, 3650))
def test_each_prefix_of_a_rule_counts_by_itself(wanted: list[str], days: int) -> None:
    found = rules(told(age=days, matchesPrefixes=wanted))
    assert found == [Rule("number 1", prefix, days) for prefix in wanted]


def test_rules_have_no_names_and_are_counted_with_those_that_delete_nothing() -> None:
    found = rules(told("AbortIncompleteMultipartUpload", age=7), told("SetStorageClass", age=10), told(age=20))
    assert found == [Rule("number 3", "", 20)]
    assert rules() == []


@pytest.mark.parametrize("state", ["ANY", "LIVE", ""])
def test_a_rule_is_about_current_objects_unless_it_says_otherwise(state: str) -> None:
    assert rules(told(age=20, withState=state)) == [Rule("number 1", "", 20)]


def test_an_age_of_zero_and_none_at_all_both_mean_at_once() -> None:
    at_once = [Rule("number 1", "raw/", 0)]
    assert rules(told(age=0, sendAgeIfZero=True, matchesPrefixes=["raw/"])) == at_once
    assert rules(told(matchesPrefixes=["raw/"])) == at_once


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ({"withState": "ARCHIVED"}, 0),
        ({"withState": "ARCHIVED", "age": 20}, 20),
        ({"numNewerVersions": 3}, 0),
        ({"daysSinceNoncurrentTime": 10}, 10),
        ({"daysSinceNoncurrentTime": 10, "age": 20}, 20),
        ({"noncurrentTimeBefore": "2026-01-01"}, 0),
    ],
)
def test_rules_for_old_versions_are_remarked_and_are_no_problem(condition: dict[str, Any], days: int) -> None:
    found = rules(told(**condition))
    assert found == [Rule("number 1", "", old_versions_days=days)]
    assert problems(found, Purpose.LIGHTLY, "lightly/", NOW) == []
    assert len(remarks(found, "lightly/")) == 1


@pytest.mark.parametrize(
    "condition",
    [
        {"matchesSuffixes": [".tmp"]},
        {"matchesStorageClasses": ["NEARLINE"]},
        {"sizeAboveBytes": 10},
        {"sizeBelowBytes": 10},
        {"customTimeBefore": "2027-01-01"},
        {"daysSinceCustomTime": 5},
    ],
)
def test_conditions_that_some_objects_never_meet_make_it_a_rule_for_some(condition: dict[str, Any]) -> None:
    assert rules(told(age=20, **condition)) == [Rule("number 1", "", 20, partly=True)]
    # Without an age they may hold as soon as an object is there.
    assert rules(told(**condition)) == [Rule("number 1", "", 0, partly=True)]


@pytest.mark.parametrize("passed", ["2013-01-01", "2026-11-25"])
def test_what_was_to_be_made_before_a_day_that_has_passed_concerns_nothing_new(passed: str) -> None:
    assert rules(told(createdBefore=passed)) == []


def test_until_its_day_has_come_a_rule_for_what_was_made_before_is_about_all_that_is_written() -> None:
    assert rules(told(createdBefore="2026-11-26")) == [Rule("number 1", "", 0)]
    assert rules(told(createdBefore="2026-11-26", age=40)) == [Rule("number 1", "", 40)]


def read(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], *refused: str) -> tuple[Sequence[Rule], Recording]:
    """What is read where Google Cloud gives this answer, or refuses."""
    monkeypatch.setattr(epochs, "today", lambda: TODAY)
    monkeypatch.setitem(
        pulumi_mocks.LOOKED_UP,
        GET_BUCKET,
        lambda _: (answer, [("", it) for it in refused]),
    )
    found: list[Rule] = []

    async def ask() -> None:
        found.extend(await lifecycle.read("acme-raw", PROJECT_ID))

    return found, run(lambda: pulumi.export("asked", pulumi.Output.from_input(ask())))


def test_the_stacks_own_provider_is_asked_for_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    found, recording = read(monkeypatch, {"lifecycleRules": [told(age=20)]})
    assert found == [Rule("number 1", "", 20)]
    assert recording.calls == [(GET_BUCKET, {"name": "acme-raw", "project": PROJECT_ID})]


@pytest.mark.parametrize("answer", [{}, {"lifecycleRules": []}])
def test_a_bucket_without_a_lifecycle_has_no_rules(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    assert read(monkeypatch, answer)[0] == []


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (
            "googleapi: Error 403: ci@acme.iam.gserviceaccount.com does not have storage.buckets.get access, forbidden",
            "allow storage.buckets.get on the bucket to whoever runs this",
        ),
        ("googleapi: Error 404: The specified bucket does not exist., notFound", "make the bucket, or look whether"),
        ("could not find default credentials.", "run `gcloud auth application-default login`"),
        ("googleapi: Error 500: Backend\nError", "look whether whoever runs this has storage.buckets.get"),
    ],
)
def test_why_it_cannot_be_read_is_said_in_one_line_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, words: str, remedy: str
) -> None:
    with pytest.raises(RulesUnreadable) as unread:
        read(monkeypatch, {}, words)
    said = str(unread.value)
    assert said.startswith("could not read the lifecycle of bucket 'acme-raw': ")
    assert words.splitlines()[0].rstrip(".") in said
    assert remedy in said
    assert "\n" not in said
    assert unread.value.__context__ is None, "a traceback would show what is not redacted"


def test_nothing_secret_is_repeated_of_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RulesUnreadable) as unread:
        read(monkeypatch, {}, "Get https://storage.googleapis.com/b/acme-raw?access_token=canary-token: timeout")
    assert "canary" not in str(unread.value)

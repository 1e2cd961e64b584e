"""Which lifecycle rules go with Lightly, what a worker is told of them, and which inputs a run would skip."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import retention
from lightly_infra.listing import Stored
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Rule

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PREFIXES = st.sampled_from(["", "raw/", "raw/night/", "raw", "other/", "r"])
RULES = st.builds(Rule, id=st.just("rule"), prefix=PREFIXES, days=st.integers(1, 400) | st.none())


# -- retention of what is made


@pytest.mark.parametrize("days", [30, 31, 3650])
def test_an_input_may_expire_after_thirty_days_or_more(days: int) -> None:
    assert retention.check_days(days) == days


@pytest.mark.parametrize("days", [0, 1, 29])
def test_less_is_refused_with_the_reason_and_the_remedy(days: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^{days} days? are too short: .* persist over its runs.* Write 30 or more, or leave it out"
    ):
        retention.check_days(days)


# -- rules that are in force


def problem(rule: Rule, purpose: Purpose = Purpose.INPUT, prefix: str = "raw/") -> str:
    (found,) = retention.problems([rule], purpose, prefix, NOW)
    return found


def test_an_input_that_expires_within_thirty_days_is_a_problem_that_names_rule_and_days() -> None:
    said = problem(Rule("tidy", "raw/", days=29))

    assert said.startswith("lifecycle rule 'tidy' deletes the objects under 'raw/' after 29 days: ")
    assert "30 days at least" in said


def test_an_input_that_is_kept_for_thirty_days_is_none() -> None:
    assert retention.problems([Rule("tidy", "raw/", days=30)], Purpose.INPUT, "raw/", NOW) == []


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
def test_nothing_that_lightly_wrote_may_ever_expire(purpose: Purpose) -> None:
    said = problem(Rule("tidy", days=3650), purpose, "lightly/")

    assert said.startswith("lifecycle rule 'tidy' deletes the objects under '' after 3650 days, and Lightly needs ")
    assert said.endswith("nothing there may ever expire")


@pytest.mark.parametrize(
    ("rule", "prefix", "concerned"),
    [
        ("raw/", "raw/", True),
        ("", "raw/", True),
        ("raw/night/", "raw/", True),
        ("raw/n", "raw/", True),
        ("raw/", "raw/night/", True),
        ("ra", "raw/", True),
        ("raw-private/", "raw/", False),
        ("other/", "raw/", False),
        ("other/", "", True),
    ],
)
def test_a_rule_concerns_a_prefix_where_they_have_objects_in_common(rule: str, prefix: str, *, concerned: bool) -> None:
    assert Rule("tidy", rule, days=1).concerns(prefix) is concerned
    assert bool(retention.problems([Rule("tidy", rule, days=1)], Purpose.INPUT, prefix, NOW)) is concerned


@given(
    rule=PREFIXES, prefix=st.sampled_from(["", "raw/", "raw/night/", "other/"]), name=st.text("raw/nightoe", max_size=9)
)
def test_a_rule_that_deletes_an_object_concerns_every_prefix_above_it(rule: str, prefix: str, name: str) -> None:
    key = f"{prefix}{name}"
    if key.startswith(rule):
        assert Rule("tidy", rule).concerns(prefix)


def test_a_rule_about_some_objects_only_says_so() -> None:
    assert "deletes some of the objects under 'raw/'" in problem(Rule("tagged", "raw/", days=7, partly=True))


def test_a_day_on_which_all_go_counts_from_now() -> None:
    soon, late = (Rule("once", "raw/", on=NOW + timedelta(days=days)) for days in (29, 31))

    assert "'once' deletes the objects under 'raw/' on 2026-12-24" in problem(soon)
    assert retention.problems([late], Purpose.INPUT, "raw/", NOW) == []
    assert "on 2026-12-26" in problem(late, Purpose.LIGHTLY)


def test_old_versions_that_go_are_no_problem_and_that_is_said() -> None:
    rule = Rule("versions", "", old_versions_days=1)

    assert retention.problems([rule], Purpose.LIGHTLY, "lightly/", NOW) == []
    (said,) = retention.remarks([rule], "lightly/")
    assert said.startswith("lifecycle rule 'versions' deletes versions that are no longer current after 1 day, which")
    assert retention.remarks([Rule("elsewhere", "x/", old_versions_days=1)], "lightly/") == []
    assert retention.remarks([Rule("both", "", days=1, old_versions_days=1)], "lightly/") == [], "that is a problem"


@given(rules=st.lists(RULES, max_size=4), prefix=st.sampled_from(["", "raw/", "other/"]))
def test_the_shortest_retention_decides_whether_there_is_a_problem(rules: list[Rule], prefix: str) -> None:
    least = retention.shortest(rules, prefix, NOW)

    assert bool(retention.problems(rules, Purpose.INPUT, prefix, NOW)) == (least is not None and least < 30)
    assert bool(retention.problems(rules, Purpose.LIGHTLY, prefix, NOW)) == (least is not None)


def test_what_is_about_a_part_of_the_inputs_says_nothing_of_all() -> None:
    part, tagged, whole = (
        Rule("tmp", "raw/tmp/", days=1),
        Rule("tag", "", days=2, partly=True),
        Rule("all", "", days=60),
    )

    assert retention.longest([part, tagged], "raw/", NOW) is None
    assert retention.longest([part, tagged, whole], "raw/", NOW) == 60
    assert retention.shortest([part, tagged, whole], "raw/", NOW) == 1


# -- what a worker is told


@pytest.mark.parametrize(("run", "least"), [(0, 1), (0.25, 1), (0.99, 1), (1, 2), (3, 4), (3.5, 5), (29, 30)])
def test_an_input_must_exist_a_day_longer_than_the_run_and_one_day_for_hours(run: float, least: int) -> None:
    assert retention.min_days_to_expiration(run) == least


@given(st.floats(0, 10_000))
def test_an_input_that_a_run_starts_with_outlives_it(run: float) -> None:
    least = retention.min_days_to_expiration(run)

    assert 1 <= least <= math.floor(run) + 2
    assert least > run


@pytest.mark.parametrize("run", [-1, math.inf, math.nan])
def test_what_is_no_length_of_time_is_refused(run: float) -> None:
    with pytest.raises(ValueError, match="write how many days a run takes, such as 3, or 0 for some hours"):
        retention.min_days_to_expiration(run)


def test_a_run_for_which_inputs_are_kept_long_enough_is_fine() -> None:
    retention.check_run(28, 30)


def test_a_run_for_which_no_input_lives_long_enough_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"a run of 29 days needs inputs that exist for 30 days more.* deleted 30 days"
    ):
        retention.check_run(29, 30)


def test_the_worker_config_is_what_lightlys_page_shows() -> None:
    assert retention.worker_config(expected_run_days=4) == {
        "datasource": {"input_expiration": {"min_days_to_expiration": 5, "handling_strategy": "SKIP"}}
    }
    assert retention.worker_config(expected_run_days=0, handling_strategy="ABORT", bypass_verify=True) == {
        "datasource": {
            "input_expiration": {"min_days_to_expiration": 1, "handling_strategy": "ABORT"},
            "bypass_verify": True,
        }
    }
    assert retention.worker_config(bypass_verify=True) == {"datasource": {"bypass_verify": True}}
    assert retention.worker_config() == {}


# -- which inputs a run would skip


def test_s3_deletes_at_the_midnight_after_the_days_are_over() -> None:
    rules = [Rule("tidy", "raw/", days=30)]

    assert retention.expires(datetime(2026, 1, 1, 10, 30, tzinfo=UTC), "raw/a.png", rules) == datetime(
        2026, 2, 1, tzinfo=UTC
    )
    assert retention.expires(datetime(2026, 1, 1, tzinfo=UTC), "raw/a.png", rules) == datetime(2026, 1, 31, tzinfo=UTC)
    assert retention.expires(NOW, "other/a.png", rules) is None


@given(modified=MOMENTS, days=st.integers(1, 1000))
def test_an_object_lives_its_days_and_less_than_one_more(modified: datetime, days: int) -> None:
    moment = retention.expires(modified, "a", [Rule("tidy", days=days)])

    assert moment is not None
    assert (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    assert timedelta(days=days) <= moment - modified < timedelta(days=days + 1)


@given(modified=MOMENTS, rules=st.lists(RULES, max_size=4), more=RULES)
def test_a_further_rule_never_lets_an_object_live_longer(modified: datetime, rules: list[Rule], more: Rule) -> None:
    before = retention.expires(modified, "raw/a", rules)
    after = retention.expires(modified, "raw/a", [*rules, more])

    assert before is None or (after is not None and after <= before)


def test_the_inputs_that_a_run_would_skip_are_counted_and_the_first_to_go_are_named() -> None:
    inputs = [Stored(f"raw/{age:02}.png", NOW - timedelta(days=age)) for age in range(60)]
    rules = [Rule("tidy", "raw/", days=60)]

    found = retention.skipped(inputs, rules, expected_run_days=9, now=NOW)

    # Day 60 ends at midnight: what is 50 days old still has ten days and some hours.
    assert (found.min_days_to_expiration, found.inputs, found.skipped) == (10, 60, 9)
    assert [key for key, _ in found.examples] == ["raw/59.png", "raw/58.png", "raw/57.png", "raw/56.png", "raw/55.png"]
    assert found.examples[0][1] == datetime(2026, 11, 27, tzinfo=UTC)


@given(
    ages=st.lists(st.integers(0, 100), max_size=40),
    run=st.integers(0, 60),
    longer=st.integers(0, 30),
    days=st.integers(1, 100),
)
def test_a_longer_run_never_skips_less_and_keeping_everything_skips_nothing(
    ages: list[int], run: int, longer: int, days: int
) -> None:
    inputs = [Stored(f"{index}", NOW - timedelta(days=age)) for index, age in enumerate(ages)]
    rules = [Rule("tidy", days=days)]
    short = retention.skipped(inputs, rules, expected_run_days=run, now=NOW)
    long = retention.skipped(inputs, rules, expected_run_days=run + longer, now=NOW)

    assert 0 <= short.skipped <= long.skipped <= len(ages)
    assert len(long.examples) == min(long.skipped, retention.MAX_EXAMPLES)
    moments = [moment for _, moment in long.examples]
    assert moments == sorted(moments)
    assert retention.skipped(inputs, [], expected_run_days=run, now=NOW).skipped == 0

"""When credentials expire: how near that is, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import epochs, expiry

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

moments = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)).map(lambda it: it.replace(tzinfo=UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-25T00:00:00Z",
        "2026-11-25T00:00:00+00:00",
        "2026-11-25T01:00:00+01:00",
        "2026-11-25T00:00:00.123456789Z",
        "2026-11-25",
    ],
)
def test_every_clouds_way_to_tell_a_moment_becomes_the_same(told: str) -> None:
    assert expiry.time_text(told) == "2026-11-25T00:00:00Z"


@pytest.mark.parametrize("told", [None, "9999-12-31T23:59:59Z"])
def test_what_never_comes_is_no_moment(told: str | None) -> None:
    assert expiry.time_text(told) is None


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="soon"):
        expiry.time_text("soon")


@pytest.mark.parametrize(
    ("expires", "left"),
    [
        ("2026-12-09T12:00:00Z", 14),
        ("2026-12-09T11:59:59Z", 13),
        ("2026-11-25T13:00:00Z", 0),
        ("2026-11-25T11:59:59Z", -1),
    ],
)
def test_days_are_counted_when_they_are_whole_and_none_is_left_of_what_has_expired(expires: str, left: int) -> None:
    assert expiry.days_left(expires, NOW) == left


@given(now=moments, ahead=st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_so_many_days_are_left_and_not_one_more(now: datetime, ahead: timedelta) -> None:
    expires = (now + ahead).replace(microsecond=0)
    left = expiry.days_left(f"{expires:%Y-%m-%dT%H:%M:%SZ}", now)
    assert timedelta(days=left) <= expires - now < timedelta(days=left + 1)


@pytest.mark.parametrize(("left", "near"), [(-1, True), (0, True), (13, True), (14, False)])
def test_it_is_said_when_fewer_days_are_left_than_told(left: int, near: bool) -> None:
    assert expiry.is_near(left, 14, None) is near


def test_nothing_is_said_of_what_works_if_no_warning_is_wanted() -> None:
    assert not expiry.is_near(0, 0, None)
    assert expiry.is_near(-1, 0, None)


@given(now=moments, days=st.integers(1, 3650), warn_days=st.integers(0, 10_000))
def test_nothing_is_ever_said_of_a_sas_that_was_just_signed(now: datetime, days: int, warn_days: int) -> None:
    expires = epochs.expiry(now.date(), days=days)
    left = expiry.days_left(f"{expires:%Y-%m-%dT%H:%M:%SZ}", now)
    assert not expiry.is_near(left, warn_days, days)


SIGN = "sign another, set it as sas_token and run `pulumi up`"
RENEW = "run `pulumi up`, which renews it in a new epoch, or `lightly-infra rotate` now"
ROTATE = "write a rotate_every_days of fewer days than it lives, and run `pulumi up`"


@pytest.mark.parametrize(
    ("kind", "left", "days", "when", "remedy"),
    [
        ("SAS", 3, None, "expires in 3 days, on THEN, and then locks Lightly out", SIGN),
        ("SAS", 1, 30, "expires in 1 day, on THEN, and then locks Lightly out", RENEW),
        ("service account key", 0, None, "expires in 0 days, on THEN, and then locks Lightly out", ROTATE),
        ("SAS", -2, None, "expired on THEN and locks Lightly out", SIGN),
    ],
)
def test_what_is_said_names_the_kind_the_day_and_the_remedy(
    kind: str, left: int, days: int | None, when: str, remedy: str
) -> None:
    assert expiry.said(kind, "THEN", left, days) == f"the {kind} {when}: {remedy}"

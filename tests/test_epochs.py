"""Epochs: they follow from the date alone, and what expires by them outlives its epoch."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import epochs

dates = st.dates(date(100, 1, 1), max_value=date(9900, 1, 1))
days = st.integers(1, 10_000)
forced = st.integers(0, 1_000)


def test_epochs_are_counted_from_the_first_day_of_1970() -> None:
    assert [epochs.epoch(date(1970, 1, day), days=3) for day in (1, 3, 4, 6, 7)] == [0, 0, 1, 1, 2]


def test_a_credential_lives_until_the_second_epoch_from_now_begins() -> None:
    assert epochs.expiry(date(1970, 1, 1), days=90) == datetime(1970, 6, 30, tzinfo=UTC)
    assert epochs.expiry(date(1970, 3, 31), days=90) == datetime(1970, 6, 30, tzinfo=UTC)
    assert epochs.expiry(date(1970, 4, 1), days=90) == datetime(1970, 9, 28, tzinfo=UTC)


@given(on=dates, days=days, at=st.times())
def test_it_is_valid_for_more_than_one_epoch_and_at_most_two(on: date, days: int, at: time) -> None:
    left = epochs.expiry(on, days=days) - datetime.combine(on, at, UTC)
    assert timedelta(days=days) < left <= timedelta(days=2 * days)


@given(on=dates, days=days)
def test_what_is_issued_in_an_epoch_is_as_if_issued_on_its_first_day(on: date, days: int) -> None:
    first = epochs.start(on, days=days) + timedelta(days=1)
    assert timedelta(0) <= datetime.combine(on, time(), UTC) - first < timedelta(days=days)
    assert epochs.expiry(first.date(), days=days) == epochs.expiry(on, days=days) == first + timedelta(days=2 * days)


@given(on=dates, days=days)
def test_it_is_valid_for_clocks_that_are_behind_from_the_first_moment_of_an_epoch(on: date, days: int) -> None:
    behind = datetime.combine(on, time(), UTC) - timedelta(minutes=15)
    assert epochs.start(on, days=days) <= behind


@given(on=dates, days=days)
def test_the_expiry_moves_with_the_epoch_and_only_then(on: date, days: int) -> None:
    after = on + timedelta(days=1)
    moved = epochs.expiry(after, days=days) != epochs.expiry(on, days=days)
    assert moved == (epochs.epoch(after, days=days) != epochs.epoch(on, days=days))
    assert epochs.epoch(on + timedelta(days=days), days=days) == epochs.epoch(on, days=days) + 1


@given(on=dates, days=days, forced=forced)
def test_a_number_stays_on_every_day_but_the_first_of_an_epoch_when_it_is_the_next(
    on: date, days: int, forced: int
) -> None:
    before, number = (epochs.epoch(it, days=days, forced=forced) for it in (on - timedelta(days=1), on))
    first = (epochs.start(on, days=days) + timedelta(days=1)).date() == on
    assert number - before == (1 if first else 0)


@given(on=dates, days=days, forced=forced)
def test_a_forced_renewal_is_the_next_number_at_once_and_each_epoch_after_it_one_more(
    on: date, days: int, forced: int
) -> None:
    number = epochs.epoch(on, days=days, forced=forced)
    assert epochs.epoch(on, days=days, forced=forced + 1) == number + 1
    assert epochs.epoch(on + timedelta(days=days), days=days, forced=forced + 1) == number + 2


@given(on=dates, days=days, steps=st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=20))
def test_no_number_comes_back_however_days_pass_and_renewals_are_forced(
    on: date, days: int, steps: list[tuple[int, bool]]
) -> None:
    forced, numbers = 0, [epochs.epoch(on, days=days)]
    for passed, force in steps:
        on, forced = on + timedelta(days=passed), forced + force
        number = epochs.epoch(on, days=days, forced=forced)
        if number != numbers[-1]:
            numbers.append(number)
    assert numbers == sorted(set(numbers))


@given(on=dates, days=days, forced=forced)
def test_each_forced_renewal_starts_a_second_earlier_and_ends_with_the_epoch_as_before(
    on: date, days: int, forced: int
) -> None:
    assert epochs.start(on, days=days) - epochs.start(on, days=days, forced=forced) == timedelta(seconds=forced)


@pytest.mark.parametrize("days", [0, -1])
def test_an_epoch_lasts_a_day_or_more(days: int) -> None:
    with pytest.raises(ValueError, match="one day or more"):
        epochs.epoch(date(2026, 1, 1), days=days)
    with pytest.raises(ValueError, match="one day or more"):
        epochs.expiry(date(2026, 1, 1), days=days)


def test_today_is_the_day_in_utc_whatever_the_machine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert epochs.now().tzinfo is UTC
    monkeypatch.setattr(epochs, "now", lambda: datetime(2026, 11, 22, 23, 59, tzinfo=UTC))
    assert epochs.today() == date(2026, 11, 22)

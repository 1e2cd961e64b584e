"""Epochs: stretches of N days, counted from 1970-01-01, by which credentials get their age.

What depends on the epoch alone stays the same from one `pulumi up` to the next, and changes on an epoch's first day.
Who cannot wait forces a renewal: each one raises the numbers of this epoch and all later ones by one, and no more than
that: epochs begin and end by the calendar.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST_DAY: Final = date(1970, 1, 1)

# Clocks differ: a start at the epoch's own midnight would be in the future for a cloud whose clock is behind ours.
# Azure advises 15 minutes at least ("Best practices when using SAS").
_EARLIER: Final = timedelta(days=1)


def now() -> datetime:
    """This moment, in UTC. The one place where this package's programs read the clock."""
    return datetime.now(UTC)


def today() -> date:
    """Today's date, in UTC."""
    return now().date()


def epoch(on: date, *, days: int, forced: int = 0) -> int:
    """The number of the epoch that a date lies in.

    Args:
        on: the date, in UTC.
        days: how long an epoch is, at least 1.
        forced: how many renewals were forced so far.

    Raises:
        ValueError: `days` is less than 1.
    """
    if days < 1:
        raise ValueError(f"an epoch of {days} days: it lasts one day or more")
    return (on - _FIRST_DAY).days // days + forced


def behind(known: Mapping[str, Any], *, now: datetime, rotation: int) -> int:
    """How many epochs old a credential is; 0 if it is not renewed here."""
    number, days = known.get("epoch"), known.get("rotate_every_days")
    if number is None or days is None:
        return 0
    return epoch(now.date(), days=int(days), forced=rotation) - int(number)


def start(on: date, *, days: int, forced: int = 0) -> datetime:
    """From when what is issued on a date is valid: a day before its epoch began, midnight UTC.

    Each renewal that was forced makes it a second earlier: what is issued then never was before.

    Raises:
        ValueError: `days` is less than 1.
    """
    return _begins(epoch(on, days=days), days) - _EARLIER - timedelta(seconds=forced)


def expiry(on: date, *, days: int) -> datetime:
    """When what is issued on a date expires: as the second epoch from now begins, midnight UTC.

    It is more than `days` and at most twice `days` away, so that a credential outlives the epoch it is replaced in.

    Raises:
        ValueError: `days` is less than 1.
        OverflowError: that is after the year 9999.
    """
    return _begins(epoch(on, days=days) + 2, days)


def text(moment: datetime) -> str:
    """A moment to the second, such as `2026-11-25T00:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _begins(number: int, days: int) -> datetime:
    return datetime.combine(_FIRST_DAY + timedelta(days=number * days), time(), UTC)

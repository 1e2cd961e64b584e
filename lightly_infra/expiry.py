"""When credentials stop working by themselves: how near that is, and what to do then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from lightly_infra import epochs

WARN_DAYS: Final = 14
"""How many days before a credential expires it is said, if nobody says otherwise."""

# By which Google means never (`validBeforeTime` of a service account's key).
_NEVER: Final = 9999


def time_text(moment: str | None) -> str | None:
    """A moment, as a cloud tells it, in the one form in which it is shown: `2026-11-25T00:00:00Z`.

    None stays None, and so is what the cloud means by never.

    Raises:
        ValueError: it is no moment.
    """
    if moment is None:
        return None
    read = _read(moment)
    return None if read.year == _NEVER else epochs.text(read)


def days_left(expires: str, now: datetime) -> int:
    """How many whole days something works yet; less than 0 once it has expired.

    Args:
        expires: as `time_text` gives it.
        now: aware of its timezone.
    """
    return (_read(expires) - now).days


def is_near(left: int, warn_days: int, rotate_every_days: int | None) -> bool:
    """Whether the expiry of something is to be said.

    Args:
        left: the days that are left.
        warn_days: below how many it is said.
        rotate_every_days: how often it is renewed, if it is renewed by itself: then it is not said as long as the next
            renewal comes in time.
    """
    return left < (warn_days if rotate_every_days is None else min(warn_days, rotate_every_days))


def said(kind: str, expires: str, left: int, rotate_every_days: int | None) -> str:
    """That something expires, and what to do.

    Args:
        kind: what it is, as `Credential.kind` calls it.
        expires: as `time_text` gives it.
        left: the days that are left.
        rotate_every_days: how often it is renewed, if it is renewed by itself.
    """
    if left < 0:
        when = f"expired on {expires} and locks Lightly out"
    else:
        when = f"expires in {left} {'day' if left == 1 else 'days'}, on {expires}, and then locks Lightly out"
    if rotate_every_days is not None:
        remedy = "run `pulumi up`, which renews it in a new epoch, or `lightly-infra rotate` now"
    elif kind == "SAS":
        remedy = "sign another, set it as sas_token and run `pulumi up`"
    else:
        remedy = "write a rotate_every_days of fewer days than it lives, and run `pulumi up`"
    return f"the {kind} {when}: {remedy}"


def _read(moment: str) -> datetime:
    read = datetime.fromisoformat(moment)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)

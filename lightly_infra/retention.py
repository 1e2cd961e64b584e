"""How long data stays: which lifecycle rules go with Lightly, and what a worker has to know of inputs that expire.

Lightly loads data straight from the bucket, so an input must persist over a whole run, and what Lightly has written is
used by later runs (Lightly's docs, "Retention Policy"). A cloud's own words for a rule are in `clouds/*/policy.py`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from lightly_infra import paths
from lightly_infra.located import located
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lightly_infra.listing import Stored

MIN_RETENTION_DAYS: Final = 30
"""The shortest retention of an Input that Lightly recommends ("Retention Policy")."""

WORKER_VERSION: Final = "2.11"
"""The first Lightly Worker that knows `input_expiration` ("Handling Expiring Inputs")."""

MAX_EXAMPLES: Final = 5
"""How many inputs that would be skipped are named."""

_DAY: Final = timedelta(days=1)

Strategy = Literal["SKIP", "ABORT"]


class Expiry(NamedTuple):
    """What a bucket that is made here shall do: delete what lies under the prefix once it is so many days old."""

    prefix: str
    """Normalised (`lightly_infra.paths`); empty for the whole bucket."""

    days: int

    @property
    def rule_id(self) -> str:
        """What the rule is called: `raw/` gives `expire-raw-e414985f`, in letters that every cloud takes.

        The digits at its end are the prefix's own: without them, `raw/a/` and `raw-a/` would share an id.
        """
        digits = hashlib.sha256(self.prefix.encode()).hexdigest()[:8]
        return "-".join(it for it in ("expire", paths.slug(self.prefix), digits) if it)


class RulesUnreadable(Exception):
    """The rules or the objects of a bucket of the user's own could not be read; the message says why, and a remedy."""


@dataclass(frozen=True)
class Rule:
    """A rule that is in force on a bucket and deletes objects, in no cloud's words."""

    id: str
    """What the cloud's console calls it."""

    prefix: str = ""
    """What the keys begin with that it is about; any text, not only a directory."""

    days: int | None = None
    """The age in days at which objects go; None if it deletes none by their age."""

    on: datetime | None = None
    """The moment at which objects go, whatever their age; None if there is none."""

    old_versions_days: int | None = None
    """After how many days versions go that are no longer current; None if they stay."""

    partly: bool = False
    """Whether it is about some of the objects only, such as those with a tag or above a size."""

    def concerns(self, prefix: str) -> bool:
        """Whether it may be about an object under the prefix."""
        return self.prefix.startswith(prefix) or prefix.startswith(self.prefix)


def check_days(days: int) -> int:
    """The retention of an Input itself, when Lightly can work with it.

    Raises:
        ValueError: it is too short.
    """
    if days < MIN_RETENTION_DAYS:
        raise ValueError(
            f"{_days(days)} are too short: what Lightly works on has to persist over its runs, and what was selected "
            f"must still be there for labeling and training. Write {MIN_RETENTION_DAYS} or more, or leave it out to "
            "keep everything"
        )
    return days


def check_expiries(expiries: Iterable[Expiry]) -> list[Expiry]:
    """The expiries of one bucket, with prefixes normalised and in a fixed order, when they go together.

    One that lies in another of as many days is left out: it would say the same of the same objects.

    Raises:
        ValueError: one is too short, or two would have the same object go at different times.
    """
    kept: list[Expiry] = []
    for prefix, days in sorted({Expiry(paths.normalise_prefix(it.prefix), it.days) for it in expiries}):
        with located(repr(prefix)):
            check_days(days)
        outer = next((it for it in kept if paths.contains(it.prefix, prefix)), None)
        if outer is None:
            kept.append(Expiry(prefix, days))
        elif outer.days != days:
            raise ValueError(
                f"what lies under {prefix!r} would go after {days} days, and after {outer.days} since it lies under "
                f"{outer.prefix!r} too: give both the same days, or directories that lie apart"
            )
    return kept


def check_kept(expiries: Iterable[Expiry], purpose: Purpose, prefix: str) -> None:
    """Refuses a datasource in which Lightly writes, where something of it would expire.

    Args:
        expiries: of its bucket.
        purpose: the datasource's; of an Input anything may expire.
        prefix: the datasource's, normalised.

    Raises:
        ValueError: the message names both prefixes.
    """
    if purpose is Purpose.INPUT:
        return
    for it in expiries:
        if paths.contains(it.prefix, prefix) or paths.contains(prefix, it.prefix):
            raise ValueError(
                f"the bucket deletes what lies under {it.prefix!r} after {it.days} days, and Lightly needs what it "
                f"has written under {prefix!r} in later runs: nothing there may ever expire. Give Lightly a directory "
                "or a bucket of its own"
            )


# -- what is in force on a bucket of the user's own


def problems(rules: Iterable[Rule], purpose: Purpose, prefix: str, now: datetime) -> list[str]:
    """What speaks against the rules of a bucket: each names the rule and its days.

    Args:
        rules: all that are in force.
        purpose: an Input may lose nothing within 30 days, a Lightly datasource nothing ever.
        prefix: the datasource's, normalised.
        now: aware of its timezone.
    """
    found = []
    for rule in rules:
        if not rule.concerns(prefix) or (rule.days is None and rule.on is None):
            continue
        when = f"after {_days(rule.days)}" if rule.days is not None else f"on {rule.on:%Y-%m-%d}"
        which = f"{'some of ' if rule.partly else ''}the objects under {rule.prefix!r}"
        said = f"lifecycle rule {rule.id!r} deletes {which} {when}"
        if purpose is not Purpose.INPUT:
            found.append(f"{said}, and Lightly needs what it has written in later runs: nothing there may ever expire")
        elif _within(rule, now) < MIN_RETENTION_DAYS:
            found.append(
                f"{said}: inputs have to persist for {MIN_RETENTION_DAYS} days at least, over runs and until what was "
                "selected is labeled and trained on"
            )
    return found


def remarks(rules: Iterable[Rule], prefix: str) -> list[str]:
    """What looks like a problem and is none: rules that end old versions only."""
    return [
        f"lifecycle rule {it.id!r} deletes versions that are no longer current after {_days(it.old_versions_days)}, "
        "which is fine: Lightly uses current ones only"
        for it in rules
        if it.concerns(prefix) and it.old_versions_days is not None and it.days is None and it.on is None
    ]


def shortest(rules: Iterable[Rule], prefix: str, now: datetime) -> int | None:
    """The fewest days that an object written now is kept under the prefix; None if nothing there expires."""
    return min(
        (_within(it, now) for it in rules if it.concerns(prefix) and (it.days is not None or it.on is not None)),
        default=None,
    )


def longest(rules: Iterable[Rule], prefix: str, now: datetime) -> int | None:
    """The most days that any object written now is kept under the prefix; None if some are kept for ever.

    What is about a part of the prefix, or some objects only, leaves others.
    """
    return shortest((it for it in rules if prefix.startswith(it.prefix) and not it.partly), prefix, now)


def _within(rule: Rule, now: datetime) -> int:
    """In how many days an object that is written now goes."""
    left = [] if rule.days is None else [rule.days]
    if rule.on is not None:
        left.append(max(0, (rule.on - now).days))
    return min(left)


# -- what a worker is told


def min_days_to_expiration(expected_run_days: float) -> int:
    """How long an input must still exist when a run starts that takes so many days: one day more, 1 for hours.

    Raises:
        ValueError: it is no length of time.
    """
    if not 0 <= expected_run_days < math.inf:
        raise ValueError(f"{expected_run_days} days: write how many days a run takes, such as 3, or 0 for some hours")
    return 1 if expected_run_days < 1 else math.ceil(expected_run_days) + 1


def check_run(expected_run_days: float, retention_days: int) -> None:
    """Refuses a run for which no input would live long enough.

    Raises:
        ValueError: the message names both.
    """
    if (least := min_days_to_expiration(expected_run_days)) >= retention_days:
        raise ValueError(
            f"a run of {_days(expected_run_days)} needs inputs that exist for {_days(least)} more, and they are "
            f"deleted {_days(retention_days)} after they were written: every run would skip almost all. Keep them "
            "for longer"
        )


def worker_config(
    *, expected_run_days: float | None = None, handling_strategy: Strategy = "SKIP", bypass_verify: bool = False
) -> dict[str, Any]:
    """The worker config for `schedule_compute_worker_run`, as far as it follows from a dataset's datasources.

    Args:
        expected_run_days: how long a run takes, where inputs expire; needs a Worker of `WORKER_VERSION`.
        handling_strategy: what becomes of inputs that expire before: skipped, or the run is stopped.
        bypass_verify: whether Lightly's servers are shut out of a bucket, so that they cannot verify.
    """
    datasource: dict[str, Any] = {}
    if expected_run_days is not None:
        datasource["input_expiration"] = {
            "min_days_to_expiration": min_days_to_expiration(expected_run_days),
            "handling_strategy": handling_strategy,
        }
    if bypass_verify:
        datasource["bypass_verify"] = True
    return {"datasource": datasource} if datasource else {}


# -- which inputs a run would skip


@dataclass(frozen=True)
class Skipped:
    """Which inputs a run would skip that started now."""

    min_days_to_expiration: int
    inputs: int
    """How many there are."""

    skipped: int
    """How many of them expire too early."""

    examples: tuple[tuple[str, datetime], ...] = ()
    """Some of them, those that expire first: key and moment."""

    at_most: bool = False
    """Whether a rule is about some objects only, which a listing does not tell: then fewer may expire."""


def expires(modified: datetime, key: str, rules: Sequence[Rule]) -> datetime | None:
    """When S3 deletes an object: days after it was written, at the next midnight UTC; None if it does not.

    Rules that are about some objects only count for all: what a tag or a size excludes cannot be told from a listing.
    """
    moments = []
    for rule in rules:
        if not key.startswith(rule.prefix):
            continue
        if rule.days is not None:
            moments.append(_next_midnight(modified + rule.days * _DAY))
        if rule.on is not None:
            moments.append(rule.on)
    return min(moments, default=None)


def skipped(inputs: Iterable[Stored], rules: Sequence[Rule], *, expected_run_days: float, now: datetime) -> Skipped:
    """Which of the inputs a run that takes so many days would skip, if it started now."""
    least = min_days_to_expiration(expected_run_days)
    total, count = 0, 0
    first: list[tuple[datetime, str]] = []
    for it in inputs:
        total += 1
        moment = expires(it.modified, it.key, rules)
        if moment is None or moment >= now + least * _DAY:
            continue
        count += 1
        first.append((moment, it.key))
        if len(first) > 2 * MAX_EXAMPLES:  # of many, only the first are kept
            first = sorted(first)[:MAX_EXAMPLES]
    examples = tuple((key, moment) for moment, key in sorted(first)[:MAX_EXAMPLES])
    return Skipped(least, total, count, examples, at_most=any(it.partly for it in rules))


def _days(number: float) -> str:
    return "1 day" if number == 1 else f"{number:g} days"


def _next_midnight(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC)
    midnight = datetime.combine(utc.date(), time(), UTC)
    return midnight if midnight == utc else midnight + _DAY

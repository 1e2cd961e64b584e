"""What lies in the Inputs of a stack: what Lightly can read of it, and what a retention that is new would delete.

At most one page of a listing is read of an Input that stays as it is. What cannot be read is said, and stops nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from lightly_infra import epochs, listing, retention
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Rule, RulesUnreadable
from lightly_infra.stack.builder import resource_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping, Sequence
    from datetime import datetime

    from lightly_infra.listing import Listing, Readable, Stored
    from lightly_infra.spec import DatasetSpec
    from lightly_infra.spec.fields import DatasourceSpec
    from lightly_infra.stack.builder import Builders
    from lightly_infra.stack.previous import Previous
    from lightly_infra.stack.settings import Settings

FIRST_RUN: Final = timedelta(days=1)
"""When a rule first runs, about: the clouds look once a day, and may take a day to hear of a rule."""

_STORAGE: Final = frozenset({"bucket", "container"})

_T = TypeVar("_T")

Rules: TypeAlias = "Sequence[Rule] | RulesUnreadable"


@dataclass(frozen=True)
class Earlier:
    """An Input as the last run left it."""

    type: str
    """The dataset's."""

    path: str
    """Such as `s3://acme-raw/raw/` or `azure://acmedata/raw/images/`."""

    names: Mapping[str, str]
    """What its storage is called, by the fields of the YAML."""

    made: bool
    """Whether the stack has made that storage."""


@dataclass(frozen=True)
class Look:
    """What was found of an Input."""

    source: DatasourceSpec
    """With the names that were generated."""

    earlier: Earlier | None
    dataset_type: str | None
    listed: Listing | RulesUnreadable
    rules: Rules = ()
    """Of an Input with a retention: what is in force now."""

    @property
    def path(self) -> str:
        """Such as `s3://acme-raw/raw/`."""
        return _names(self.source.told)[1]

    @property
    def changed(self) -> bool:
        """Whether it is new, or another one than before."""
        return self.earlier is None or (self.earlier.path, self.earlier.type) != (self.path, self.dataset_type)

    @property
    def expires_anew(self) -> bool:
        """Whether its retention deletes what no rule in force does."""
        days = self.source.retention_days
        if days is None or isinstance(self.rules, RulesUnreadable):
            return False
        return not any(
            it.days is not None and it.days <= days and self.source.prefix.startswith(it.prefix) and not it.partly
            for it in self.rules
        )


def earlier(settings: Settings, previous: Previous | None) -> dict[str, Earlier]:
    """The Inputs of the last run, by the keys that their datasets have now."""
    found = {}
    for key, declared in settings.datasets.items():
        dataset = previous.datasets.get(resource_name(key, declared)) if previous else None
        told = dataset.datasources.get(Purpose.INPUT) if dataset else None
        if previous is None or dataset is None or not told or not told.get("full_path"):
            continue
        names, path = _names(told)
        made = any(it.kind in _STORAGE and it.name in names.values() for it in previous.made)
        groups = [it.name for it in previous.made if it.kind == "resource group" and it.dataset == dataset.resource]
        if "account" in names and groups:
            names["resource_group"] = groups[0]
        found[key] = Earlier(dataset.type, path, names, made=made)
    return found


def _names(told: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """What storage is called by the fields of the YAML, and its path, from what Lightly is told of it."""
    path = str(told["full_path"])
    if account := told.get("account_name"):
        return {"account": account, "container": path.partition("/")[0]}, f"azure://{account}/{path}"
    return {"bucket": path.partition("://")[2].partition("/")[0]}, path


async def look(settings: Settings, builders: Builders, before: Mapping[str, Earlier]) -> dict[str, Look]:
    """Looks into every Input that may be there already, side by side."""
    sources = {key: _there(it.input.datasource, before.get(key), before) for key, it in settings.datasets.items()}
    listings: dict[tuple[str | None, str, int], asyncio.Future[Listing | RulesUnreadable]] = {}

    async def one(key: str, source: DatasourceSpec) -> Look:
        dataset = settings.datasets[key]
        builder = builders.of(dataset.input.cloud)
        rules: Rules = ()
        if source.retention_days is not None:
            rules = await _unless_unreadable(builder.lifecycle(source))
        found = Look(source, before.get(key), _type(dataset, before.get(key)), listing.Listing(), rules)
        most = listing.MANY_PAGES if found.changed or found.expires_anew else 1
        asked = (source.place, source.prefix, most)
        if asked not in listings:
            listings[asked] = asyncio.ensure_future(_unless_unreadable(builder.listing(source, most)))
        return replace(found, listed=await listings[asked])

    there = {key: source for key, source in sources.items() if source is not None}
    return dict(zip(there, await asyncio.gather(*(one(*it) for it in there.items())), strict=True))


async def _unless_unreadable(asked: Awaitable[_T]) -> _T | RulesUnreadable:
    try:
        return await asked
    except RulesUnreadable as unread:
        return unread


def _there(source: DatasourceSpec, was: Earlier | None, before: Mapping[str, Earlier]) -> DatasourceSpec | None:
    """The Input with names, where it may be there already: what is yet to be made has nothing in it."""
    if not source.creates:
        return source
    if source.place is None and was is not None and was.made and was.path.startswith(f"{source.scheme}://"):
        given = {name: it for name, it in was.names.items() if getattr(source, name, None) is None}
        source = source.model_copy(update=given)
    if source.place is None:
        return None
    root = _names(source.told)[1].removesuffix(source.prefix)
    return source if any(it.made and it.path.startswith(root) for it in before.values()) else None


def _type(dataset: DatasetSpec, was: Earlier | None) -> str | None:
    """The dataset's; None where only Lightly knows it."""
    if dataset.type is not None:
        return str(dataset.type)
    if dataset.id is None:
        return "Images"
    return was.type if was else None


# -- what is to be said


def warnings(look: Look) -> Iterator[str]:
    """That there is nothing to read, or that it is another Input than before."""
    if look.earlier is not None and look.earlier.path != look.path:
        yield (
            f"the Input was {look.earlier.path} and becomes {look.path}: the samples that Lightly has so far stay in "
            "the dataset by their names below the old path, and can be shown only where the new one has files of the "
            "same names; the next run adds what it finds there. For other data, declare another dataset"
        )
    if isinstance(look.listed, RulesUnreadable):
        return
    found = listing.readable(look.listed, look.dataset_type)
    if found.count or (found.more and not look.changed):  # one page of an unchanged Input may hold none of many
        return
    if not found.ignored:
        yield f"there is no file under {look.path}: {_remedy(look)}"
        return
    yield f"Lightly can read none of the {_many(found)} under {look.path}{_example(found)}: {_remedy(look)}"


def remarks(look: Look) -> Iterator[str]:
    """What Lightly can read of an Input that is new or changed, and what could not be looked at."""
    if isinstance(look.listed, RulesUnreadable):
        yield f"{look.path} could not be listed: {look.listed}"
        return
    found = listing.readable(look.listed, look.dataset_type)
    if look.changed and found.count:
        ignored = f"; ignored: {found.ignored}{_example(found)}" if found.ignored else ""
        count = f"at least {found.count}" if found.more else f"{found.count}"
        kind = f" for {look.dataset_type}" if look.dataset_type else ""
        yield f"{count} {_files(found.count)}{kind} under {look.path}{ignored}"
    if isinstance(look.rules, RulesUnreadable):
        yield f"it could not be checked whether retention_days deletes anything at once: {look.rules}"
    elif look.expires_anew and look.listed.objects and not _go_at_once(look, epochs.now()):
        first = min(look.listed.objects, key=lambda it: it.modified)
        gone = retention.expires(first.modified, first.key, [_rule(look)])
        yield f"retention_days: nothing is deleted at once; the first to go is {first.key}, on {gone:%Y-%m-%d}"


def losses(look: Look) -> Iterator[str]:
    """What a retention that is new, or shorter than before, deletes as soon as it is in force."""
    if isinstance(look.listed, RulesUnreadable) or not look.expires_anew:
        return
    if going := _go_at_once(look, epochs.now()):
        more = look.listed.more
        shown = ", ".join(f"{it.key} ({it.modified:%Y-%m-%d})" for it in going[: retention.MAX_EXAMPLES])
        yield (
            f"retention_days: {'at least ' if more else ''}{len(going)} of the {'first ' if more else ''}"
            f"{len(look.listed.objects)} files under {look.path} are older than {look.source.retention_days} days and "
            "are deleted when the rule first runs, about a day after `pulumi up`: "
            f"{shown}{' and others' if len(going) > retention.MAX_EXAMPLES else ''}. Copy what has to stay, or write "
            "more days"
        )


def _go_at_once(look: Look, now: datetime) -> list[Stored]:
    """What the rule deletes in its first run and no rule in force would, the oldest first."""
    in_force = () if isinstance(look.rules, RulesUnreadable) else look.rules
    objects = () if isinstance(look.listed, RulesUnreadable) else look.listed.objects
    first_run = now + FIRST_RUN

    def goes(it: Stored, rules: Sequence[Rule]) -> bool:
        moment = retention.expires(it.modified, it.key, rules)
        return moment is not None and moment <= first_run

    wanted = [_rule(look)]
    return sorted((it for it in objects if goes(it, wanted) and not goes(it, in_force)), key=lambda it: it.modified)


def _rule(look: Look) -> Rule:
    return Rule("wanted", look.source.prefix, look.source.retention_days)


def _remedy(look: Look) -> str:
    if look.source.creates:
        return f"put some there before a run ({listing.endings(look.dataset_type)})"
    return f"look for a slip in the prefix, or put some there before a run ({listing.endings(look.dataset_type)})"


def _many(found: Readable) -> str:
    return f"{'first ' if found.more else ''}{found.ignored} {_files(found.ignored)}"


def _files(number: int) -> str:
    return "file" if number == 1 else "files"


def _example(found: Readable) -> str:
    if found.example is None:
        return ""
    return f", such as {found.example.key}{' (archived)' if found.example.archived else ''}"

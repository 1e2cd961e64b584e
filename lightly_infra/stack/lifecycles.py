"""Looks at buckets before anything is touched: what rules delete too early, and what lies in the Inputs.

Rules of the user's own are read and never written. Where they cannot be read, that is said, and stops nothing unless a
dataset is `strict_retention`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pulumi
from pulumi.runtime.sync_await import _sync_await

from lightly_infra import epochs, paths, retention
from lightly_infra.permissions import Purpose
from lightly_infra.stack import contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightly_infra.retention import Rule, RulesUnreadable
    from lightly_infra.spec import CloudSpec, DatasetSpec
    from lightly_infra.stack.builder import Builders
    from lightly_infra.stack.contents import Earlier, Look
    from lightly_infra.stack.previous import Previous
    from lightly_infra.stack.settings import Settings

Read: TypeAlias = "Sequence[Rule] | RulesUnreadable"
"""The rules of a bucket, or why they are not known."""


@dataclass
class Findings:
    """What there is to say; lines begin with a path in the YAML."""

    refusals: list[str] = field(default_factory=list)
    """What cannot be: nothing is deployed."""

    warnings: list[str] = field(default_factory=list)

    remarks: list[str] = field(default_factory=list)
    """What looks like a problem and is none, and what is not known."""

    def tell(self, problem: str) -> None:
        """Shows all of it.

        Raises:
            pulumi.RunError: the problem and each refusal, if there is one.
        """
        for remark in self.remarks:
            pulumi.log.info(remark)
        for warning in self.warnings:
            pulumi.log.warn(warning)
        if self.refusals:
            raise pulumi.RunError(f"{problem}:" + "".join(f"\n  {line}" for line in self.refusals))


def check(settings: Settings, builders: Builders, before: Previous | None) -> None:
    """Looks at every bucket, side by side, and tells what it finds.

    Raises:
        pulumi.RunError: a rule or a retention does not go with a dataset that is `strict_retention`, or with how long
            its runs take; nothing has been touched by then.
    """
    known, looks = _sync_await(_read_all(settings, builders, contents.earlier(settings, before)))
    found = findings(settings, known)
    add_contents(found, settings, looks)
    found.tell(f"lifecycle rules of stack {pulumi.get_stack()!r} conflict with its datasets")


def findings(settings: Settings, known: Mapping[str, Read]) -> Findings:
    """What is to be said of a stack's datasets.

    Args:
        settings: the stack's.
        known: what was read, by `DatasourceSpec.place`.
    """
    found = Findings()
    for key, dataset in settings.datasets.items():
        for purpose, cloud in dataset.datasources.items():
            where = f"{key}.{purpose.lower()}.{cloud.cloud}"
            prefix = cloud.datasource.prefix
            found.warnings.extend(f"{where}.prefix: {prefix!r}: {it}: look for a slip" for it in paths.oddities(prefix))
            read = known.get(cloud.datasource.place or "")
            if isinstance(read, retention.RulesUnreadable):
                told = f"{where}: it could not be checked whether something is deleted too early: {read}"
                # No warning: who gives a SAS or a key, and no more, may know no more.
                (found.refusals if dataset.strict_retention else found.remarks).append(told)
            elif read is not None:
                _judge(found, where, purpose, cloud, dataset, read)
        if dataset.retrain_every_run and (days := _kept(dataset.input, known)) is not None:
            found.warnings.append(
                f"{key}.input.{dataset.input.cloud}: inputs are deleted after {days} days, and no model can be trained "
                "on a dataset whose images are gone (retrain_every_run): keep everything"
            )
    return found


def add_contents(found: Findings, settings: Settings, looks: Mapping[str, Look]) -> None:
    """Adds what is to be said of what lies in the Inputs."""
    for key, look in looks.items():
        dataset = settings.datasets[key]
        where = f"{key}.input.{dataset.input.cloud}"
        found.warnings.extend(f"{where}: {it}" for it in contents.warnings(look))
        found.remarks.extend(f"{where}: {it}" for it in contents.remarks(look))
        losses = (f"{where}: {it}" for it in contents.losses(look))
        (found.refusals if dataset.strict_retention else found.warnings).extend(losses)


def _judge(
    found: Findings, where: str, purpose: Purpose, cloud: CloudSpec, dataset: DatasetSpec, rules: Sequence[Rule]
) -> None:
    datasource, now = cloud.datasource, epochs.now()
    problems = retention.problems(rules, purpose, datasource.prefix, now)
    (found.refusals if dataset.strict_retention else found.warnings).extend(
        f"{where}: {it} (change the rule, or let it leave out {datasource.prefix!r})" for it in problems
    )
    found.remarks.extend(f"{where}: {it}" for it in retention.remarks(rules, datasource.prefix))
    run, kept = datasource.expected_run_days, retention.longest(rules, datasource.prefix, now)
    if purpose is Purpose.INPUT and run is not None and kept is not None:
        try:
            retention.check_run(run, kept)
        except ValueError as error:
            found.refusals.append(f"{where}.expected_run_days: {error}")


def _kept(cloud: CloudSpec, known: Mapping[str, Read]) -> int | None:
    """How many days inputs are kept; None for ever, or where it is not known."""
    datasource = cloud.datasource
    if datasource.retention_days is not None:
        return datasource.retention_days
    read = known.get(datasource.place or "")
    if read is None or isinstance(read, retention.RulesUnreadable):
        return None
    return retention.shortest(read, datasource.prefix, epochs.now())


async def _read_all(
    settings: Settings, builders: Builders, before: Mapping[str, Earlier]
) -> tuple[Mapping[str, Read], Mapping[str, Look]]:
    theirs = dict(_places(settings))
    looking = asyncio.ensure_future(contents.look(settings, builders, before))
    answers = await asyncio.gather(*(_read(builders, cloud) for cloud in theirs.values()))
    return dict(zip(theirs, answers, strict=True)), await looking


def _places(settings: Settings) -> Iterator[tuple[str, CloudSpec]]:
    """The buckets of the user's own, each with a datasource in it. What is made here has the rules we give it."""
    clouds = [cloud for dataset in settings.datasets.values() for cloud in dataset.datasources.values()]
    made = {it.datasource.place for it in clouds if it.datasource.makes_lifecycle}
    for cloud in clouds:
        place = cloud.datasource.place
        if place is not None and place not in made:
            yield place, cloud


async def _read(builders: Builders, cloud: CloudSpec) -> Read:
    try:
        return await builders.of(cloud.cloud).lifecycle(cloud.datasource)
    except retention.RulesUnreadable as unread:
        return unread

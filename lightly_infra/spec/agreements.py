"""What the datasets of one stack must agree on: a part of `spec`, which checks each for itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, TypeVar

from lightly_infra import paths
from lightly_infra.lightly import models
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightly_infra.spec.datasets import DatasetSpec
    from lightly_infra.spec.fields import Claim, DatasourceSpec

_Key = TypeVar("_Key")


def check(datasets: Mapping[str, DatasetSpec]) -> None:
    """Checks the datasets of a stack, by their keys in the YAML, against each other.

    Raises:
        ValueError: two of them do not go together; the message names both, and no secret.
    """
    _names_differ(datasets)
    datasources = [
        _Datasource(f"{key}.{purpose.lower()}.{cloud.cloud}", key, purpose, cloud.datasource)
        for key, spec in datasets.items()
        for purpose, cloud in spec.datasources.items()
    ]
    _claims_agree(datasources)
    _lightly_prefixes_lie_apart(datasources)
    _retentions_go_together(datasources)
    for cloud in {type(it.spec) for it in datasources}:
        cloud.check_together([(it.where, it.purpose, it.spec) for it in datasources if type(it.spec) is cloud])


@dataclass(frozen=True)
class _Datasource:
    where: str
    """Its path in the YAML."""
    dataset: str
    purpose: Purpose
    spec: DatasourceSpec


def _names_differ(datasets: Mapping[str, DatasetSpec]) -> None:
    by_slug: dict[str, str] = {}
    by_name: dict[str, str] = {}
    by_id: dict[str, str] = {}
    for key, spec in datasets.items():
        if not paths.slug(key):
            raise ValueError(f"{key!r}: a dataset's key needs a letter or a digit")
        if spec.name is None and spec.id is None:
            models.check_dataset_name(key)
        if other := _taken(by_slug, paths.slug(spec.formerly or key), key):
            raise ValueError(f"{key!r} and {other!r} would name cloud resources alike; change one, or its 'formerly'")
        name = spec.name or (key if spec.id is None else None)
        if name is not None and (other := _taken(by_name, name, key)):
            raise ValueError(f"{key!r} and {other!r} are both called {name!r} at Lightly; change one name")
        if spec.id is not None and (other := _taken(by_id, spec.id, key)):
            raise ValueError(f"{key!r} and {other!r} are both dataset {spec.id}; remove one")


def _taken(known: dict[_Key, str], name: _Key, key: str) -> str | None:
    """Who has the name already, if it is not `key`, which has it from now on."""
    other = known.setdefault(name, key)
    return None if other == key else other


def _claims_agree(datasources: Sequence[_Datasource]) -> None:
    known: dict[tuple[str, ...], tuple[str, Claim]] = {}
    # What is made first: whoever else uses it must agree with it.
    for it in sorted(datasources, key=lambda it: not it.spec.creates):
        for claim in it.spec.claims():
            other, first = known.setdefault(claim.about, (it.where, claim))
            if first.value != claim.value:
                where = f"{it.where}.{claim.field}" if claim.field else it.where
                raise ValueError(f"{where}: {claim.problem.format(other=other, first=first.value)}")


def _lightly_prefixes_lie_apart(datasources: Sequence[_Datasource]) -> None:
    for it, other in _in_one_place(datasources):
        # Within one dataset, `datasets` has looked already.
        if it.dataset == other.dataset or it.purpose is not Purpose.LIGHTLY:
            continue
        # An Input inside another dataset's Lightly prefix is fine: so the crops of one are the Input of the next.
        if paths.contains(other.spec.prefix, it.spec.prefix):
            harm = (
                "what Lightly writes would come in as Input; put it beside"
                if other.purpose is Purpose.INPUT
                else "the datasets would overwrite each other's files; give each a directory of its own"
            )
            raise ValueError(
                f"{it.where}.prefix: {it.spec.prefix!r} lies in {other.where}.prefix {other.spec.prefix!r} of the same "
                f"bucket: {harm}"
            )
        within = paths.contains(it.spec.prefix, other.spec.prefix)
        if other.purpose is Purpose.INPUT and paths.contains(it.spec.reach, other.spec.prefix) and not within:
            raise ValueError(
                f"{it.where}: its credentials reach all of the container, {other.where}.prefix {other.spec.prefix!r} "
                "too: Lightly could change and delete that Input; give each a container of its own"
            )


def _retentions_go_together(datasources: Sequence[_Datasource]) -> None:
    """What expires by one datasource's rule must not be what another keeps."""
    for it, other in _in_one_place(datasources):
        days = it.spec.retention_days
        if days is None or days == other.spec.retention_days:
            continue
        if paths.contains(it.spec.prefix, other.spec.prefix) or paths.contains(other.spec.prefix, it.spec.prefix):
            if other.purpose is not Purpose.INPUT:
                harm = "it would delete what Lightly has written there; give each a directory of its own"
            elif other.spec.retention_days is None:
                harm = "it would delete from an Input that keeps everything; write the same for both, or neither"
            else:
                harm = f"that one says {other.spec.retention_days}, and the shorter holds for both; write the same"
            raise ValueError(
                f"{it.where}.retention_days: {days} days for {it.spec.prefix!r} hold for {other.where}.prefix "
                f"{other.spec.prefix!r} of the same bucket, too: {harm}"
            )


def _in_one_place(datasources: Sequence[_Datasource]) -> Iterator[tuple[_Datasource, _Datasource]]:
    """All pairs, in both orders, of datasources in the same bucket or container."""
    by_place: defaultdict[str, list[_Datasource]] = defaultdict(list)
    for each in datasources:
        if each.spec.place is not None:  # a bucket whose name is generated is nobody else's
            by_place[each.spec.place].append(each)
    yield from (pair for group in by_place.values() for pair in permutations(group, 2))

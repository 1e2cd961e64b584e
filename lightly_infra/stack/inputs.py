"""Which inputs a run would skip: read from the buckets of a deployed stack, as whoever its AWS provider acts as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightly_infra import health, retention
from lightly_infra.clouds.aws import connection, lifecycle
from lightly_infra.retention import RulesUnreadable
from lightly_infra.spec.s3 import S3Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from lightly_infra.retention import Rule, Skipped
    from lightly_infra.stack.settings import Settings


def expiring(
    settings: Settings, outputs: Mapping[str, Any], *, now: datetime, run_days: float | None = None
) -> Iterator[health.Finding]:
    """Of every Input on S3 whose runs have an expected length.

    Args:
        settings: the stack's.
        outputs: the stack's; datasets that are not there yet are left out.
        now: when the run would start.
        run_days: how long runs take; what the YAML says counts for less.

    Raises:
        ValueError: the stack's config names roles to assume that are none, or `run_days` is no length of time.
    """
    acting = connection.Settings.read(settings.config)
    for key, bucket, source in sources(settings, outputs):
        days = source.expected_run_days if run_days is None else run_days
        if days is None:
            continue
        yield health.inputs(key, _skipped(bucket, source, days, acting, now), strategy=source.handling_strategy)


def sources(settings: Settings, outputs: Mapping[str, Any]) -> Iterator[tuple[str, str, S3Spec]]:
    """Every Input on S3 that is deployed: its dataset, its bucket and what the YAML says."""
    deployed = outputs.get("datasets") or {}
    for key, dataset in settings.datasets.items():
        if isinstance(source := dataset.input.datasource, S3Spec) and key in deployed:
            yield key, deployed[key]["input"]["path"].removeprefix("s3://").partition("/")[0], source


def rules(bucket: str, source: S3Spec, acting: connection.Settings, now: datetime) -> list[Rule]:
    """The rules that delete inputs; none where nothing expires. Raises RulesUnreadable."""
    found = lifecycle.read(bucket, source.region, acting)
    return found if retention.shortest(found, source.prefix, now) is not None else []


def _skipped(
    bucket: str, source: S3Spec, days: float, acting: connection.Settings, now: datetime
) -> Skipped | RulesUnreadable | None:
    try:
        if not (found := rules(bucket, source, acting, now)):
            return None
        pages = lifecycle.pages(bucket, source.region, source.prefix, acting)
        listed = (it for page in pages for it in page.objects)
        return retention.skipped(listed, found, expected_run_days=days, now=now)
    except RulesUnreadable as unread:
        return unread

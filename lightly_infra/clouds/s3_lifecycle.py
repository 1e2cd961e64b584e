"""S3's protocol, which Amazon S3 and OBS speak: what the rules of a lifecycle delete, and what a listing holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightly_infra.listing import Page, Stored
from lightly_infra.retention import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Objects that have to be restored before they are read: archives of S3, and of OBS ("Storage classes" of either).
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE", "COLD"})
_LIMITS = ("Tag", "Tags", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


def rules(document: Mapping[str, Any]) -> list[Rule]:
    """The rules that are in force and delete objects or old versions; transitions and unfinished uploads do neither.

    Args:
        document: as boto3's `get_bucket_lifecycle_configuration` gives it.
    """
    return list(_rules(document))


def _rules(document: Mapping[str, Any]) -> Iterator[Rule]:
    for rule in document.get("Rules", []):
        if rule.get("Status") != "Enabled":
            continue
        expiration = rule.get("Expiration", {})
        days, on = expiration.get("Days"), expiration.get("Date")
        old_versions_days = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
        if days is None and on is None and old_versions_days is None:
            continue
        # Several conditions stand in an `And`; the oldest form has the prefix in the rule itself.
        given = rule.get("Filter", {})
        given = given.get("And", given)
        prefix = given.get("Prefix") or rule.get("Prefix") or ""
        partly = any(given.get(it) for it in _LIMITS)
        yield Rule(rule.get("ID", ""), prefix, days, on, old_versions_days, partly)


def page(answer: Mapping[str, Any]) -> Page:
    """A page of a listing, as boto3's `list_objects` and `list_objects_v2` give it."""
    objects = (
        Stored(it["Key"], it["LastModified"], it.get("Size", 0), it.get("StorageClass") in _ARCHIVES)
        for it in answer.get("Contents", [])
        if not it["Key"].endswith("/")
    )
    return Page(tuple(objects), bool(answer.get("IsTruncated")))

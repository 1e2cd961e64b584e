"""What becomes of the objects in a GCS bucket of the user's own: read, and never written."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from lightly_infra import epochs
from lightly_infra.clouds import rest
from lightly_infra.clouds.functions import Refused, ask, unreadable
from lightly_infra.clouds.gcp import policy
from lightly_infra.clouds.gcp.failures import FAILURES
from lightly_infra.listing import PAGE, Listing, Page, Stored, collect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lightly_infra.retention import Rule

_ENDPOINT: Final = "https://storage.googleapis.com"
_EMULATOR: Final = "STORAGE_EMULATOR_HOST"
"""Where Google's own clients go instead, if it is set."""
_FIELDS: Final = "items(name,size,updated),nextPageToken"
_REMEDIES: Final[Mapping[str, str]] = {
    r"does not have storage\.buckets\.get access|storage\.buckets\.get.*denied": (
        "allow storage.buckets.get on the bucket to whoever runs this (roles/storage.legacyBucketReader has it)"
    ),
    r"does not have storage\.objects\.list access|storage\.objects\.list.*denied": (
        "allow storage.objects.list on the bucket to whoever runs this (roles/storage.objectViewer has it)"
    ),
    r"bucket does not exist|notFound": "make the bucket, or look whether its name is right",
    **FAILURES,
}


async def read(bucket: str, project: str) -> list[Rule]:
    """The rules in force on the bucket that delete something; none where it has no lifecycle.

    It is asked by the stack's own provider, with all that the stack's config says of that.

    Args:
        bucket: its name.
        project: the id of the project that it lies in.

    Raises:
        RulesUnreadable: the message says why, and what to do. It takes `storage.buckets.get` on the bucket.
    """
    found = await ask("gcp:storage/getBucket:getBucket", {"name": bucket, "project": project}, "pulumi_gcp")
    if isinstance(found, Refused):
        otherwise = "look whether whoever runs this has storage.buckets.get on the bucket"
        raise unreadable(f"the lifecycle of bucket {bucket!r}", found, _REMEDIES, otherwise)
    return policy.rules(found.get("lifecycleRules") or (), today=epochs.today())


async def objects(bucket: str, prefix: str, most: int) -> Listing:
    """The first objects under the prefix; not those that stand for directories.

    The provider's own `getBucketObjects` reads all pages, however many there are; so it is asked only who it acts as.

    Args:
        bucket: its name.
        prefix: normalised; empty for the whole bucket.
        most: how many pages are read, one call each.

    Raises:
        RulesUnreadable: the message says why, and what to do. It takes `storage.objects.list` on the bucket.
    """
    what = f"what lies under {prefix!r} in bucket {bucket!r}"
    otherwise = "look whether whoever runs this has storage.objects.list on the bucket"
    acting = await ask("gcp:organizations/getClientConfig:getClientConfig", {}, "pulumi_gcp")
    if isinstance(acting, Refused):
        raise unreadable(what, acting, _REMEDIES, otherwise)
    token = str(acting.get("accessToken"))
    try:
        return await asyncio.to_thread(lambda: collect(_pages(bucket, prefix, token), most))
    except rest.Unanswered as error:
        said = Refused(str(error))
    raise unreadable(what, said, _REMEDIES, otherwise, [token])


def endpoint() -> str:
    """Where Cloud Storage is."""
    return os.environ.get(_EMULATOR) or _ENDPOINT


def _pages(bucket: str, prefix: str, token: str) -> Iterator[Page]:
    url = f"{endpoint()}/storage/v1/b/{quote(bucket, safe='')}/o"
    params = {"prefix": prefix, "maxResults": str(PAGE), "fields": _FIELDS}
    with rest.Rest(url) as api:
        while True:
            answer = json.loads(api.get(f"{url}?{urlencode(params)}", {"Authorization": f"Bearer {token}"}))
            following = answer.get("nextPageToken")
            yield Page(tuple(map(_stored, _objects(answer))), bool(following))
            if not following:
                return
            params["pageToken"] = following


def _objects(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (it for it in answer.get("items", ()) if not it["name"].endswith("/"))


def _stored(found: Mapping[str, Any]) -> Stored:
    # Every class of Google Cloud can be read at once, its archive too ("Storage classes").
    return Stored(found["name"], datetime.fromisoformat(found["updated"]), int(found.get("size", 0)))

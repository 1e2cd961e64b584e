"""What becomes of the objects in a GCS bucket of the user's own: read, and never written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra import epochs
from lightly_infra.clouds.functions import Refused, ask, unreadable
from lightly_infra.clouds.gcp import policy
from lightly_infra.clouds.gcp.failures import FAILURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.retention import Rule

_REMEDIES: Final[Mapping[str, str]] = {
    r"does not have storage\.buckets\.get access|storage\.buckets\.get.*denied": (
        "allow storage.buckets.get on the bucket to whoever runs this (roles/storage.legacyBucketReader has it)"
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

"""What becomes of the objects in a GCS bucket of the user's own: read, and never written."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import pulumi

from lightly_infra import epochs
from lightly_infra.clouds.gcp import policy
from lightly_infra.clouds.gcp.failures import FAILURES
from lightly_infra.component import remedy_for
from lightly_infra.lightly.redaction import one_line, redact
from lightly_infra.retention import RulesUnreadable

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
    opts = pulumi.InvokeOptions(version=version("pulumi_gcp"))
    asked = {"name": bucket, "project": project}
    try:
        found: Mapping[str, Any] = await pulumi.runtime.invoke_async("gcp:storage/getBucket:getBucket", asked, opts)
    except Exception as error:  # noqa: BLE001 - the SDK raises nothing finer
        said = one_line(redact(str(error))).rstrip(".")
    else:
        return policy.rules(found.get("lifecycleRules") or (), today=epochs.today())
    remedy = remedy_for(said, _REMEDIES) or "look whether whoever runs this has storage.buckets.get on the bucket"
    # Not from what the SDK raised, whose words are not redacted.
    raise RulesUnreadable(f"could not read the lifecycle of bucket {bucket!r}: {said}: {remedy}")

"""What becomes of the objects in an OBS bucket of the user's own: read, and never written. Free of Pulumi."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.api import Obs
from lightly_infra.clouds.obs.errors import REMEDIES, ObsError
from lightly_infra.retention import RulesUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.clouds.obs.connection import Server, Settings
    from lightly_infra.listing import Page
    from lightly_infra.retention import Rule


def read(bucket: str, server: Server, settings: Settings) -> list[Rule]:
    """The rules in force on the bucket that delete something; none where it has no lifecycle.

    Args:
        bucket: its name.
        server: how it is reached.
        settings: who asks, and not Lightly; needs `GetLifecycleConfiguration` on the bucket.

    Raises:
        RulesUnreadable: the message says why, and what to do.
    """
    try:
        with closing(Obs(server, settings)) as obs:
            rules = obs.lifecycle(bucket)
    except ObsError as error:
        # From None: what lies below may hold what the message leaves out.
        raise RulesUnreadable(str(error)) from None
    if rules is None:
        raise RulesUnreadable(
            f"could not read the lifecycle: there is no OBS bucket {bucket!r}: {REMEDIES['NoSuchBucket']}"
        )
    return policy.rules({"Rules": rules})


def pages(bucket: str, prefix: str, server: Server, settings: Settings) -> Iterator[Page]:
    """The objects under the prefix, page by page: one call each.

    Args:
        bucket: its name.
        prefix: normalised (`lightly_infra.paths`); empty for the whole bucket.
        server: how it is reached.
        settings: who asks, and not Lightly; needs `ListBucket` on the bucket.

    Raises:
        RulesUnreadable: the message says why, and what to do.
    """
    try:
        with closing(Obs(server, settings)) as obs:
            yield from obs.pages(bucket, prefix)
    except ObsError as error:
        # From None: what lies below may hold what the message leaves out.
        raise RulesUnreadable(str(error)) from None

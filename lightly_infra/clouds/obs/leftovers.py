"""What carries a stack's tags on OBS and its state does not know: buckets, for no identity is made there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.clouds import s3_leftovers
from lightly_infra.clouds.obs import connection
from lightly_infra.clouds.obs.errors import ObsError, told
from lightly_infra.leftovers import CannotListError

if TYPE_CHECKING:
    from lightly_infra.leftovers import Known, Leftover


def find(server: connection.Server, settings: connection.Settings, known: Known) -> list[Leftover]:
    """Buckets.

    Args:
        server: Where they are.
        settings: Who asks.
        known: What the stack's state knows.

    Raises:
        CannotListError: There are no keys, or OBS refuses or cannot be reached.
    """
    secrets = [settings.secret_access_key] if settings.secret_access_key else []
    try:
        with told("list buckets", server.endpoint, secrets):
            return list(s3_leftovers.buckets(connection.connect(server, settings), "OBS bucket", known))
    except ObsError as error:
        raise CannotListError(str(error)) from None

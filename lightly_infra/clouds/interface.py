"""What every cloud's datasource component gives to `lightly_infra.dataset`: one interface, whatever the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightly_infra.component import Component

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from lightly_infra.permissions import Purpose


@dataclass(frozen=True)
class Credential:
    """What is to be known of what Lightly gets in with, without its value."""

    kind: str
    """`role`, `access key`, `SAS` or `service account key`."""

    created: pulumi.Input[str | None] = None
    """When it was made, or of a SAS, from when it is valid, as `2026-11-25T00:00:00Z`; None where nobody knows."""

    expires: pulumi.Input[str | None] = None
    """When it stops working by itself, in the same form; None if it does not, or nobody knows."""

    epoch: int | None = None
    """The epoch it belongs to (`lightly_infra.epochs`), or of a role, how often its external id was renewed; None if it
    is, or was, never renewed here."""

    rotate_every_days: int | None = None
    """How long an epoch is."""

    signed_with: str | None = None
    """Of a SAS: which of the account's keys signed it."""


class CloudDatasource(Component):
    """Storage, a prefix in it, and the way Lightly gets in. Depending on it waits until access is granted."""

    purpose: Purpose
    """What Lightly uses it for."""

    path: pulumi.Output[str]
    """The resource path, such as `s3://acme-raw/street-scenes/`."""

    config: Mapping[str, pulumi.Input[Any]]
    """What Lightly is told: the fields of a `lightly_infra.lightly.models` datasource, secrets marked."""

    identity: Mapping[str, pulumi.Output[str]]
    """Who Lightly is in this cloud, such as the role's ARN; nothing secret."""

    secrets: Mapping[str, pulumi.Output[str]]
    """The secrets Lightly was given; each one is marked."""

    credential: Credential
    """What is to be known of these secrets."""

    granted: pulumi.Output[str]
    """What Lightly was granted, in the cloud's own words; when it changes, the permissions are proved anew."""

    verifiable: bool
    """Whether Lightly's own servers can reach the data; not when access is limited to source addresses."""

    settles: float = 120.0
    """Seconds that the cloud may take, by its own documentation, until what was granted works. Where that says nothing
    it is `operations.VERIFY_DEADLINE`, which is not imported: it would load an HTTP client."""

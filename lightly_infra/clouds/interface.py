"""What every cloud's datasource component gives to `lightly_infra.dataset`: one interface, whatever the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightly_infra.component import Component

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from lightly_infra.permissions import Purpose


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

    granted: pulumi.Output[str]
    """What Lightly was granted, in the cloud's own words; when it changes, the permissions are proved anew."""

    verifiable: bool
    """Whether Lightly's own servers can reach the data; not when access is limited to source addresses."""

    settles: float = 120.0
    """Seconds that the cloud may take, by its own documentation, until what was granted works. Where that says nothing
    it is `operations.VERIFY_DEADLINE`, which is not imported: it would load an HTTP client."""

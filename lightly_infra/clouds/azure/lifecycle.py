"""What becomes of the blobs in a container of the user's own: read, and never written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra.clouds.azure import policy
from lightly_infra.clouds.azure.failures import FAILURES
from lightly_infra.clouds.functions import Refused, ask, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.retention import Rule

_ACTION: Final = "Microsoft.Storage/storageAccounts/managementPolicies/read"
_REMEDIES: Final[Mapping[str, str]] = {
    r"AuthorizationFailed": (
        f"allow {_ACTION} on the storage account to whoever runs this (the role 'Reader' has it); a new role takes "
        "some minutes"
    ),
    **FAILURES,
}

_NO_POLICY: Final = "ManagementPolicyNotFound"
"""What Azure answers of an account that has none."""


async def read(account: str, container: str, resource_group: str) -> list[Rule]:
    """The rules in force on the container that delete something; none where its account has no management policy.

    It is asked by the stack's own provider, with all that the stack's config says of that.

    Args:
        account: the storage account.
        container: the container in it, of which an account's policy is one among all.
        resource_group: the account's.

    Raises:
        RulesUnreadable: the message says why, and what to do. It takes
            `Microsoft.Storage/storageAccounts/managementPolicies/read` on the account.
    """
    asked = {"accountName": account, "resourceGroupName": resource_group, "managementPolicyName": "default"}
    found = await ask("azure-native:storage:getManagementPolicy", asked, "pulumi_azure_native")
    if isinstance(found, Refused):
        if _NO_POLICY in found.said:
            return []
        otherwise = f"look whether whoever runs this has {_ACTION}"
        raise unreadable(f"the management policy of storage account {account!r}", found, _REMEDIES, otherwise)
    return policy.rules((found.get("policy") or {}).get("rules") or (), container)

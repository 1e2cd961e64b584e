"""The emulated `azure-native` provider: the resource types and functions that this project uses.

It acts on the emulated Azure Resource Manager, honours what it declares and refuses the rest by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox.azure import accounts, containers
from lightly_infra.sandbox.azure.session import RandomNaming, Session, is_gone
from lightly_infra.sandbox.resource_provider import ResourceProvider

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lightly_infra.sandbox.resource_type import Properties, ResourceType

_TYPES: Final = (
    accounts.ResourceGroup,
    accounts.StorageAccount,
    containers.Blob,
    containers.BlobContainer,
    containers.BlobServiceProperties,
    containers.ManagementPolicy,
)
# Who the real provider is and where it goes: without meaning here, so that a real stack's configuration can stay.
_WITHOUT_MEANING: Final = frozenset(
    {
        "auxiliaryTenantIds",
        "clientId",
        "clientSecret",
        "disablePulumiPartnerId",
        "environment",
        "metadataHost",
        "partnerId",
        "subscriptionId",
        "tenantId",
        "useMsi",
        "useOidc",
    }
)
_OF_ACCOUNT: Final = frozenset({"accountName", "resourceGroupName"})
# What a SAS is asked for with: the argument's name, and ARM's.
_SAS: Final = {
    "canonicalizedResource": "canonicalizedResource",
    "keyToSign": "keyToSign",
    "permissions": "signedPermission",
    "protocols": "signedProtocol",
    "resource": "signedResource",
    "sharedAccessExpiryTime": "signedExpiry",
    "sharedAccessStartTime": "signedStart",
}


class AzureNativeProvider(ResourceProvider):
    """Build it with the environment: see `session.Session`.

    As from the real one, the keys and the SAS that the functions return are not marked secret.
    """

    package = "azure-native"
    sdk = "pulumi-azure-native"
    settings = frozenset({"location", *_WITHOUT_MEANING})

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__()
        self._session = Session(env)
        self.add_types(*(one(self._session) for one in _TYPES))
        self.functions = {
            "azure-native:storage:getStorageAccount": (_OF_ACCOUNT, self._account),
            "azure-native:storage:getManagementPolicy": (_OF_ACCOUNT | {"managementPolicyName"}, self._policy),
            "azure-native:storage:listStorageAccountKeys": (_OF_ACCOUNT, self._keys),
            "azure-native:storage:listStorageAccountServiceSAS": (_OF_ACCOUNT | _SAS.keys(), self._sas),
        }

    def deletes_first(self, kind: ResourceType, news: Properties, defaults: Collection[str]) -> bool:  # noqa: ARG002
        """Always, but for what has a random name (`Diff` in azure-native's provider.go)."""
        return not (isinstance(kind.naming, RandomNaming) and kind.naming.name in defaults)

    def configure(self, config: Properties) -> None:
        """Take over the location."""
        self._session.location = config.get("location") or ""

    def is_gone(self, error: Exception) -> bool:
        """Azure answers 404."""
        return is_gone(error)

    def _account(self, args: Properties) -> Properties:
        found = self._session.call("GET", self._session.account_id(args))
        return accounts.account_outputs(found) | {"id": found["id"]}

    def _policy(self, args: Properties) -> Properties:
        name = args.get("managementPolicyName", "default")
        found = self._session.call("GET", f"{self._session.account_id(args)}/managementPolicies/{name}")
        return {**found["properties"], "id": found["id"], "name": found["name"], "type": found["type"]}

    def _keys(self, args: Properties) -> Properties:
        return self._session.call("POST", f"{self._session.account_id(args)}/listKeys")

    def _sas(self, args: Properties) -> Properties:
        body = {api: args[name] for name, api in _SAS.items() if name in args}
        return self._session.call("POST", f"{self._session.account_id(args)}/listServiceSas", body)

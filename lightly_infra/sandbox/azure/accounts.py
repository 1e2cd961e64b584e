"""Emulated resource groups and storage accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from lightly_infra.sandbox.azure.session import GROUP, RESOURCES, TAGS, AzureType, RandomNaming
from lightly_infra.sandbox.resource_type import Input, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.sandbox.resource_type import Properties

# The properties of an account, by the input's name; ARM's own name where that differs.
_PROPERTIES: Final = {
    "accessTier": "accessTier",
    "allowBlobPublicAccess": "allowBlobPublicAccess",
    "allowCrossTenantReplication": "allowCrossTenantReplication",
    "allowSharedKeyAccess": "allowSharedKeyAccess",
    "enableHttpsTrafficOnly": "supportsHttpsTrafficOnly",
    "isHnsEnabled": "isHnsEnabled",
    "minimumTlsVersion": "minimumTlsVersion",
    "publicNetworkAccess": "publicNetworkAccess",
}


class ResourceGroup(AzureType):
    """A resource group. Deleting one deletes everything in it, as in Azure; the real provider asks nobody either."""

    type_name = "azure-native:resources:ResourceGroup"
    naming = RandomNaming(90, name="resourceGroupName")
    inputs: ClassVar[Mapping[str, Input]] = {
        "location": Input(required=True, replaces=True),
        "resourceGroupName": Input(replaces=True, computed=True),
        "tags": TAGS,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Make the group."""
        resource_id = self.session.group_id(inputs["resourceGroupName"])
        self.session.refuse_existing(resource_id, version=RESOURCES)
        return resource_id, self.update(resource_id, {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id says it all
        """The group as it is."""
        return _group(self.session.call("GET", resource_id, version=RESOURCES))

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Change the tags."""
        body = {"location": inputs["location"], "tags": inputs.get("tags") or {}}
        return inputs | _group(self.session.call("PUT", resource_id, body, version=RESOURCES))

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Delete the group and everything in it."""
        self.session.call("DELETE", resource_id, version=RESOURCES)


class StorageAccount(AzureType):
    """A storage account. Deleting one deletes all its containers, as in Azure.

    An automatic name is not made to fit: a logical name with a hyphen or a capital gives one that Azure refuses.
    """

    type_name = "azure-native:storage:StorageAccount"
    naming = RandomNaming(24, name="accountName")
    inputs: ClassVar[Mapping[str, Input]] = {
        "accountName": Input(replaces=True, computed=True),
        "kind": Input(required=True),
        "location": Input(replaces=True, computed=True),
        "resourceGroupName": GROUP,
        "sku": Input(required=True, shape=Shape({"name": "name"})),
        "tags": TAGS,
        **{name: Input(replaces=name == "isHnsEnabled", computed=True) for name in _PROPERTIES},
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Make the account."""
        resource_id = self.session.account_id(inputs)
        self.session.refuse_existing(resource_id)
        return resource_id, self.update(resource_id, {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id says it all
        """The account as it is."""
        return account_outputs(self.session.call("GET", resource_id))

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Change what the inputs say; what they no longer say stays, as in Azure."""
        # Without one it is where its group is.
        group = self.session.group_id(inputs["resourceGroupName"])
        location = inputs.get("location") or self.session.call("GET", group, version=RESOURCES)["location"]
        body = {
            "kind": inputs["kind"],
            "sku": inputs["sku"],
            "location": location,
            "tags": inputs.get("tags") or {},
            "properties": {api: inputs[name] for name, api in _PROPERTIES.items() if inputs.get(name) is not None},
        }
        return inputs | account_outputs(self.session.call("PUT", resource_id, body))

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Delete the account and all its containers."""
        self.session.call("DELETE", resource_id)


def account_outputs(found: Properties) -> Properties:
    """An account as the SDK shows it."""
    live, same = found["properties"], ("creationTime", "primaryEndpoints", "primaryLocation", "provisioningState")
    return {
        "accountName": found["name"],
        "azureApiVersion": "2024-01-01",
        "kind": found["kind"],
        "location": found["location"],
        "name": found["name"],
        "resourceGroupName": found["id"].split("/")[4],
        "sku": found["sku"],
        "statusOfPrimary": live["statusOfPrimary"],
        "tags": found["tags"],
        "type": found["type"],
        **{name: live[name] for name in same},
        **{name: live[api] for name, api in _PROPERTIES.items() if api in live},
    }


def _group(found: Properties) -> Properties:
    return {
        "azureApiVersion": RESOURCES,
        "location": found["location"],
        "name": found["name"],
        "properties": found["properties"],
        "resourceGroupName": found["name"],
        "tags": found["tags"],
        "type": found["type"],
    }

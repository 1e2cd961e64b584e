"""What the emulated Azure Resource Manager keeps of a resource group and of a storage account."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox.azure.arm_values import ArmError, now

if TYPE_CHECKING:
    from lightly_infra.sandbox.azure.arm_values import Body

SUBSCRIPTION: Final = "00000000-0000-4000-8000-000000000000"

# What an account is when no request says; None is what Azure says nothing about. Nothing else can be said.
ACCOUNT: Final[Body] = {
    "accessTier": "Hot",
    "allowBlobPublicAccess": False,
    "allowCrossTenantReplication": False,
    "allowSharedKeyAccess": None,  # which means yes
    "isHnsEnabled": None,
    "minimumTlsVersion": "TLS1_0",
    "publicNetworkAccess": None,
    "supportsHttpsTrafficOnly": True,
}
BLOB_SERVICE: Final[Body] = {
    "containerDeleteRetentionPolicy": {"enabled": False},
    "deleteRetentionPolicy": {"enabled": False},
    "isVersioningEnabled": False,
}


def new_key() -> str:
    """A fresh account key, as long as Azure's."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


@dataclass
class Group:
    """A resource group."""

    name: str
    location: str
    tags: dict[str, str]


@dataclass
class Account:
    """A storage account; its containers are Azurite's."""

    name: str
    group: Group
    location: str
    kind: str = ""
    sku: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    properties: Body = field(default_factory=lambda: dict(ACCOUNT))
    blob_service: Body = field(default_factory=lambda: dict(BLOB_SERVICE))
    policy: Body | None = None
    created: str = field(default_factory=now)
    keys: dict[str, str] = field(default_factory=lambda: {"key1": new_key(), "key2": new_key()}, repr=False)
    # The one key that Azurite lets in when the account lets in none of its own; only we have it.
    hidden_key: str = field(default_factory=new_key, repr=False)

    def check_change(self, group: Group, location: str, properties: Body) -> None:
        """Refuses what an account has to be made anew for."""
        directories = bool(self.properties["isHnsEnabled"])
        if self.group is not group:
            raise ArmError(
                409,
                "StorageAccountInAnotherResourceGroup",
                f"The account {self.name} is already in another resource group in this subscription.",
            )
        if self.location != location:
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{self.name}' already exists in location '{self.location}' in resource group "
                f"'{group.name}'.",
            )
        if bool(properties.get("isHnsEnabled", directories)) != directories:
            raise ArmError(
                409,
                "AccountPropertyCannotBeUpdated",
                "The property 'isHnsEnabled' was specified in the input, but it cannot be updated.",
            )

    @property
    def keys_count(self) -> bool:
        """Whether requests that are signed with the account's keys are let in."""
        return self.properties["allowSharedKeyAccess"] is not False

    @property
    def id(self) -> str:
        """Its ARM id."""
        return f"{group_id(self.group.name)}/providers/Microsoft.Storage/storageAccounts/{self.name}"


def group_id(name: str) -> str:
    """The ARM id of a resource group."""
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"

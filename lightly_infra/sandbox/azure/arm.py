"""An emulated Azure Resource Manager: what it holds and what it refuses; `arm_server.py` puts it behind HTTP.

Codes and words of refusals are Azure's. As in Azure, deleting a resource group, an account or a container deletes all
that is in it, whoever put it there. Containers are Azurite's. What it does not do: soft delete and lifecycle rules (it
keeps them, and nothing follows from them), hierarchical namespaces (an account says that it has one, its blobs stay
flat), role assignments (who has the token may do everything), public access.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from azure.core.exceptions import HttpResponseError, ResourceExistsError

from lightly_infra.sandbox.azure import arm_values as values
from lightly_infra.sandbox.azure import lifecycle
from lightly_infra.sandbox.azure.arm_model import ACCOUNT, BLOB_SERVICE, Account, Group, group_id, new_key
from lightly_infra.sandbox.azure.arm_values import ArmError
from lightly_infra.sandbox.azure.blobs import code_of, first_line, service_client
from lightly_infra.sandbox.azure.sas import PERMISSIONS, service_sas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.storage.blob import ContainerClient

    from lightly_infra.sandbox.azure.arm_values import Body
    from lightly_infra.sandbox.azure.azurite import Azurite


class Arm:
    """One subscription. One thread at a time: `arm_server.ArmServer` sees to that.

    Attributes:
        taken: Names of accounts that somebody else in the world has.
    """

    def __init__(self, azurite: Azurite) -> None:
        self._azurite = azurite
        self._groups: dict[str, Group] = {}
        self._accounts: dict[str, Account] = {}
        self.taken: set[str] = set()

    def put_group(self, name: str, body: Body) -> Body:
        """Makes a resource group, or changes its tags."""
        values.check_group_name(name)
        location = values.location_of(body)
        group = self._groups.setdefault(name.lower(), Group(name, location, {}))
        if group.location != location:
            raise ArmError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{location}'. The Resource group already exists in location "
                f"'{group.location}'.",
            )
        group.tags = dict(body.get("tags") or {})
        return self.group(name)

    def group(self, name: str) -> Body:
        """A resource group."""
        group = self._group(name)
        return {
            "id": group_id(group.name),
            "name": group.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": group.location,
            "tags": group.tags,
            "properties": {"provisioningState": "Succeeded"},
        }

    def delete_group(self, name: str) -> None:
        """Deletes a resource group and everything in it."""
        group = self._group(name)
        for account in [it.name for it in self._accounts.values() if it.group is group]:
            self.delete_account(name, account)
        del self._groups[name.lower()]

    def put_account(self, group: str, name: str, body: Body) -> Body:
        """Makes a storage account, or changes one: what the body does not say stays as it is."""
        owner = self._group(group)
        values.check_account_name(name)
        values.check_account(body)
        given = {key: value for key, value in (body.get("properties") or {}).items() if value is not None}
        if unknown := sorted(given.keys() - ACCOUNT.keys()):
            raise ArmError(501, "NotEmulated", f"the emulator does not know the properties {', '.join(unknown)}")
        if name in self.taken:
            raise ArmError(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")
        location = values.location_of(body)
        account = self._accounts.get(name)
        if account is None:
            account = Account(name, owner, location)
        else:
            account.check_change(owner, location, given)
        account.kind, account.sku = body["kind"], body["sku"]["name"]
        account.tags = dict(body.get("tags") or {})
        account.properties |= given
        self._accounts[name] = account
        self._tell_azurite()
        return self.account(group, name)

    def account(self, group: str, name: str) -> Body:
        """A storage account, without its keys."""
        account = self._account(group, name)
        return {
            "id": account.id,
            "name": name,
            "type": "Microsoft.Storage/storageAccounts",
            "location": account.location,
            "kind": account.kind,
            "sku": {"name": account.sku},
            "tags": account.tags,
            "properties": {
                **{key: value for key, value in account.properties.items() if value is not None},
                "creationTime": account.created,
                "primaryEndpoints": {"blob": f"{self._azurite.account_url(name)}/"},
                "primaryLocation": account.location,
                "provisioningState": "Succeeded",
                "statusOfPrimary": "available",
            },
        }

    def delete_account(self, group: str, name: str) -> None:
        """Deletes a storage account and all its containers. One that is not there is no error."""
        if name not in self._accounts:
            return
        account = self._account(group, name)
        with service_client(self.account_url(name), self.data_key(name), self.ca_bundle) as service:
            for container in list(service.list_containers()):
                service.delete_container(container.name)
        del self._accounts[account.name]
        self._tell_azurite()

    def keys(self, group: str, name: str) -> Body:
        """An account's two keys."""
        account = self._account(group, name)
        return {
            "keys": [
                {"creationTime": account.created, "keyName": key, "value": value, "permissions": "FULL"}
                for key, value in account.keys.items()
            ]
        }

    def regenerate_key(self, group: str, name: str, body: Body) -> Body:
        """Puts a new key in the place of one: what was signed with that is void."""
        if body.get("keyName") not in self._account(group, name).keys:
            raise values.invalid("keyName")
        self.new_key(name, body["keyName"])
        return self.keys(group, name)

    def service_sas(self, group: str, name: str, body: Body) -> Body:
        """Signs a SAS for one container; nothing else, a directory for instance, can be signed for.

        Where the request names no start, Azure writes the present moment into the token, and so do we: two such
        requests give two tokens.
        """
        account = self._account(group, name)
        resource = re.fullmatch(r"/blob/([^/]+)/([^/]+)", str(body.get("canonicalizedResource")))
        permissions = str(body.get("signedPermission") or "")
        protocol, key = body.get("signedProtocol") or "", body.get("keyToSign") or "key1"
        start, expiry = values.moment(body.get("signedStart") or values.now()), values.moment(body.get("signedExpiry"))
        wrong = {
            "signedResource": body.get("signedResource") != "c",
            "canonicalizedResource": resource is None or resource[1] != name,
            "signedPermission": permissions != "".join(it for it in PERMISSIONS if it in permissions)
            or not permissions,
            "signedProtocol": protocol not in {"", "https", "https,http"},
            "keyToSign": key not in account.keys,
            "signedStart": start is None,
            "signedExpiry": expiry is None,
        }
        if any(wrong.values()) or resource is None or start is None or expiry is None:
            raise values.invalid(*(field for field, is_wrong in wrong.items() if is_wrong))
        if not account.keys_count:
            raise ArmError(
                403,
                "KeyBasedAuthenticationNotPermitted",
                "Key based authentication is not permitted on this storage account.",
            )
        signing = account.keys[key]
        token = service_sas(
            name, resource[2], signing, permissions=permissions, expiry=expiry, start=start, protocol=protocol
        )
        return {"serviceSasToken": token}

    def put_blob_service(self, group: str, name: str, body: Body) -> Body:
        """Sets soft delete and versioning; what the body does not say is off."""
        account = self._account(group, name)
        given = {key: value for key, value in (body.get("properties") or {}).items() if value is not None}
        for policy in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
            values.check_soft_delete(given.get(policy) or {})
        if given.get("isVersioningEnabled") and account.properties["isHnsEnabled"]:
            raise ArmError(
                409,
                "FeatureNotSupportedForAccount",
                "Blob versioning is not supported for accounts with a hierarchical namespace.",
            )
        account.blob_service = BLOB_SERVICE | {key: given[key] for key in BLOB_SERVICE if key in given}
        return self.blob_service(group, name)

    def blob_service(self, group: str, name: str) -> Body:
        """Soft delete and versioning."""
        account = self._account(group, name)
        return _child(account, "blobServices", "blobServices/default", account.blob_service)

    def put_policy(self, group: str, name: str, body: Body) -> Body:
        """Sets the account's one document of lifecycle rules."""
        account = self._account(group, name)
        policy = (body.get("properties") or {}).get("policy")
        lifecycle.check(policy)
        account.policy = {"policy": policy, "lastModifiedTime": values.now()}
        return self.policy(group, name)

    def policy(self, group: str, name: str) -> Body:
        """The lifecycle rules."""
        account = self._account(group, name)
        if account.policy is None:
            raise ArmError(404, "ManagementPolicyNotFound", f"No ManagementPolicy found for account {name}")
        return _child(account, "managementPolicies", "managementPolicies/default", account.policy)

    def delete_policy(self, group: str, name: str) -> None:
        """Removes the lifecycle rules."""
        self._account(group, name).policy = None

    def another_policy(self, group: str, name: str, policy: str) -> NoReturn:
        """There is one of an account, and it is called `default`."""
        account = self._account(group, name)
        raise ArmError(
            404, "HttpResourceNotFound", f"The request url {account.id}/managementPolicies/{policy} is not found."
        )

    def put_container(self, group: str, name: str, container: str, body: Body) -> Body:
        """Makes a container, or changes its metadata."""
        values.check_container_name(container)
        properties = body.get("properties") or {}
        if properties.get("publicAccess") not in {None, "None"}:
            raise ArmError(409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account.")
        metadata = dict(properties.get("metadata") or {})
        with self._container(group, name, container) as client:
            try:
                client.create_container(metadata=metadata)
            except ResourceExistsError:
                client.set_container_metadata(metadata)
        return self.container(group, name, container)

    def container(self, group: str, name: str, container: str) -> Body:
        """A container."""
        with self._container(group, name, container) as client:
            found = client.get_container_properties()
        properties = {
            "deleted": False,
            "hasImmutabilityPolicy": False,
            "hasLegalHold": False,
            "lastModifiedTime": found.last_modified.isoformat(),
            "leaseState": "Available",
            "leaseStatus": "Unlocked",
            "metadata": dict(found.metadata),
            "publicAccess": "None",
        }
        account = self._account(group, name)
        path = f"blobServices/default/containers/{container}"
        return _child(account, "blobServices/containers", path, properties) | {"etag": found.etag}

    def delete_container(self, group: str, name: str, container: str) -> None:
        """Deletes a container and all blobs in it."""
        with self._container(group, name, container) as client:
            client.delete_container()

    @property
    def accounts(self) -> frozenset[str]:
        """The names of all storage accounts."""
        return frozenset(self._accounts)

    @property
    def ca_bundle(self) -> str:
        """The PEM file that the blob endpoints' certificates are checked against."""
        return self._azurite.ca_bundle

    def account_url(self, name: str) -> str:
        """The blob endpoint of an account."""
        return self._azurite.account_url(name)

    def signing_key(self, name: str, key: str = "key1") -> str:
        """A key of an account, as its owner knows it."""
        return self._accounts[name].keys[key]

    def new_key(self, name: str, key: str) -> None:
        """Puts a new key in the place of `key1` or `key2`."""
        self._accounts[name].keys[key] = new_key()
        self._tell_azurite()

    def data_key(self, name: str) -> str:
        """A key that lets us in whatever the account says."""
        account = self._accounts[name]
        return account.keys["key1"] if account.keys_count else account.hidden_key

    def have_group(self, name: str, location: str) -> None:
        """Has a resource group there that somebody made before; one that is there already stays as it is."""
        if name.lower() not in self._groups:
            self.put_group(name, {"location": location})

    def have_account(self, group: str, name: str) -> None:
        """Has a storage account there that somebody made before; one that is in another group is moved."""
        owner = self._group(group)
        if name in self._accounts:
            self._accounts[name].group = owner
        else:
            body = {"location": owner.location, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
            self.put_account(group, name, body)

    def have_container(self, name: str, container: str) -> None:
        """Has a container there; one that is there already stays as it is."""
        group = self._accounts[name].group.name
        try:
            self.container(group, name, container)
        except ArmError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            self.put_container(group, name, container, {})

    def have_rules(self, name: str, rules: list[Body]) -> None:
        """Has an account with these lifecycle rules."""
        self.put_policy(self._accounts[name].group.name, name, {"properties": {"policy": {"rules": rules}}})

    def rules(self, name: str) -> list[Body]:
        """The lifecycle rules of an account; none where it has no policy."""
        policy = self._accounts[name].policy
        return list(policy["policy"]["rules"]) if policy else []

    @contextmanager
    def _container(self, group: str, name: str, container: str) -> Iterator[ContainerClient]:
        """A client of a container; what Azurite refuses, ARM refuses in the same words."""
        self._account(group, name)
        with service_client(self.account_url(name), self.data_key(name), self.ca_bundle) as service:
            try:
                yield service.get_container_client(container)
            except HttpResponseError as error:
                raise ArmError(error.status_code or 500, code_of(error), first_line(error.message)) from error

    def _tell_azurite(self) -> None:
        self._azurite.set_accounts(
            {it.name: list(it.keys.values()) if it.keys_count else [it.hidden_key] for it in self._accounts.values()}
        )

    def _group(self, name: str) -> Group:
        if name.lower() not in self._groups:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return self._groups[name.lower()]

    def _account(self, group: str, name: str) -> Account:
        owner, account = self._group(group), self._accounts.get(name)
        if account is None or account.group is not owner:
            raise ArmError(
                404,
                "ResourceNotFound",
                f"The Resource 'Microsoft.Storage/storageAccounts/{name}' under resource group '{group}' was not "
                "found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            )
        return account


def _child(account: Account, kind: str, path: str, properties: Body) -> Body:
    return {
        "id": f"{account.id}/{path}",
        "name": path.rpartition("/")[2],
        "type": f"Microsoft.Storage/storageAccounts/{kind}",
        "properties": dict(properties),
    }

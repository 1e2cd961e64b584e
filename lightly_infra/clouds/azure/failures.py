"""What Azure says when something cannot be made or signed, and what to do then.

The codes are Azure's own; `lightly_infra.component` says the remedy beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra.component import TAKE_OVER

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED_KEYS_NEEDED: Final = (
    "the storage account has shared key access disabled, and a SAS that lives longer than seven days is signed with an "
    "account key: allow it (`az storage account update --name ACCOUNT --resource-group GROUP --allow-shared-key-access "
    "true`), use an account that allows it, or bring a user delegation SAS of your own as sas_token"
)
"""Seven days are the limit of the other kind, the user delegation SAS ("Create a user delegation SAS")."""

NAMESPACE_NEEDED: Final = (
    "directory_sas needs real directories, and the storage account has no hierarchical namespace: use one that has it, "
    "have one made with hierarchical_namespace: true, or leave directory_sas out and give the data a container of its "
    "own, with prefix: ''"
)

FAILURES: Final[Mapping[str, str]] = {
    r"KeyBasedAuthenticationNotPermitted|Key based authentication is not permitted": SHARED_KEYS_NEEDED,
    r"StorageAccountAlreadyTaken": (
        "somebody has a storage account of this name, which is one for all of Azure: name another, or none to have one "
        "generated"
    ),
    r"StorageAccountInAnotherResourceGroup": (
        "the storage account is in another resource group of yours: name that one as resource_group"
    ),
    r"AccountNameInvalid": "name the storage account with 3 to 24 lower-case letters and digits",
    # azure-native looks before it creates anything, and never takes over what is there.
    r"already existing resource ['\"]?(?P<id>\S+/containers/[^'\"\s]+)": (
        "the container is there already. If it is yours, or was kept when it left the stack, leave 'create' out to use "
        "it as it is, or name another. If an interrupted run of this stack made it (its metadata lightly_infra_stack "
        f"names the stack), take it over: run {TAKE_OVER} and `pulumi up` again"
    ),
    r"already existing resource ['\"]?(?P<id>\S+/storageAccounts/[^'\"\s]+)": (
        "the storage account is there already. If its location has changed, put the old one back, or name another. If "
        "it is yours, or was kept when it left the stack, have only the container made (create: container), or name "
        "another. If an interrupted run of this stack made it (its tag lightly-infra:stack names the stack), take it "
        f"over: run {TAKE_OVER} and `pulumi up` again"
    ),
    r"already existing resource ['\"]?(?P<id>\S+/resourceGroups/[^'\"\s]+)": (
        "the resource group is there already. If its location has changed, put the old one back, or name another. If "
        "it is yours, or was kept when it left the stack, have only the account made (create: account), or name "
        "another. If an interrupted run of this stack made it (its tag lightly-infra:stack names the stack), take it "
        f"over: run {TAKE_OVER} and `pulumi up` again"
    ),
    r"cannot create already existing (sub)?resource|StorageAccountAlreadyExists|ContainerAlreadyExists": (
        "it is there already: to use it, name it and leave it out of 'create'; or name another"
    ),
    r"ContainerBeingDeleted": (
        "a container of this name is just being deleted: wait a minute and run `pulumi up` again, or name another"
    ),
    r"ResourceGroupBeingDeleted|ResourceGroupDeletionBlocked|is in deprovisioning state": (
        "the resource group is just being deleted, with all in it: wait until it is gone and run `pulumi up` again, or "
        "name another"
    ),
    r"ResourceGroupNotFound": (
        "there is no such resource group in this subscription: look at resource_group and azure-native:subscriptionId "
        "(`az account show`), or have it made with create: true"
    ),
    r"ParentResourceNotFound|Microsoft\.Storage/storageAccounts/\S+' under resource group \S+ was not found": (
        "the resource group holds no such storage account: look at account and resource_group, or have it made with "
        "create: account"
    ),
    r"AuthorizationFailed|LinkedAuthorizationFailed": (
        "whoever runs Pulumi may not do this: have the role 'Storage Account Contributor' on the resource group (to "
        "sign a SAS: Microsoft.Storage/storageAccounts/listServiceSas/action; for a directory's, and to put the empty "
        "blob under the prefix of a container that is made, listKeys/action), or 'Contributor' on the subscription to "
        "have resource groups made; a new role takes some minutes"
    ),
    r"MissingSubscriptionRegistration|SubscriptionNotRegistered": (
        "the subscription has not used storage yet: run `az provider register --namespace Microsoft.Storage --wait` "
        "and `pulumi up` again"
    ),
    r"SubscriptionNotFound": "there is no such subscription: look at azure-native:subscriptionId (`az account list`)",
    r"ReadOnlyDisabledSubscription": "the subscription is disabled: have it enabled again, or use another",
    r"RequestDisallowedByPolicy": (
        "a policy of your organisation forbids it and names itself above: often it is about the location, tags or "
        "shared key access, which a SAS needs; follow it, have an exemption made, or bring a container of your own"
    ),
    r"LocationNotAvailableForResourceType|NoRegisteredProviderFound|InvalidLocation|LocationNotAvailable": (
        "Azure offers no storage account at this location: set 'location' to one of "
        "`az account list-locations --query '[].name'`"
    ),
    r"SkuNotAvailable|InvalidSku|StorageAccountTypeNotSupported": (
        "this redundancy is not to be had at this location: set 'sku' to Standard_LRS, or choose another location"
    ),
    r"InvalidResourceGroupLocation": (
        "the resource group is there already, at another location: leave it out of 'create', or name another"
    ),
    r"MaxStorageAccountsCountPerSubscriptionExceeded|SubscriptionLimitReached": (
        "the subscription has as many storage accounts at this location as it may (250, unless raised): use one that "
        "is there with create: container, or have the limit raised"
    ),
    r"[Mm]issing required property '?location": (
        "say where: set 'location', or azure-native:location for the whole stack"
    ),
    r"ScopeLocked": "a lock on the resource or its group forbids it: have the lock removed, or use another",
    r"AADSTS\d+|ExpiredAuthenticationToken|InvalidAuthenticationToken|az login|DefaultAzureCredential": (
        "Azure does not know who runs Pulumi: run `az login`, or set ARM_CLIENT_ID, ARM_TENANT_ID and "
        "ARM_CLIENT_SECRET or OIDC in the environment"
    ),
}
"""By a regular expression on the provider's message; the first that is found tells the remedy."""

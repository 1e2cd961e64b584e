"""Resource groups, storage accounts and containers that we make. Those of the user's own are never touched here.

What is made here always stays in Azure when it leaves the program. Azure deletes a
resource group with everything in it, a storage account with all its blobs, and a container with all of its: none has to
be empty first, as a bucket on S3 has, and no call says "only if empty". So no deletion is safe; people delete by hand,
where they see what goes. Soft delete is a net below: it brings back blobs and containers, though not accounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pulumi
from pulumi_azure_native import resources, storage

from lightly_infra import retention  # noqa: TC001 - Pulumi reads the annotations of components
from lightly_infra.clouds.azure import policy
from lightly_infra.clouds.azure.failures import FAILURES
from lightly_infra.component import Component, marked
from lightly_infra.located import located

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SOFT_DELETE_DAYS = 7
"""Azure's own proposal in the portal, and what it costs: seven more days of what was deleted."""

SKU = "Standard_LRS"
"""Three copies in one data centre, the cheapest. Name another for data that has to outlive the data centre."""


class ResourceGroupArgs(TypedDict, total=False):
    """A resource group. Every field is optional."""

    resource_group: pulumi.Input[str]
    """Its name. Default: the component's name and a random suffix."""

    location: pulumi.Input[str]
    """Such as `westeurope`. Default: the provider's (`azure-native:location`)."""

    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]]
    """More tags of the group than those that say who made it (`lightly_infra.ownership`); what lies in it does not
    get them."""


class ResourceGroup(Component):
    """A resource group, which stays when it leaves the program: deleting it would delete everything in it."""

    failures = FAILURES

    resource_group: pulumi.Output[str]
    """The group's name."""

    location: pulumi.Output[str]
    """Where it is."""

    def __init__(
        self, name: str, args: ResourceGroupArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("azure:ResourceGroup", name, opts)
        args = args or {}
        group = resources.ResourceGroup(
            name,
            resource_group_name=checked(args["resource_group"], policy.check_resource_group)
            if "resource_group" in args
            else None,
            location=args.get("location"),
            tags=marked(self.owner.tags, args.get("tags")),
            opts=self.child(retain_on_delete=True),
        )
        self.resource_group, self.location = group.name, group.location
        self.register_outputs({"resource_group": self.resource_group})


class AccountArgs(TypedDict):
    """A storage account. All but its resource group is optional; the defaults are the safe ones."""

    resource_group: ResourceGroup | pulumi.Input[str]
    """The name of a resource group of yours, or one made with `ResourceGroup`."""

    account: NotRequired[pulumi.Input[str]]
    """Its name, one for all of Azure. Default: made from the component's name, with a random suffix."""

    location: NotRequired[pulumi.Input[str]]
    """Such as `westeurope`. Default: the resource group's."""

    sku: NotRequired[pulumi.Input[str]]
    """How often and where the data is kept. Default: `SKU`."""

    hierarchical_namespace: NotRequired[bool]
    """With real directories, which a directory SAS needs. It is decided once, as the account is made. Default: no."""

    soft_delete_days: NotRequired[int]
    """For how long deleted blobs and containers can be brought back, 1 to 365. Default: `SOFT_DELETE_DAYS`."""

    expiries: NotRequired[Mapping[str, Sequence[retention.Expiry]]]
    """What shall be deleted, and at which age: 30 days or more; by the name of the container, of which
    `policy.derived_container_name` says what it is where none is given. Default: nothing. Nothing may expire where
    Lightly writes."""

    tags: NotRequired[pulumi.Input[Mapping[str, pulumi.Input[str]]]]
    """More tags of the account than those that say who made it (`lightly_infra.ownership`)."""


class Account(Component):
    """A storage account without public access, TLS 1.2 and https only, with soft delete.

    Nothing in it expires but what `expiries` say. Shared key access stays on: a SAS is signed with one of the account's
    keys. Nobody is given the keys themselves. The account stays when it leaves the program, with all that guards it.
    """

    failures = FAILURES

    account: pulumi.Output[str]
    """The account's name."""

    resource_group: pulumi.Output[str]
    """The name of its resource group."""

    hierarchical_namespace: bool
    """Whether it has real directories."""

    resource: storage.StorageAccount
    """The account itself, for what shall go with it."""

    expiries: Mapping[str, Sequence[retention.Expiry]]
    """What expires in it, by container."""

    def __init__(self, name: str, args: AccountArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("azure:Account", name, opts)
        group = args["resource_group"]
        location = args.get("location")
        with located(f"{name}: expiries"):
            self.expiries = policy.check_expiries(args.get("expiries", {}))
            rules: list[Any] = policy.lifecycle(self.expiries)  # the policy knows no types of Pulumi's
        self.hierarchical_namespace = args.get("hierarchical_namespace", False)
        if isinstance(group, ResourceGroup):
            location = group.location if location is None else location
            group = group.resource_group
        # The name that Azure gets is made from this one where none is given.
        derived = policy.derived_account_name(name)
        self.parent_of(derived)
        account = storage.StorageAccount(
            derived,
            account_name=checked(args["account"], policy.check_account) if "account" in args else None,
            resource_group_name=group,
            location=location,
            kind="StorageV2",
            sku={"name": args.get("sku", SKU)},
            minimum_tls_version="TLS1_2",
            enable_https_traffic_only=True,
            allow_blob_public_access=False,
            allow_cross_tenant_replication=False,
            allow_shared_key_access=True,
            is_hns_enabled=self.hierarchical_namespace,
            tags=marked(self.owner.tags, args.get("tags")),
            opts=self.child(retain_on_delete=True),
        )
        self.resource, self.account = account, account.name
        self.resource_group = pulumi.Output.from_input(group)
        days = args.get("soft_delete_days", SOFT_DELETE_DAYS)
        storage.BlobServiceProperties(
            name,
            account_name=account.name,
            resource_group_name=group,
            blob_services_name="default",  # there is one for each account, of this name
            delete_retention_policy={"enabled": True, "days": days},
            container_delete_retention_policy={"enabled": True, "days": days},
            # Goes with the account and never before it: to delete it alone is to turn soft delete off. Shown as kept.
            opts=self.child(deleted_with=account, retain_on_delete=True),
        )
        if rules:
            storage.ManagementPolicy(
                name,
                account_name=account.name,
                resource_group_name=group,
                management_policy_name="default",  # there is one for each account, of this name
                policy={"rules": rules},
                opts=self.child(deleted_with=account),
            )
        self.register_outputs({"account": self.account, "resource_group": self.resource_group})


class ContainerArgs(TypedDict):
    """A container. Its account is needed; of an account of yours, its resource group, too."""

    account: Account | pulumi.Input[str]
    """The name of a storage account of yours, of which nothing else is changed, or one made with `Account`."""

    resource_group: NotRequired[pulumi.Input[str]]
    """The resource group of an account of yours."""

    container: NotRequired[pulumi.Input[str]]
    """Its name. Default: made from the component's name, without a random suffix."""


class Container(Component):
    """A private container, which stays when it leaves the program: deleting it would delete all blobs in it."""

    failures = FAILURES

    container: pulumi.Output[str]
    """The container's name."""

    known_name: str | None
    """The same, where it is known at once."""

    account: pulumi.Output[str]
    """The name of its storage account."""

    resource_group: pulumi.Output[str]
    """The name of the account's resource group."""

    owned_account: Account | None
    """The account, if it is made here, too."""

    resource: storage.BlobContainer
    """The container itself, for what shall go with it."""

    def __init__(self, name: str, args: ContainerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("azure:Container", name, opts)
        account = args["account"]
        self.owned_account = account if isinstance(account, Account) else None
        if isinstance(account, Account):
            self.account, self.resource_group = account.account, account.resource_group
        else:
            if "resource_group" not in args:
                raise ValueError(f"{name}: resource_group is missing: name the one that the account is in")
            self.account = pulumi.Output.from_input(account)
            self.resource_group = pulumi.Output.from_input(args["resource_group"])
        given = args.get("container", policy.derived_container_name(name))
        self.known_name = given if isinstance(given, str) else None
        self.resource = storage.BlobContainer(
            name,
            account_name=self.account,
            resource_group_name=self.resource_group,
            container_name=checked(given, policy.check_container),
            public_access=storage.PublicAccess.NONE,
            metadata=self.owner.metadata,
            opts=self.child(
                retain_on_delete=True,
                # Whoever gets in finds what guards the account in place.
                depends_on=[account] if isinstance(account, Account) else [],
                # Written as it is made; later it would replace what somebody else has added.
                ignore_changes=["metadata"],
            ),
        )
        self.container = self.resource.name
        self.register_outputs({"container": self.container, "account": self.account})


def checked(value: pulumi.Input[str], check: Callable[[str], str]) -> str | pulumi.Output[str]:
    """A name that is checked: what is known at once, and not later in a task; the rest when it is known."""
    if isinstance(value, str):
        return check(value)
    later: pulumi.Output[str] = pulumi.Output.from_input(value)
    return later.apply(check)

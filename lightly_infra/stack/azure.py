"""From the YAML to components on Azure Blob Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.clouds import azure
from lightly_infra.clouds.azure import lifecycle, policy
from lightly_infra.retention import Expiry, RulesUnreadable
from lightly_infra.spec.azure import AzureSpec
from lightly_infra.stack.builder import CloudBuilder, datasource_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pulumi

    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.listing import Listing
    from lightly_infra.permissions import Purpose
    from lightly_infra.retention import Rule
    from lightly_infra.stack.previous import Previous
    from lightly_infra.stack.settings import Settings


class Builder(CloudBuilder[AzureSpec]):
    """Makes components; resource groups, accounts and containers that several datasources share are made once.

    One datasource of the stack creates what has a name, others may use it. What has a name is named after itself in
    the state, whichever of its datasets comes first or goes: another name is another resource.
    """

    def __init__(self, settings: Settings, today: date, before: Previous | None) -> None:
        super().__init__(settings, today, before)
        self._groups: dict[str, azure.ResourceGroup] = {}
        self._accounts: dict[str, azure.Account] = {}
        self._containers: dict[str, azure.Container] = {}
        declared = [*self.declared(AzureSpec)]
        # Azure does not tell names of resource groups apart by their case.
        self._groups_to_create = {
            it.resource_group.lower(): it for it in declared if it.makes("resource_group") and it.resource_group
        }
        self._accounts_to_create = {it.account: it for it in declared if it.makes("account") and it.account}
        self._containers_to_create = {it.place: it for it in declared if it.creates and it.place}

    def datasource(
        self,
        name: str,
        purpose: Purpose,
        wanted: AzureSpec,
        opts: pulumi.ResourceOptions,
    ) -> CloudDatasource:
        """The datasource component, and all that it stands on."""
        args: azure.AzureDatasourceArgs = {
            "purpose": purpose,
            "container": self._container(name, wanted, opts),
            "prefix": wanted.prefix,
            "access": self._access(wanted),
            "container_wide": wanted.container_wide,
        }
        if wanted.account:
            args["account"] = wanted.account
        if wanted.resource_group:
            args["resource_group"] = wanted.resource_group
        return azure.AzureDatasource(name, args, opts)

    async def lifecycle(self, wanted: AzureSpec) -> Sequence[Rule]:
        """Read by the stack's provider."""
        return await lifecycle.read(str(wanted.account), str(wanted.container), _group_of(wanted))

    async def listing(self, wanted: AzureSpec, most: int) -> Listing:
        """Listed with a SAS that the stack's provider signs, or with one's own."""
        own = wanted.sas_token.get_secret_value() if wanted.sas_token else None
        group = _group_of(wanted)
        return await lifecycle.objects(str(wanted.account), str(wanted.container), wanted.prefix, group, most, own)

    def _expiries(self, wanted: AzureSpec) -> dict[str, list[Expiry]]:
        """What expires in the account that is made for `wanted`, by container."""
        found: dict[str, list[Expiry]] = {}
        for key, dataset in self.settings.datasets.items():
            for purpose, cloud in dataset.datasources.items():
                it = cloud.datasource
                if not isinstance(it, AzureSpec) or it.retention_days is None:
                    continue
                if it is wanted or (it.account and it.account == wanted.account):
                    container = it.container or policy.derived_container_name(datasource_name(key, dataset, purpose))
                    found.setdefault(container, []).append(Expiry(it.prefix, it.retention_days))
        return found

    def _container(self, name: str, wanted: AzureSpec, opts: pulumi.ResourceOptions) -> azure.Container | str:
        maker = self._containers_to_create.get(wanted.place or "", wanted)
        if not maker.creates:
            # The spec has seen to it that what is not made is named.
            return str(wanted.container)
        name = f"{maker.account}-{maker.container}-container" if maker.place else name
        if name not in self._containers:
            args: azure.ContainerArgs = {"account": self._account(name, maker, opts)}
            if maker.resource_group:
                args["resource_group"] = maker.resource_group
            if maker.container:
                args["container"] = maker.container
            self._containers[name] = azure.Container(name, args, opts)
        return self._containers[name]

    def _account(self, name: str, wanted: AzureSpec, opts: pulumi.ResourceOptions) -> azure.Account | str:
        maker = self._accounts_to_create.get(wanted.account or "", wanted)
        if not maker.makes("account"):
            return str(wanted.account)
        name = f"{maker.account}-account" if maker.account else name
        if name not in self._accounts:
            args: azure.AccountArgs = {
                "resource_group": self._group(name, maker, opts),
                "sku": maker.sku,
                "hierarchical_namespace": maker.hierarchical_namespace,
                "soft_delete_days": maker.soft_delete_days,
                "expiries": self._expiries(maker),
                "tags": maker.tags,
            }
            if maker.account:
                args["account"] = maker.account
            if maker.location:
                args["location"] = maker.location
            self._accounts[name] = azure.Account(name, args, opts)
        return self._accounts[name]

    def _group(self, name: str, wanted: AzureSpec, opts: pulumi.ResourceOptions) -> azure.ResourceGroup | str:
        maker = self._groups_to_create.get((wanted.resource_group or "").lower(), wanted)
        if not maker.makes("resource_group"):
            return str(wanted.resource_group)
        name = f"{maker.resource_group}-group" if maker.resource_group else name
        if name not in self._groups:
            # The spec has seen to it that it has a location.
            args: azure.ResourceGroupArgs = {"location": str(maker.location), "tags": maker.tags}
            if maker.resource_group:
                args["resource_group"] = maker.resource_group
            self._groups[name] = azure.ResourceGroup(name, args, opts)
        return self._groups[name]

    def _access(self, wanted: AzureSpec) -> azure.OwnSas | azure.ServiceSas:
        if wanted.sas_token is not None:
            return azure.OwnSas(wanted.sas_token.get_secret_value(), directory_sas=wanted.directory_sas)
        return azure.ServiceSas(
            rotate_every_days=wanted.rotate_every_days,
            rotation=self.settings.rotation,
            directory_sas=wanted.directory_sas,
            on=self.today,
        )


def _group_of(wanted: AzureSpec) -> str:
    if wanted.resource_group is None:
        raise RulesUnreadable("resource_group is missing: name it, so that its account can be asked")
    return wanted.resource_group

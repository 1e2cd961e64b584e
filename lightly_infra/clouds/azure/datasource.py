"""The Azure datasource: a prefix of a container, and a SAS that opens just that, as far as Azure can."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

import pulumi
from pulumi_azure_native import storage

from lightly_infra import paths, retention
from lightly_infra.clouds.azure import policy
from lightly_infra.clouds.azure.access import Access, Place
from lightly_infra.clouds.azure.failures import FAILURES, NAMESPACE_NEEDED
from lightly_infra.clouds.azure.storage import Container, checked
from lightly_infra.clouds.interface import CloudDatasource
from lightly_infra.located import located

if TYPE_CHECKING:
    from lightly_infra.permissions import Purpose


class AzureDatasourceArgs(TypedDict):
    """Where the data is, and how Lightly gets in."""

    purpose: Purpose
    """Decides what Lightly may do: see `lightly_infra.permissions`."""

    container: Container | pulumi.Input[str]
    """The name of a container of yours, which is not changed, or one made with `Container`."""

    account: NotRequired[pulumi.Input[str]]
    """The storage account of a container of yours."""

    resource_group: NotRequired[pulumi.Input[str]]
    """The resource group of that account; a SAS of your own needs none."""

    prefix: str
    """The directory in the container, such as `street-scenes/`; empty for the whole container."""

    access: Access
    """How Lightly gets in: `ServiceSas` or `OwnSas`."""

    container_wide: NotRequired[bool]
    """That it is fine if Lightly gets into all of the container, as it does with a container's SAS. Default: no."""


class AzureDatasource(CloudDatasource):
    """Gives Lightly a SAS for the operations of a purpose on one container, or on one directory of it.

    It changes nothing on a container or account of the user's own: no soft delete, lifecycle or CORS, each of which is
    one document per account.
    """

    failures = FAILURES
    verifiable = True  # a SAS that shuts Lightly's own servers out (sip) is refused

    def __init__(self, name: str, args: AzureDatasourceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("azure:AzureDatasource", name, opts)
        self.purpose, access = args["purpose"], args["access"]
        container = args["container"]
        owned = container if isinstance(container, Container) else None
        prefix = policy.check_prefix(paths.normalise_prefix(args["prefix"]), made=owned is not None)
        policy.check_reach(prefix, directory_sas=access.directory_sas, container_wide=args.get("container_wide", False))
        account = owned.owned_account if owned else None
        if access.directory_sas and account and not account.hierarchical_namespace:
            raise ValueError(f"{name}: {NAMESPACE_NEEDED}")

        def inside(container: str) -> str:
            expiries = account.expiries.get(container, ()) if account else ()
            with located(name):
                retention.check_kept(expiries, self.purpose, prefix)
            return f"{container}/{prefix}"

        if owned and owned.known_name is not None:
            inside(owned.known_name)  # refused now, and not later in a task
        place = _place(name, args, prefix if access.directory_sas else "")
        sas = access.sign(name, self.purpose, place, self)
        if owned and prefix:
            # Lightly wants the directory to exist; it may be empty. A blob without a source is empty.
            storage.Blob(
                name,
                account_name=owned.account,
                resource_group_name=owned.resource_group,
                container_name=owned.container,
                blob_name=f"{prefix}{policy.MARKER}",
                content_type="application/octet-stream",
                opts=self.child(depends_on=[owned], deleted_with=owned.resource),
            )

        full_path = place.container.apply(inside)
        self.path = pulumi.Output.all(place.account, full_path).apply(lambda it: paths.resource_path("azure", *it))
        self.config = {
            "type": "AZURE",
            "full_path": full_path,
            "account_name": place.account,
            "account_key": sas.token,
        }
        self.identity = {"account": place.account, "container": place.container, "expires": sas.expires}
        self.secrets = {"sas_token": sas.token}
        self.credential = sas.credential
        self.granted = sas.granted
        self.register_outputs({"path": self.path, **self.identity})


def _place(name: str, args: AzureDatasourceArgs, directory: str) -> Place:
    container = args["container"]
    if isinstance(container, Container):
        account = container.owned_account
        return Place(
            account=container.account,
            container=container.container,
            directory=directory,
            resource_group=container.resource_group,
            made=(container.resource.id, *([account.resource.id] if account else [])),
            made_account=account is not None,
        )
    if "account" not in args:
        raise ValueError(f"{name}: account is missing: name the storage account that the container is in")
    group = args.get("resource_group")
    return Place(
        account=pulumi.Output.from_input(checked(args["account"], policy.check_account)),
        container=pulumi.Output.from_input(checked(container, policy.check_container)),
        directory=directory,
        resource_group=None if group is None else pulumi.Output.from_input(checked(group, policy.check_resource_group)),
        made=(),
        made_account=False,
    )

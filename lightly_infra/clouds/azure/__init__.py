"""Azure Blob Storage: storage, SAS tokens and the datasource that joins them."""

from typing import TYPE_CHECKING

from lightly_infra._lazy import lazily

if TYPE_CHECKING:
    from lightly_infra.clouds.azure.access import OwnSas, ServiceSas
    from lightly_infra.clouds.azure.datasource import AzureDatasource, AzureDatasourceArgs
    from lightly_infra.clouds.azure.storage import (
        Account,
        AccountArgs,
        Container,
        ContainerArgs,
        ResourceGroup,
        ResourceGroupArgs,
    )

__all__ = [
    "Account",
    "AccountArgs",
    "AzureDatasource",
    "AzureDatasourceArgs",
    "Container",
    "ContainerArgs",
    "OwnSas",
    "ResourceGroup",
    "ResourceGroupArgs",
    "ServiceSas",
]

# `policy` and `failures` are pure and must stay importable without the Azure SDK.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "Account": f"{__name__}.storage",
        "AccountArgs": f"{__name__}.storage",
        "AzureDatasource": f"{__name__}.datasource",
        "AzureDatasourceArgs": f"{__name__}.datasource",
        "Container": f"{__name__}.storage",
        "ContainerArgs": f"{__name__}.storage",
        "OwnSas": f"{__name__}.access",
        "ResourceGroup": f"{__name__}.storage",
        "ResourceGroupArgs": f"{__name__}.storage",
        "ServiceSas": f"{__name__}.access",
    },
)

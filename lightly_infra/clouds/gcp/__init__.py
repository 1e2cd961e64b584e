"""Google Cloud Storage: storage, identities and the datasource that joins them."""

from typing import TYPE_CHECKING

from lightly_infra._lazy import lazily

if TYPE_CHECKING:
    from lightly_infra.clouds.gcp.access import (
        BroughtCredentials,
        BroughtCredentialsArgs,
        ServiceAccount,
        ServiceAccountArgs,
    )
    from lightly_infra.clouds.gcp.datasource import GCSDatasource, GCSDatasourceArgs
    from lightly_infra.clouds.gcp.storage import Bucket, BucketArgs

__all__ = [
    "BroughtCredentials",
    "BroughtCredentialsArgs",
    "Bucket",
    "BucketArgs",
    "GCSDatasource",
    "GCSDatasourceArgs",
    "ServiceAccount",
    "ServiceAccountArgs",
]

# `policy` is pure and must stay importable without the Google Cloud SDK.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "BroughtCredentials": f"{__name__}.access",
        "BroughtCredentialsArgs": f"{__name__}.access",
        "Bucket": f"{__name__}.storage",
        "BucketArgs": f"{__name__}.storage",
        "GCSDatasource": f"{__name__}.datasource",
        "GCSDatasourceArgs": f"{__name__}.datasource",
        "ServiceAccount": f"{__name__}.access",
        "ServiceAccountArgs": f"{__name__}.access",
    },
)

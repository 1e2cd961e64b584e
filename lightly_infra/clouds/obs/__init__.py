"""OBS, the object storage of Huawei Cloud, Open Telekom Cloud and others: storage, access, and what joins them."""

from typing import TYPE_CHECKING

from lightly_infra._lazy import lazily

if TYPE_CHECKING:
    from lightly_infra.clouds.obs.access import AccessKeys, AccessKeysArgs
    from lightly_infra.clouds.obs.datasource import OBSDatasource, OBSDatasourceArgs
    from lightly_infra.clouds.obs.storage import Bucket, BucketArgs

__all__ = ["AccessKeys", "AccessKeysArgs", "Bucket", "BucketArgs", "OBSDatasource", "OBSDatasourceArgs"]

# `policy` and `api` know no Pulumi and must stay importable without it.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "AccessKeys": f"{__name__}.access",
        "AccessKeysArgs": f"{__name__}.access",
        "Bucket": f"{__name__}.storage",
        "BucketArgs": f"{__name__}.storage",
        "OBSDatasource": f"{__name__}.datasource",
        "OBSDatasourceArgs": f"{__name__}.datasource",
    },
)

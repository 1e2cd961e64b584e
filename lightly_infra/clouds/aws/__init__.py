"""Amazon S3: storage, identities and the datasource that joins them."""

from typing import TYPE_CHECKING

from lightly_infra._lazy import lazily

if TYPE_CHECKING:
    from lightly_infra.clouds.aws.access import (
        AccessKeys,
        AccessKeysArgs,
        BroughtKeys,
        BroughtKeysArgs,
        DelegatedAccess,
        DelegatedAccessArgs,
    )
    from lightly_infra.clouds.aws.datasource import S3Datasource, S3DatasourceArgs
    from lightly_infra.clouds.aws.storage import AccessLogsArgs, Bucket, BucketArgs

__all__ = [
    "AccessKeys",
    "AccessKeysArgs",
    "AccessLogsArgs",
    "BroughtKeys",
    "BroughtKeysArgs",
    "Bucket",
    "BucketArgs",
    "DelegatedAccess",
    "DelegatedAccessArgs",
    "S3Datasource",
    "S3DatasourceArgs",
]

# `policy` is pure and must stay importable without the AWS SDK.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "AccessKeys": f"{__name__}.access",
        "AccessKeysArgs": f"{__name__}.access",
        "AccessLogsArgs": f"{__name__}.storage",
        "BroughtKeys": f"{__name__}.access",
        "BroughtKeysArgs": f"{__name__}.access",
        "Bucket": f"{__name__}.storage",
        "BucketArgs": f"{__name__}.storage",
        "DelegatedAccess": f"{__name__}.access",
        "DelegatedAccessArgs": f"{__name__}.access",
        "S3Datasource": f"{__name__}.datasource",
        "S3DatasourceArgs": f"{__name__}.datasource",
    },
)

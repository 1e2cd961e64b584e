"""Connects cloud storage to the Lightly platform: least privilege, verified, in one declaration.

The clouds are in `lightly_infra.clouds`, one package each.
"""

from typing import TYPE_CHECKING

from lightly_infra._lazy import lazily
from lightly_infra._version import __version__

if TYPE_CHECKING:
    from lightly_infra.dataset import Dataset, DatasetArgs
    from lightly_infra.permissions import Purpose

__all__ = ["Dataset", "DatasetArgs", "Purpose", "__version__"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Dataset": f"{__name__}.dataset",
        "DatasetArgs": f"{__name__}.dataset",
        "Purpose": f"{__name__}.permissions",
    },
)

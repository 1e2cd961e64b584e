"""Thin Pulumi adapters over `lightly_infra.lightly`: dynamic resources, one file each.

State holds the import path of each provider class. Moving or renaming a module here breaks users' stacks.
"""

from lightly_infra.provider.dataset import Dataset, DatasetResourceArgs
from lightly_infra.provider.datasource import Datasource, DatasourceArgs
from lightly_infra.provider.verification import Verification, VerificationArgs

__all__ = [
    "Dataset",
    "DatasetResourceArgs",
    "Datasource",
    "DatasourceArgs",
    "Verification",
    "VerificationArgs",
]

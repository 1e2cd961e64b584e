"""What Lightly may do, by purpose: the one table every policy, document and proof is derived from.

The table is Lightly's own requirement: list and read on the Input; list, read, write, overwrite and delete on
the Lightly bucket.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Purpose(StrEnum):
    """What a datasource is for; the values are the API's own."""

    INPUT = "INPUT"
    LIGHTLY = "LIGHTLY"
    INPUT_OUTPUT = "INPUT_OUTPUT"


class Operation(StrEnum):
    """What can be done with the objects under a prefix."""

    LIST = "list"
    READ = "read"
    WRITE = "write"
    OVERWRITE = "overwrite"
    DELETE = "delete"


GRANTED: Final[Mapping[Purpose, tuple[Operation, ...]]] = {
    Purpose.INPUT: (Operation.LIST, Operation.READ),
    Purpose.LIGHTLY: tuple(Operation),
    Purpose.INPUT_OUTPUT: tuple(Operation),
}


REASONS: Final[Mapping[Operation, str]] = {
    Operation.LIST: "finds the images and videos, and what it has made before",
    Operation.READ: "loads them, and shows them in the app",
    Operation.WRITE: "stores thumbnails, crops, frames and reports",
    Operation.OVERWRITE: "renews them when a run is repeated",
    Operation.DELETE: "removes what it has made and needs no longer",
}
"""What Lightly does with each operation."""


def is_granted(purpose: Purpose, operation: Operation) -> bool:
    """Whether Lightly may do `operation` on a datasource of `purpose`."""
    return operation in GRANTED[purpose]

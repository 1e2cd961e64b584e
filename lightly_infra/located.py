"""Says where an error is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def located(where: str) -> Iterator[None]:
    """Has a ValueError begin with where it is: of `lightly.expiries`, `lightly.expiries: …`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None

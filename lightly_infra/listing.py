"""What lies under a prefix, as far as a few pages of a listing tell, and what Lightly can read of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

PAGE: Final = 1000
"""Objects on a page: the most that S3, OBS and Google Cloud give at once."""

MANY_PAGES: Final = 10
"""How many pages are read where one does not tell enough: seconds, and a few cents at most."""

_IMAGES: Final = frozenset({"bmp", "gif", "jpeg", "jpg", "png", "tiff"})
READABLE: Final[Mapping[str, frozenset[str]]] = {
    "Images": _IMAGES,
    "Crops": _IMAGES,
    "Videos": frozenset({"avi", "mov", "mp4"}),
}
"""The file types of each type of dataset (Lightly's docs, "Supported File Types")."""


class Stored(NamedTuple):
    """An object under a prefix."""

    key: str

    modified: datetime
    """When it was written, aware of its timezone."""

    size: int = 0
    """In bytes."""

    archived: bool = False
    """Whether it has to be restored before anybody can read it."""


class Page(NamedTuple):
    """A page of a listing."""

    objects: tuple[Stored, ...]
    """Without those that stand for directories."""

    more: bool
    """Whether there is another page."""


@dataclass(frozen=True)
class Listing:
    """The first objects under a prefix."""

    objects: tuple[Stored, ...] = ()

    more: bool = False
    """Whether there are more than these."""


@dataclass(frozen=True)
class Readable:
    """What Lightly can read of a listing."""

    count: int
    """How many objects it can."""

    ignored: int
    """How many it can't: of another type, or archived."""

    example: Stored | None
    """One of those."""

    more: bool
    """Whether there are more objects than were looked at."""


def collect(pages: Iterable[Page], most: int) -> Listing:
    """The objects of the first pages.

    Args:
        pages: read one by one.
        most: how many are read.
    """
    found: list[Stored] = []
    more = False
    for number, page in enumerate(pages, start=1):
        found += page.objects
        more = page.more
        if number >= most:
            break
    return Listing(tuple(found), more)


def readable(listing: Listing, dataset_type: str | None) -> Readable:
    """What Lightly can read of it for a dataset of this type, None for any; the case of endings does not matter."""
    known = _endings(dataset_type)
    ignored = [it for it in listing.objects if it.archived or _ending(it.key) not in known]
    return Readable(len(listing.objects) - len(ignored), len(ignored), next(iter(ignored), None), listing.more)


def endings(dataset_type: str | None) -> str:
    """The file types of a type of dataset, in words."""
    return ", ".join(sorted(_endings(dataset_type)))


def _endings(dataset_type: str | None) -> frozenset[str]:
    return READABLE[dataset_type] if dataset_type else frozenset[str]().union(*READABLE.values())


def _ending(key: str) -> str:
    name = key.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""

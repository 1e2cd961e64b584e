"""What Lightly can read of what lies under a prefix, as far as a few pages tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import listing
from lightly_infra.listing import Listing, Page, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITTEN = datetime(2026, 11, 1, tzinfo=UTC)


def stored(*keys: str) -> tuple[Stored, ...]:
    return tuple(Stored(key, WRITTEN, 1) for key in keys)


@pytest.mark.parametrize(
    ("dataset_type", "readable"),
    [
        ("Images", {"a.png", "b.JPG", "c.jpeg", "d.bmp", "e.gif", "f.tiff"}),
        ("Crops", {"a.png", "b.JPG", "c.jpeg", "d.bmp", "e.gif", "f.tiff"}),
        ("Videos", {"g.mov", "h.MP4", "i.avi"}),
        (None, {"a.png", "b.JPG", "c.jpeg", "d.bmp", "e.gif", "f.tiff", "g.mov", "h.MP4", "i.avi"}),
    ],
)
def test_each_type_of_dataset_has_file_types_of_its_own(dataset_type: str | None, readable: set[str]) -> None:
    keys = ["a.png", "b.JPG", "c.jpeg", "d.bmp", "e.gif", "f.tiff", "g.mov", "h.MP4", "i.avi"]
    others = ["j.json", "png", "k.png/l", ".png.bak", "m"]

    found = listing.readable(Listing(stored(*keys, *others)), dataset_type)

    assert found.count == len(readable)
    assert found.ignored == len(keys) + len(others) - len(readable)
    assert found.example is not None
    assert found.example.key not in readable


def test_what_is_archived_cannot_be_read() -> None:
    archived = Stored("a.png", WRITTEN, 1, archived=True)

    found = listing.readable(Listing((archived, *stored("b.png"))), "Images")

    assert (found.count, found.ignored, found.example) == (1, 1, archived)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(1, 25))
def test_no_more_pages_are_read_than_asked_for(sizes: list[int], most: int) -> None:
    read: list[int] = []

    def pages() -> Iterator[Page]:
        for number, size in enumerate(sizes):
            read.append(number)
            yield Page(stored(*(f"{number}/{it}.png" for it in range(size))), more=number < len(sizes) - 1)

    found = listing.collect(pages(), most)

    assert len(read) == min(most, len(sizes))
    assert len(found.objects) == sum(sizes[:most])
    assert found.more == (most < len(sizes))

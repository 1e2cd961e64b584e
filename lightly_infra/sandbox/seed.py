"""What the user's part in every emulated cloud has in common: images under the prefix, and what lies beside it."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import Final

IMAGES: Final = ("image-1.png", "image-2.png", "image-3.png")
VIDEOS: Final = ("video-1.mp4", "video-2.mp4", "video-3.mp4")
"""In name only: nothing here plays them."""
BESIDE: Final = "not-for-lightly/private.png"
"""Lies beside every prefix, so that there is something that Lightly must not reach."""

ELSEWHERE: Final = "not-for-lightly"
"""A bucket or container that no datasource uses, for the same reason."""


@cache
def image() -> bytes:
    """A picture of one grey pixel: a whole PNG file, so that whatever reads it finds an image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)  # 1 x 1, 8 bit, greyscale
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\x00\x80")) + chunk(b"IEND", b"")
    )

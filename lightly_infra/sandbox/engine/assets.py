"""Assets as inputs: texts and files, told apart by the hash of what they hold and not by where they come from.

As in the real engine, providers get them whole where they are to be checked, created or updated, and else by hash.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_infra.sandbox.engine.interface import Secret, UnsupportedFeature
from lightly_infra.sandbox.engine.values import ARCHIVE_SIGNATURE, ASSET_SIGNATURE, SIGNATURE, is_asset, walk_assets

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.values import Properties, Value


def asset_of(content: bytes) -> Properties:
    """An asset as providers see it. What is not UTF-8 stays outside: such an asset has its hash only."""
    text = content.decode(errors="ignore")
    asset = {SIGNATURE: ASSET_SIGNATURE, "hash": hashlib.sha256(content).hexdigest()}
    return asset | {"text": text} if text and text.encode() == content else asset


def content_of(asset: Properties) -> bytes:
    """What an asset holds.

    Raises:
        OSError: Its file cannot be read.
        ValueError: It is an archive, or comes from a URI.
    """
    if asset[SIGNATURE] == ARCHIVE_SIGNATURE or asset.get("uri"):
        raise ValueError("archives and assets from URIs cannot be read here: give a StringAsset or a FileAsset")
    if asset.get("path"):
        return Path(asset["path"]).read_bytes()
    return str(asset.get("text", "")).encode()


def hashed(value: Value) -> Value:
    """The value with the hash in each of its assets.

    Raises:
        OSError: A file cannot be read.
        UnsupportedFeature: There is an archive, or an asset from a URI.
    """

    def with_hash(asset: Properties) -> Properties:
        if asset[SIGNATURE] == ARCHIVE_SIGNATURE:
            raise UnsupportedFeature("archives (pulumi.AssetArchive, FileArchive, RemoteArchive)")
        if asset.get("uri"):
            raise UnsupportedFeature("assets from URIs (pulumi.RemoteAsset)")
        known = {key: item for key, item in asset.items() if item}  # the real engine leaves an empty text out
        return known | {"hash": hashlib.sha256(content_of(asset)).hexdigest()}

    return _each(value, with_hash)


def elided(value: Value) -> Value:
    """The value with nothing but the hash left of its assets."""
    return _each(value, lambda asset: {key: asset[key] for key in (SIGNATURE, "hash") if key in asset})


def restored(value: Value, original: Value) -> Value:
    """The value with its elided assets whole again, where `original` has one of the same hash."""
    whole = {asset.get("hash"): asset for asset in walk_assets(original)}
    return _each(value, lambda asset: whole.get(asset.get("hash"), asset) if asset == elided(asset) else asset)


def _each(value: Value, change: Callable[[Properties], Properties]) -> Value:
    match value:
        case Secret():
            return Secret(_each(value.value, change))
        case dict() if is_asset(value):
            return change(value)
        case dict():
            return {key: _each(item, change) for key, item in value.items()}
        case list():
            return [_each(item, change) for item in value]
        case _:
            return value

"""Buckets that carry a stack's tags and that its state does not know, by S3's protocol, which AWS and OBS speak."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.leftovers import Leftover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightly_infra.leftovers import Known

_SIDE_BY_SIDE: Final = 8  # buckets whose tags are asked for at once


def buckets(s3: Any, kind: str, known: Known) -> Iterator[Leftover]:
    """Of the account's, those; they are kept.

    Args:
        s3: A client of boto3.
        kind: What they are called.
        known: What the stack's state knows.
    """
    from botocore.exceptions import ClientError

    def tags(bucket: str) -> Mapping[str, str]:
        try:
            return marks(s3.get_bucket_tagging(Bucket=bucket)["TagSet"])
        except ClientError:  # it has none, or is somebody else's
            return {}

    names = [it["Name"] for it in s3.list_buckets()["Buckets"] if it["Name"] not in known.names]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for name, found in zip(names, pool.map(tags, names), strict=True):
            if (component := known.component(name, found)) is not None:
                yield Leftover(kind, name, component)


def marks(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Tags as they are listed, by their key."""
    return {it["Key"]: it["Value"] for it in tags}

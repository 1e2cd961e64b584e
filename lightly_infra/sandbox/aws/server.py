"""ministack, in which objects can be older than they are: one put with the metadata `written` was written then.

S3 has nothing of the kind, and nobody can wait for weeks to see what a lifecycle does. This is run in a process of its
own: see `ministack`.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from ministack.app import app
from ministack.services import s3

__all__ = ["app"]

_HEADER: Final = "x-amz-meta-written"

_made = s3._build_object_record  # noqa: SLF001 - what every put of an object goes through


@wraps(_made)
def _as_old_as_told(body: bytes, headers: dict[str, str], *args: Any, **options: Any) -> dict[str, Any]:
    record: dict[str, Any] = _made(body, headers, *args, **options)
    if _HEADER in headers:
        record["last_modified"] = headers[_HEADER]
    return record


s3._build_object_record = _as_old_as_told  # noqa: SLF001

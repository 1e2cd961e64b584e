"""JSON documents as clouds compare them: by meaning."""

from __future__ import annotations

import json
from typing import Any


def same_document(one: str, other: str) -> bool:
    """Whether two JSON texts mean the same policy: formatting and the order of lists of strings do not matter.

    A list of one is the same as its only item, as everywhere in IAM. Text that is not JSON is compared as text.
    """
    try:
        return bool(_canonical(json.loads(one)) == _canonical(json.loads(other)))
    except ValueError:
        return one == other


def _canonical(value: Any) -> Any:
    match value:
        case dict():
            return {key: _canonical(item) for key, item in value.items()}
        case [only]:
            return _canonical(only)
        case list() if all(isinstance(item, str) for item in value):
            return sorted(value)
        case list():
            return [_canonical(item) for item in value]
        case _:
            return value

"""Property paths, such as `tags.team`, `rules[0]["a.b"]` or `rules[*].days`, as `ignore_changes` takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.engine.values import copy, reveal_top

if TYPE_CHECKING:
    from lightly_infra.sandbox.engine.values import Path, Properties

_ELEMENT: Final = re.compile(r'\.?(?:\["((?:\\"|[^"])*)"\]|\[(\*|-?\d+)\]|([^.\[]+))')


def parse_path(text: str) -> Path:
    """The path's elements: names, indexes, or "*" for all.

    Raises:
        ValueError: The text is not a property path.
    """
    elements: list[str | int] = []
    position = 0
    while position < len(text):
        match = _ELEMENT.match(text, position)
        if match is None or (position == 0 and text.startswith(".")):
            raise ValueError(f"{text!r} is not a property path")
        quoted, index, name = match.groups()
        if quoted is not None:
            elements.append(quoted.replace('\\"', '"'))
        elif index is not None:
            elements.append("*" if index == "*" else int(index))
        else:
            elements.append(name)
        position = match.end()
    return tuple(elements)


def contains(path: Path, other: Path) -> bool:
    """Whether `other` lies at or below `path`."""
    return len(other) >= len(path) and all(mine in ("*", theirs) for mine, theirs in zip(path, other, strict=False))


def reset_ignored(inputs: Properties, old: Properties, ignore_changes: tuple[str, ...]) -> Properties:
    """The inputs with the ignored paths set back to their old values.

    A path that exists on one side only and cannot be set (an element of a list, below a missing parent) is left
    as it is, as the real engine does.
    """
    result: Properties = copy(inputs)
    for text in ignore_changes:
        try:
            path = parse_path(text)
        except ValueError:
            continue
        _reset(result, old, path, old_secret=False, new_secret=False)
    return result


def _reset(new: Any, old: Any, path: Path, *, old_secret: bool, new_secret: bool) -> None:
    old_secret, new_secret = old_secret or isinstance(old, Secret), new_secret or isinstance(new, Secret)
    new, old = reveal_top(new), reveal_top(old)
    key, rest = path[0], path[1:]
    for each in _keys(new, old, key):
        if rest:
            if _has(new, each) and _has(old, each):
                _reset(new[each], old[each], rest, old_secret=old_secret, new_secret=new_secret)
        elif _has(old, each) and (isinstance(new, dict) or _has(new, each)):
            value = copy(old[each])
            keep_secret = old_secret and not new_secret and not isinstance(value, Secret)
            new[each] = Secret(value) if keep_secret else value
        elif isinstance(new, dict) and each in new and not _has(old, each):
            del new[each]


def _keys(new: Any, old: Any, key: str | int) -> list[Any]:
    if key != "*":
        return [key]
    if isinstance(new, dict) and isinstance(old, dict):
        return list({**old, **new})
    if isinstance(new, list) and isinstance(old, list):
        return list(range(min(len(old), len(new))))
    return []


def _has(container: Any, key: str | int) -> bool:
    if isinstance(container, dict):
        return key in container
    return isinstance(container, list) and isinstance(key, int) and 0 <= key < len(container)

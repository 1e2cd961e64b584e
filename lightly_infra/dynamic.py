"""What all our dynamic resources have in common: reading the properties that the engine hands to their providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.output import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_unknown(value: object) -> bool:
    """Whether a preview does not know the value yet. An `Unknown` is truthy and equals nothing."""
    return isinstance(value, Unknown)


def changed(olds: Mapping[str, Any], news: Mapping[str, Any], *names: str) -> list[str]:
    """Which of the properties are others, or may be."""
    return [it for it in names if is_unknown(news.get(it)) or news.get(it) != olds.get(it)]


def without_provider(props: Mapping[str, Any]) -> dict[str, Any]:
    """The properties less the serialized provider, which the SDK puts in and adds again itself."""
    return {name: value for name, value in props.items() if name != "__provider"}

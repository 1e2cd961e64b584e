"""What all our dynamic resources have in common: reading the properties that the engine hands to their providers."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from pulumi.dynamic import ResourceProvider
from pulumi.output import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_METHODS: Final = ("check", "diff", "create", "read", "update", "delete")


class Failed(Exception):
    """What failed, in words: never raised, and shown above a traceback."""

    __module__ = "builtins"  # whose names Python shows without a module


class MessageFirst(ResourceProvider):
    """A dynamic provider whose failures begin with their message.

    The SDK tells the engine of an exception by its traceback, of some 30 lines, whose last has the message
    (`pulumi/dynamic/__main__.py`). Python shows a cause above it, and one that was never raised in a single line.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in _METHODS:
            if name in vars(cls):
                setattr(cls, name, _message_first(vars(cls)[name]))


def _message_first(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any) -> Any:
        try:
            return method(*args)
        except Exception as error:
            if error.__cause__ is None:
                error.__cause__ = Failed(str(error) or repr(error))
            raise

    return call


def is_unknown(value: object) -> bool:
    """Whether a preview does not know the value yet. An `Unknown` is truthy and equals nothing."""
    return isinstance(value, Unknown)


def changed(olds: Mapping[str, Any], news: Mapping[str, Any], *names: str) -> list[str]:
    """Which of the properties are others, or may be."""
    return [it for it in names if is_unknown(news.get(it)) or news.get(it) != olds.get(it)]


def without_provider(props: Mapping[str, Any]) -> dict[str, Any]:
    """The properties less the serialized provider, which the SDK puts in and adds again itself."""
    return {name: value for name, value in props.items() if name != "__provider"}

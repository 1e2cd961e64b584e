"""What an emulated resource type declares and does; `resource_provider.py` turns it into a Pulumi provider."""

from __future__ import annotations

import hashlib
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from lightly_infra.sandbox.documents import same_document
from lightly_infra.sandbox.engine.values import is_asset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Value: TypeAlias = Any  # of a property: null, bool, number, string, list or dict
Properties: TypeAlias = dict[str, Value]
Refusal: TypeAlias = tuple[str, str]  # the property, and why its value is refused

_SUFFIX: Final = 7  # hex digits after an automatic name, as pulumi-terraform-bridge adds
_PREFIX_SUFFIX: Final = 26  # characters after a `namePrefix`, as the Terraform SDK adds


class ResourceError(Exception):
    """A request that the emulated cloud refuses, or that the emulator does not support; the message is for the user."""


@dataclass(frozen=True)
class Shape:
    """The nested properties that are honoured, and what the cloud's API calls each; a list's items share the shape."""

    names: Mapping[str, str]
    nested: Mapping[str, Shape] = field(default_factory=dict)

    def unsupported(self, value: object, path: str) -> list[str]:
        """The paths inside `value` that the shape does not have."""
        if isinstance(value, list):
            return [p for index, item in enumerate(value) for p in self.unsupported(item, f"{path}[{index}]")]
        if not isinstance(value, dict):
            return []
        found = [f"{path}.{name}" for name in value if name not in self.names]
        for name, shape in self.nested.items():
            found += shape.unsupported(value.get(name), f"{path}.{name}")
        return found

    def to_api(self, value: Value) -> Value:
        """The value under the API's names; absent properties stay absent."""
        if isinstance(value, list):
            return [self.to_api(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            api: self.nested[name].to_api(value[name]) if name in self.nested else value[name]
            for name, api in self.names.items()
            if value.get(name) is not None
        }

    def from_api(self, value: Value) -> Value:
        """The inverse of `to_api`; what the shape does not have is left out."""
        if isinstance(value, list):
            return [self.from_api(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            name: self.nested[name].from_api(value[api]) if name in self.nested else value[api]
            for name, api in self.names.items()
            if value.get(api) is not None
        }


@dataclass(frozen=True)
class Input:
    """One input that a type honours.

    Args:
        required: The program must give it.
        replaces: A change replaces the resource.
        default: What it is when the program does not say.
        computed: The cloud fills it in when the program does not say, so its presence there is no drift.
        document: It is JSON text: formatting and the order of its sets do not matter.
        shape: Its nested properties, when it has any.
        refuse: Why a known value is refused, or None. Called with the value only.
    """

    required: bool = False
    replaces: bool = False
    default: Value = None
    computed: bool = False
    document: bool = False
    shape: Shape | None = None
    refuse: Callable[[Any], str | None] | None = None

    def same(self, old: Value, new: Value) -> bool:
        """Whether two values mean the same to the cloud: nothing, an empty map and an empty list are all absence.

        Inside a shape so are an empty string and false: there the clouds fill in such defaults. Assets are what they
        hold (`engine.assets` reads and makes them).
        """
        if is_asset(old) and is_asset(new):
            return bool(old["hash"] == new["hash"])
        if self.shape:
            old, new = _without_defaults(old), _without_defaults(new)
        if self.document and isinstance(old, str) and isinstance(new, str):
            return same_document(old, new)
        if _absent(old) or _absent(new):
            return _absent(old) and _absent(new)
        return old == new and isinstance(old, bool) == isinstance(new, bool)


def _absent(value: object) -> bool:
    return value is None or value in ({}, [])


def _without_defaults(value: Value) -> Value:
    match value:
        case dict():
            pairs = {key: _without_defaults(item) for key, item in value.items()}
            return {key: item for key, item in pairs.items() if item not in ("", False, None, {}, [])}
        case list():
            return [_without_defaults(item) for item in value]
        case _:
            return value


@dataclass(frozen=True)
class Naming:
    """How a type is named when the program does not name it: the logical name, a dash and seven hex digits.

    Args:
        limit: The longest name, in characters.
        name: The input that holds the name.
        prefix: The input that holds a prefix to be completed at creation instead, when the type has one.
        lower: Names are lower-case.
    """

    limit: int
    name: str = "name"
    prefix: str | None = None
    lower: bool = False

    def automatic(self, logical_name: str, seed: bytes) -> str:
        """A name for a resource. The same seed, if there is one, gives the same name."""
        digits = hashlib.sha256(seed + logical_name.encode()).hexdigest() if seed else secrets.token_hex(_SUFFIX)
        name = f"{logical_name}-{digits[:_SUFFIX]}"
        return name.lower() if self.lower else name

    def chosen(self, inputs: Properties) -> str:
        """The name to create a resource by: the given one, or the given prefix completed."""
        given = inputs.get(self.name)
        if given:
            return str(given)
        return f"{inputs[self.prefix or '']}{secrets.token_hex(_PREFIX_SUFFIX // 2)}"

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """Names that are too long, and a name beside a prefix."""
        for key, limit in ((self.name, self.limit), (self.prefix, self.limit - _PREFIX_SUFFIX)):
            value = inputs.get(key) if key else None
            if key and isinstance(value, str) and len(value) > limit:
                yield key, f"{value!r} has {len(value)} characters; {limit} is the most"
        if self.prefix and inputs.get(self.prefix) and inputs.get(self.name):
            yield self.prefix, f"conflicts with {self.name!r}: give one of the two"


class ResourceType(ABC):
    """An emulated resource type. Methods get and return plain values: no secrets, and no unknowns outside `refusals`.

    `create`, `read` and `update` return the resource's outputs, echoing the inputs; `read` reports what the cloud has.
    """

    type_name: ClassVar[str]
    inputs: ClassVar[Mapping[str, Input]]
    naming: ClassVar[Naming | None] = None
    secret_outputs: ClassVar[frozenset[str]] = frozenset()
    also_nameable: ClassVar[frozenset[str]] = frozenset()
    """Inputs that the real provider makes up when the program does not say, and that are required here."""

    stable_outputs: ClassVar[frozenset[str] | None] = None
    """What a preview knows of an update in place beside its inputs. Default: all other outputs, which is what Terraform
    plans for computed attributes that have no reason to change."""

    @property
    def nameable(self) -> frozenset[str]:
        """The inputs that hold a name which the real provider could make up."""
        return self.also_nameable | ({self.naming.name} if self.naming else set())

    def complete(self, inputs: Properties) -> Properties:
        """The inputs with what they are when the program does not say; some may be unknown."""
        defaults = {name: spec.default for name, spec in self.inputs.items() if spec.default is not None}
        return defaults | inputs

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:  # noqa: ARG002 - for subclasses to use
        """What is wrong with inputs that are each right by themselves; some may be unknown."""
        return ()

    @abstractmethod
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the resource; returns its id and outputs."""

    @abstractmethod
    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The outputs as the cloud has them now, or None when it is gone. `olds` are the outputs known, if any.

        The provider takes an error that says so for None as well: see `ResourceProvider.is_gone`.
        """

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Change the resource in place; returns its outputs."""
        raise ResourceError(f"{resource_id!r} cannot be changed in place")

    @abstractmethod
    def delete(self, resource_id: str, olds: Properties) -> None:
        """Delete the resource; one that is gone already is no error."""

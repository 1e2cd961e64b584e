"""Property values: between protobuf structs and plain Python, with secrets and unknowns kept.

Inside the engine a property map is a dict of plain Python values in which `Secret` marks what is secret and `UNKNOWN`
what a preview cannot know. Assets stay the tagged dicts that they are on the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.protobuf import struct_pb2

from lightly_infra.sandbox.engine.interface import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# The wire protocol's own constants (pulumi/runtime/rpc.py).
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - names a kind of value, is no password
ASSET_SIGNATURE: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE_SIGNATURE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
UNKNOWN_SENTINEL: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Value: TypeAlias = Any
Properties: TypeAlias = dict[str, Value]
Path: TypeAlias = tuple[str | int, ...]


class Unknown:
    """The one value that a preview cannot know yet."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """The properties that a message carries."""
    return {key: _from_wire(value) for key, value in struct.fields.items()}


def _from_wire(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value == UNKNOWN_SENTINEL else value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_from_wire(item) for item in value.list_value.values]
        case "struct_value":
            return _from_tagged(value.struct_value)
        case _:
            return None


def _from_tagged(struct: struct_pb2.Struct) -> Value:
    kind = struct.fields[SIGNATURE].string_value if SIGNATURE in struct.fields else ""
    if kind == SECRET_SIGNATURE:
        inner = _from_wire(struct.fields["value"])
        return inner if isinstance(inner, Secret) else Secret(inner)
    return from_struct(struct)


def to_struct(properties: Mapping[str, Value], *, secrets: bool = False, unknowns: bool = False) -> struct_pb2.Struct:
    """The message form. Without `secrets` they are sent in plain; without `unknowns` those properties are left out."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        if unknowns or not is_unknown(value):
            struct.fields[key].CopyFrom(_to_wire(value, secrets=secrets))
    return struct


def _to_wire(value: Value, *, secrets: bool) -> struct_pb2.Value:
    wire = struct_pb2.Value()
    match value:
        case Secret() if secrets:
            wire = _to_wire({SIGNATURE: SECRET_SIGNATURE, "value": value.value}, secrets=True)
        case Secret():
            wire = _to_wire(value.value, secrets=False)
        case Unknown():
            wire.string_value = UNKNOWN_SENTINEL
        case None:
            wire.null_value = struct_pb2.NULL_VALUE
        case bool():
            wire.bool_value = value
        case int() | float():
            wire.number_value = value
        case str():
            wire.string_value = value
        case list() | tuple():
            wire.list_value.values.extend([_to_wire(item, secrets=secrets) for item in value])
        case dict():
            wire.struct_value.CopyFrom(to_struct(value, secrets=secrets, unknowns=True))
        case _:
            raise TypeError(f"{type(value).__name__} is no property value")
    return wire


def is_unknown(value: Value) -> bool:
    """Whether the value as a whole is unknown, secret or not."""
    return reveal_top(value) is UNKNOWN


def reveal_top(value: Value) -> Value:
    """The value without its own secret mark; marks further inside stay."""
    return value.value if isinstance(value, Secret) else value


def reveal(value: Value) -> Value:
    """The value without any secret marks."""
    match value:
        case Secret():
            return reveal(value.value)
        case dict():
            return {key: reveal(item) for key, item in value.items()}
        case list():
            return [reveal(item) for item in value]
        case _:
            return value


def copy(value: Value) -> Value:
    """A copy that shares no dict or list with the original."""
    match value:
        case Secret():
            return Secret(copy(value.value))
        case dict():
            return {key: copy(item) for key, item in value.items()}
        case list():
            return [copy(item) for item in value]
        case _:
            return value


def walk(value: Value, *, secret: bool = False, shown: Collection[str] = frozenset()) -> Iterator[tuple[Value, bool]]:
    """Every leaf, and whether it lies inside a secret.

    Args:
        value: Any.
        secret: Whether all of it does.
        shown: Keys of mappings whose values do only if they are marked themselves.
    """
    match value:
        case Secret():
            yield from walk(value.value, secret=True, shown=shown)
        case dict():
            for key, item in value.items():
                yield from walk(item, secret=secret and key not in shown, shown=shown)
        case list():
            for item in value:
                yield from walk(item, secret=secret, shown=shown)
        case _:
            yield value, secret


def is_asset(value: Value) -> bool:
    """Whether the value is an asset or an archive: a dict that is tagged as one."""
    return isinstance(value, dict) and value.get(SIGNATURE) in (ASSET_SIGNATURE, ARCHIVE_SIGNATURE)


def walk_assets(value: Value) -> Iterator[Properties]:
    """Every asset and archive in the value."""
    match value:
        case Secret():
            yield from walk_assets(value.value)
        case dict() if is_asset(value):
            yield value
        case dict():
            for item in value.values():
                yield from walk_assets(item)
        case list():
            for item in value:
                yield from walk_assets(item)


def holds_secret(value: Value) -> bool:
    """Whether anything in the value is secret (an empty secret dict or list counts)."""
    match value:
        case Secret():
            return True
        case dict():
            return any(holds_secret(item) for item in value.values())
        case list():
            return any(holds_secret(item) for item in value)
        case _:
            return False


def holds_unknown(value: Value) -> bool:
    """Whether anything in the value is unknown."""
    return any(leaf is UNKNOWN for leaf, _ in walk(value))


def annotate_secrets(outputs: Properties, inputs: Mapping[str, Value]) -> None:
    """Marks what comes back under the key of a secret input; providers that take no secrets return none.

    Dicts are compared key by key; of anything else one secret inside marks the whole, since lists may be reordered.
    """
    for key, given in inputs.items():
        if key not in outputs:
            continue
        returned = outputs[key]
        if isinstance(returned, dict) and isinstance(given, dict):
            annotate_secrets(returned, given)
        elif not isinstance(returned, Secret) and holds_secret(given):
            outputs[key] = Secret(returned)


def changed_paths(old: Value, new: Value, path: Path = ()) -> list[Path]:
    """Where two values differ, ignoring secret marks; a null and a missing key are the same.

    Assets are compared by their hash.
    """
    old, new = reveal_top(old), reveal_top(new)
    if is_asset(old) and is_asset(new):
        return [] if old.get("hash") == new.get("hash") else [path]
    if isinstance(old, dict) and isinstance(new, dict):
        paths: list[Path] = []
        for key in sorted({*old, *new}):
            before, after = old.get(key), new.get(key)
            if reveal_top(before) is None and reveal_top(after) is None:
                continue
            paths += changed_paths(before, after, (*path, key))
        return paths
    if isinstance(old, list) and isinstance(new, list):
        common = min(len(old), len(new))
        changed = [p for i in range(common) for p in changed_paths(old[i], new[i], (*path, i))]
        return changed + [(*path, i) for i in range(common, max(len(old), len(new)))]
    same = isinstance(old, bool) == isinstance(new, bool) and old == new and new is not UNKNOWN
    return [] if same else [path]


def plain(value: Value) -> Value:
    """For people: whole numbers as ints, as they were before the wire made floats of them; secrets marked."""
    match value:
        case Secret():
            return Secret(plain(reveal(value.value)))
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def sealed(value: Value) -> Value:
    """For the exported state: secrets become the document's secret objects without their value."""
    match value:
        case Secret():
            return {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "[secret]"}
        case Unknown():
            return UNKNOWN_SENTINEL
        case dict():
            return {key: sealed(item) for key, item in value.items()}
        case list():
            return [sealed(item) for item in value]
        case _:
            return plain(value)

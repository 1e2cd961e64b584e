"""Reads `Pulumi.yaml` and `Pulumi.<stack>.yaml` as Pulumi does, and refuses what would read as something else.

Errors tell lines and columns, never the text: a stack's file may hold secrets.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any, Final

import yaml

from lightly_infra.stack.settings import DATASETS_KEY, in_clear, plain_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Far more than a stack has, far less than what anchors that hold each other can blow up to.
_MOST_VALUES: Final = 100_000
_DEEPEST: Final = 50
_RUN: Final = secrets.token_bytes(32)


class ProjectError(ValueError):
    """There is no such project, stack or config; the message says where was looked and what to do."""


class _Loader(yaml.SafeLoader):
    """YAML without surprises: a date is text, and a key stands once."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - overrides the base class's table
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[object] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name != "<<":
                raise yaml.constructor.ConstructorError(None, None, "this key stands twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def mapping(file: Path) -> Mapping[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ProjectError: it cannot be read, or holds something else.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8-sig"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ProjectError(f"{file} cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # Only what the parser says by itself: some of its messages repeat the text.
        what = error.problem if error.problem and "'" not in error.problem else "this cannot be read"
        raise ProjectError(f"{file}{where}: {what}; quote values that hold special characters") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise ProjectError(f"{file} is no YAML text in UTF-8") from None
    if not isinstance(content, dict):
        raise ProjectError(f"{file} must hold a mapping")
    return content


def config(file: Path, project: str) -> tuple[dict[str, str], frozenset[str]]:
    """A stack's config as programs get it: keys in full, values as strings or JSON; and which keys are secret.

    What only the stack's owner can decrypt gets a stand-in: emulated clouds take any secret.

    Raises:
        ProjectError: the file cannot be read, holds what no config can, or a secret in clear.
    """
    raw = mapping(file).get("config")
    if raw is None:
        raw = {}
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ProjectError(f"{file}: write 'config' as a mapping whose keys are text, such as aws:region")
    qualified = {key if ":" in key else f"{project}:{key}": value for key, value in raw.items()}
    for key, value in qualified.items():
        _check(f"{file}: {key}", value, [0], depth=0)
    if plain := [plain_secret(path) for path in in_clear(qualified.get(DATASETS_KEY))]:
        raise ProjectError("\n".join(f"{file}: {it}" for it in plain))
    if brought := _brought(qualified.get(DATASETS_KEY)):
        raise ProjectError(
            f"{file}: {brought} is encrypted and opens a real cloud: the sandbox can neither decrypt nor use it; leave "
            "it out here, and the sandbox makes one"
        )
    return (
        {key: _as_config(_decrypted(value)) for key, value in qualified.items()},
        frozenset(key for key, value in qualified.items() if _is_secret(value)),
    )


def _check(where: str, value: object, count: list[int], *, depth: int) -> None:
    """Refuses what is no JSON, and what is too much: anchors can hold each other, and themselves."""
    count[0] += 1
    if count[0] > _MOST_VALUES or depth > _DEEPEST:
        raise ProjectError(f"{where} holds more than {_MOST_VALUES} values or {_DEEPEST} levels; look at its anchors")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ProjectError(f"{where}: a key is no text; write it in quotes")
        inner: list[object] = list(value.values())
    elif isinstance(value, list):
        inner = value
    elif value is None or isinstance(value, str | int | float | bool):
        return
    else:
        raise ProjectError(f"{where}: a {type(value).__name__} is nothing that a config can hold; write it as text")
    for each in inner:
        _check(where, each, count, depth=depth + 1)


def _brought(value: object, name: str = "") -> str | None:
    """The first field that holds credentials of the user's own for a real cloud, in which a stand-in is of no use."""
    if name in {"sas_token", "credentials"} and _is_secret(value):
        return name
    inner = value.items() if isinstance(value, dict) else ()
    return next((found for key, it in inner if (found := _brought(it, key))), None)


def _as_config(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _decrypted(value: object) -> object:
    match value:
        case {"secure": str(text)}:
            # The same for the same: two datasources may hold one user's key.
            return f"sandbox-{hashlib.blake2b(text.encode(), key=_RUN, digest_size=12).hexdigest()}"
        case dict():
            return {key: _decrypted(inner) for key, inner in value.items()}
        case list():
            return [_decrypted(inner) for inner in value]
        case _:
            return value


def _is_secret(value: object) -> bool:
    match value:
        case {"secure": str()}:
            return True
        case dict():
            return any(_is_secret(inner) for inner in value.values())
        case list():
            return any(_is_secret(inner) for inner in value)
        case _:
            return False

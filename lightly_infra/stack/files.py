"""Reads `Pulumi.yaml` and `Pulumi.<stack>.yaml` as Pulumi does, and refuses what would read as something else.

Errors tell lines and columns, never the text: a stack's file may hold secrets.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from lightly_infra import spec
from lightly_infra.spec.fields import shown, stand_in
from lightly_infra.stack.settings import DATASETS_KEY, in_clear, plain_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHIPPED_PROJECT: Final = "lightly-infra"
"""The project whose program this package ships."""

# Far more than a stack has, far less than what anchors that hold each other can blow up to.
_MOST_VALUES: Final = 100_000
_DEEPEST: Final = 50

# pulumi/sdk/go/common/tokens/names.go: StackName
_NAME: Final = re.compile(r"(?=.*[A-Za-z0-9_])[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")
_MOST_STEPS: Final = 3


class ProjectError(ValueError):
    """There is no such project, stack or config; the message says where was looked and what to do."""


class NoProject(ProjectError):
    """There is no Pulumi project."""


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


def root_of(directory: Path) -> Path:
    """The directory of the Pulumi project that holds `directory`, as the Pulumi CLI finds it.

    Raises:
        NoProject: there is no `Pulumi.yaml` here or above.
    """
    root = next((it for it in (directory, *directory.parents) if (it / "Pulumi.yaml").is_file()), None)
    if root is None:
        raise NoProject(f"no Pulumi.yaml in {directory} or above: run this in a Pulumi project")
    return root


def configs(root: Path) -> Path:
    """The directory of a project in which its stacks' files stand.

    Raises:
        ProjectError: `Pulumi.yaml` cannot be read.
    """
    return root / str(mapping(root / "Pulumi.yaml").get("stackConfigDir", "."))


def name_problem(stack: str, *, qualified: bool = False) -> str | None:
    """Why something is not a valid stack name, if it is not: Pulumi's rules, and none that looks like an option.

    Args:
        stack: the name.
        qualified: whether the organisation and the project may stand before it, as in `acme/vision/prod`.
    """
    steps = stack.split("/") if qualified else [stack]
    if len(steps) <= _MOST_STEPS and all(map(_NAME.fullmatch, steps)):
        return None
    return f"{shown(stack)} is not a valid stack name: use letters, digits, '.', '_' and, not first, '-'; at most 100"


def file_of(stack: str, directory: Path) -> Path:
    """The file with the config of a stack of the project that holds `directory`.

    Raises:
        ProjectError: there is no such project or stack.
    """
    if (problem := name_problem(stack)) is not None:
        raise ProjectError(f"{problem}; here are {', '.join(stacks(directory)) or 'none'}")
    file = configs(root_of(directory)) / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        raise ProjectError(
            f"no stack {stack!r} in {file.parent}: there is no {file.name}; stacks with a file: "
            f"{', '.join(stacks(directory)) or 'none'}"
        )
    return file


def stacks(directory: Path) -> list[str]:
    """The stacks that have a config in the project that holds `directory`; none where there is no project."""
    try:
        files = configs(root_of(directory)).glob("Pulumi.*.yaml")
    except ProjectError:
        return []
    return sorted(map(stack_of, files))


def project_name(root: Path) -> str:
    """What the project in a directory is called, by which keys without a namespace are its own."""
    return str(mapping(root / "Pulumi.yaml").get("name", root.name))


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


def stack_of(file: Path) -> str:
    """The stack that a file is the config of, by its name."""
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def written(file: Path, project: str) -> dict[str, object]:
    """A stack's config as its file has it, by key in full: encrypted values are `{"secure": …}`.

    Raises:
        ProjectError: the file cannot be read, holds what no config can, or a secret in clear or one that
            is not set yet.
    """
    raw = mapping(file).get("config")
    if raw is None:
        raw = {}
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ProjectError(f"{file}: write 'config' as a mapping whose keys are text, such as aws:region")
    qualified = {key if ":" in key else f"{project}:{key}": value for key, value in raw.items()}
    for key, value in qualified.items():
        _check(f"{file}: {key}", value, [0], depth=0)
    datasets = qualified.get(DATASETS_KEY)
    if wrong := [*map(plain_secret, in_clear(datasets)), *spec.not_set(datasets)]:
        raise ProjectError("\n".join(f"{file}: {it}" for it in wrong))
    return qualified


def config(file: Path, project: str) -> tuple[dict[str, str], frozenset[str]]:
    """What `as_given` makes of what `written` reads.

    Raises:
        ProjectError: as `written` does.
    """
    return as_given(written(file, project))


def as_given(values: Mapping[str, object]) -> tuple[dict[str, str], frozenset[str]]:
    """A stack's config as programs get it: keys in full, values as strings or JSON; and which keys are secret.

    What is encrypted, and only the stack's owner can decrypt, gets a stand-in (`spec.fields.stand_in`).

    Args:
        values: as `written` gives them.
    """
    return (
        {key: _as_config(_decrypted(value)) for key, value in values.items()},
        frozenset(key for key, value in values.items() if is_encrypted(value)),
    )


def is_encrypted(value: object) -> bool:
    """Whether a value of a stack's file is encrypted, in whole or in part."""
    match value:
        case {"secure": str()}:
            return True
        case dict():
            return any(is_encrypted(inner) for inner in value.values())
        case list():
            return any(is_encrypted(inner) for inner in value)
        case _:
            return False


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


def _as_config(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _decrypted(value: object) -> object:
    match value:
        case {"secure": str(text)}:
            return stand_in(text)
        case dict():
            return {key: _decrypted(inner) for key, inner in value.items()}
        case list():
            return [_decrypted(inner) for inner in value]
        case _:
            return value

"""A Pulumi project on disk, as a program that the sandbox's engines run."""

from __future__ import annotations

import json
import runpy
import secrets
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import yaml

from lightly_infra import spec
from lightly_infra import stack as shipped
from lightly_infra.sandbox.engine.interface import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SHIPPED_PROJECT: Final = "lightly-infra"


class ProjectError(ValueError):
    """There is no such project, stack or config; the message says where was looked and what to do."""


def of_stack(stack: str, directory: Path) -> Program:
    """The program and the stack's config of the Pulumi project that holds `directory`, as `pulumi up` finds them.

    Raises:
        ProjectError: there is no `Pulumi.yaml` here or above, no such stack in it, or no Python program.
    """
    root = _root(directory)
    project = _mapping(root / "Pulumi.yaml")
    file = _configs(root, project) / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        known = ", ".join(stacks(directory)) or "none"
        raise ProjectError(f"no stack {stack!r} in {file.parent}: it has {known}")
    name = str(project.get("name", root.name))
    return _program(partial(_run, _entry(root / str(project.get("main", ".")))), name, stack, file)


def stacks(directory: Path) -> list[str]:
    """The stacks that have a config in the project that holds `directory`; none where there is no project."""
    try:
        root = _root(directory)
        files = _configs(root, _mapping(root / "Pulumi.yaml")).glob("Pulumi.*.yaml")
    except ProjectError:
        return []
    return sorted(it.name.removeprefix("Pulumi.").removesuffix(".yaml") for it in files)


def datasets(program: Program) -> Mapping[str, spec.DatasetSpec]:
    """What the program's config declares under `lightly-infra:datasets`; nothing where it has no such key.

    Raises:
        SpecError: it does not hold.
    """
    declared = program.config.get(shipped.DATASETS_KEY)
    if declared is None:
        return {}
    return spec.parse(yaml.safe_load(declared), default_region=program.config.get("aws:region"))


def of_file(file: Path) -> Program:
    """The program that this package ships, with the config of a `Pulumi.<stack>.yaml` anywhere.

    Raises:
        ProjectError: the file is not there, or is no stack's config.
    """
    stack = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    return _program(shipped.main, SHIPPED_PROJECT, stack, file)


def _root(directory: Path) -> Path:
    root = next((it for it in (directory, *directory.parents) if (it / "Pulumi.yaml").is_file()), None)
    if root is None:
        raise ProjectError(f"no Pulumi.yaml in {directory} or above: run this in a Pulumi project, or give --config")
    return root


def _configs(root: Path, project: Mapping[str, Any]) -> Path:
    return root / str(project.get("stackConfigDir", "."))


def _program(run: Callable[[], None], project: str, stack: str, file: Path) -> Program:
    raw = _mapping(file).get("config") or {}
    if not isinstance(raw, dict):
        raise ProjectError(f"{file}: 'config' must be a mapping")
    qualified = {key if ":" in key else f"{project}:{key}": value for key, value in raw.items()}
    return Program(
        run=run,
        project=project,
        stack=stack,
        config={key: _as_config(_decrypted(value)) for key, value in qualified.items()},
        secret_keys=frozenset(key for key, value in qualified.items() if _is_secret(value)),
    )


def _mapping(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(f"{file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ProjectError(f"{file} must hold a mapping")
    return content


def _as_config(value: object) -> str:
    """The value as Pulumi hands it to programs: a string, JSON if it is more than a scalar."""
    return value if isinstance(value, str) else json.dumps(value)


def _decrypted(value: object) -> object:
    """The value with stand-ins for what only the stack's owner can decrypt: emulated clouds take any secret."""
    match value:
        case {"secure": str()}:
            return f"sandbox-{secrets.token_hex(12)}"
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


def _entry(main: Path) -> Path:
    entry = main / "__main__.py" if main.is_dir() else main
    if not entry.is_file():
        raise ProjectError(f"no Python program at {entry}: 'main' in Pulumi.yaml names the directory that has one")
    return entry


def _run(entry: Path) -> None:
    """Runs a program as Pulumi's own Python host does: its directory can be imported from, its name is `__main__`."""
    before = list(sys.path)
    sys.path.insert(0, str(entry.parent))
    try:
        runpy.run_path(str(entry), run_name="__main__")
    finally:
        sys.path[:] = before

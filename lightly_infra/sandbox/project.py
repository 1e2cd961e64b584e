"""A Pulumi project on disk, as a program that the sandbox's engines run."""

from __future__ import annotations

import re
import runpy
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import stack as shipped
from lightly_infra.sandbox import stackfile
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.stackfile import ProjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHIPPED_PROJECT: Final = "lightly-infra"


def of_stack(stack: str, directory: Path) -> Program:
    """The program and the stack's config of the Pulumi project that holds `directory`, as `pulumi up` finds them.

    Raises:
        ProjectError: there is no `Pulumi.yaml` here or above, no such stack in it, or no Python program.
    """
    if not stack or Path(stack).name != stack:
        raise ProjectError(f"{stack!r} is no stack's name; here are {', '.join(stacks(directory)) or 'none'}")
    root = _root(directory)
    project = stackfile.mapping(root / "Pulumi.yaml")
    runtime = project.get("runtime")
    if (runtime.get("name") if isinstance(runtime, dict) else runtime) != "python":
        raise ProjectError(f"{root / 'Pulumi.yaml'}: the sandbox runs Python programs, runtime is {runtime!r}")
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
        files = _configs(root, stackfile.mapping(root / "Pulumi.yaml")).glob("Pulumi.*.yaml")
    except ProjectError:
        return []
    return sorted(it.name.removeprefix("Pulumi.").removesuffix(".yaml") for it in files)


def settings(program: Program) -> shipped.Settings:
    """What the program's config declares for `lightly_infra.stack`; nothing where another program declares nothing.

    Raises:
        SpecError: it does not hold.
    """
    if program.run is not shipped.main and shipped.DATASETS_KEY not in program.config:
        return shipped.Settings(datasets={})
    return shipped.Settings.read(program.config, secret_keys=program.secret_keys)


def of_file(file: Path) -> Program:
    """The program that this package ships, with the config of a `Pulumi.<stack>.yaml` anywhere.

    Raises:
        ProjectError: the file is not there, or is no stack's config.
    """
    stack = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack):
        raise ProjectError(f"{file.name!r}: a stack is called by letters, digits, '.', '_' and '-'; rename the file")
    return _program(shipped.main, SHIPPED_PROJECT, stack, file)


def _root(directory: Path) -> Path:
    root = next((it for it in (directory, *directory.parents) if (it / "Pulumi.yaml").is_file()), None)
    if root is None:
        raise ProjectError(f"no Pulumi.yaml in {directory} or above: run this in a Pulumi project, or give --config")
    return root


def _configs(root: Path, project: Mapping[str, Any]) -> Path:
    return root / str(project.get("stackConfigDir", "."))


def _program(run: Callable[[], None], project: str, stack: str, file: Path) -> Program:
    config, secret_keys = stackfile.config(file, project)
    return Program(run=run, project=project, stack=stack, config=config, secret_keys=secret_keys)


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

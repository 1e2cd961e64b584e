"""A Pulumi project on disk, as a program that the sandbox's engines run."""

from __future__ import annotations

import re
import runpy
import sys
from functools import partial
from typing import TYPE_CHECKING

from lightly_infra import stack as shipped
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.stack import files
from lightly_infra.stack.files import ProjectError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def of_stack(stack: str, directory: Path) -> Program:
    """The program and the stack's config of the Pulumi project that holds `directory`, as `pulumi up` finds them.

    Raises:
        ProjectError: there is no `Pulumi.yaml` here or above, no such stack in it, or no Python program.
    """
    file = files.file_of(stack, directory)
    root = files.root_of(directory)
    project = files.mapping(root / "Pulumi.yaml")
    runtime = project.get("runtime")
    if (runtime.get("name") if isinstance(runtime, dict) else runtime) != "python":
        raise ProjectError(f"{root / 'Pulumi.yaml'}: the sandbox runs Python programs, runtime is {runtime!r}")
    run = partial(_run, _entry(root / str(project.get("main", "."))))
    return _program(run, files.project_name(root), stack, file)


def settings(program: Program) -> shipped.Settings:
    """What the program's config declares for `lightly_infra.stack`; nothing where another program declares nothing.

    Raises:
        SpecError: it is invalid.
    """
    if program.run is not shipped.main and shipped.DATASETS_KEY not in program.config:
        return shipped.Settings(datasets={})
    return shipped.Settings.read(program.config, secret_keys=program.secret_keys)


def of_file(file: Path) -> Program:
    """The program that this package ships, with the config of a `Pulumi.<stack>.yaml` anywhere.

    Raises:
        ProjectError: the file is not there, or is not a stack's config.
    """
    stack = files.stack_of(file)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", stack):
        raise ProjectError(f"{file.name!r}: a stack is called by letters, digits, '.', '_' and '-'; rename the file")
    return _program(shipped.main, files.SHIPPED_PROJECT, stack, file)


def _program(run: Callable[[], None], project: str, stack: str, file: Path) -> Program:
    values = files.written(file, project)
    if brought := _brought(values.get(shipped.DATASETS_KEY)):
        raise ProjectError(
            f"{file}: {brought} is encrypted and opens a real cloud: the sandbox can neither decrypt nor use it; leave "
            "it out here, and the sandbox makes one"
        )
    config, secret_keys = files.as_given(values)
    return Program(run=run, project=project, stack=stack, config=config, secret_keys=secret_keys)


def _brought(value: object, name: str = "") -> str | None:
    """The first field that holds credentials of the user's own for a real cloud, in which a stand-in is of no use."""
    if name in {"sas_token", "credentials"} and files.is_encrypted(value):
        return name
    inner = value.items() if isinstance(value, dict) else ()
    return next((found for key, it in inner if (found := _brought(it, key))), None)


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
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise RuntimeError(f"the program ended itself with sys.exit({ended.code!r})") from None
    finally:
        sys.path[:] = before

"""`lightly-infra import`: what an account has at Lightly, as a stack's YAML."""

from __future__ import annotations

import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lightly_infra.cli.telling import FAILED, JsonOption, told
from lightly_infra.updates.changes import Failure

if TYPE_CHECKING:
    from collections.abc import Collection

    from lightly_infra.cli.telling import Teller
    from lightly_infra.importing import Existing, Imported

EXIT_CODES: Final = (
    "Exit codes: 0 it was written; 1 Lightly could not be read, or a dataset that was asked for is not there or cannot "
    "be written; 2 the input cannot be used and nothing was touched; 130 interrupted."
)

_REFUSAL: Final[dict[str, Any]] = {"ok": False, "files": [], "datasets": {}, "left_out": [], "commands": []}

_CALLS: Final = 8  # at a time: each dataset costs one

_PROJECT: Final = """\
name: lightly-infra
description: Storage, permissions and datasets for the Lightly platform
runtime: python
"""

_PROGRAM: Final = '''\
"""The program behind every stack. `Pulumi.<stack>.yaml` beside it says what to deploy."""

from lightly_infra.stack import main

main()
'''


def import_(
    *,
    token_env: Annotated[
        str, typer.Option("--token-env", help="The environment variable that holds the token.")
    ] = "LIGHTLY_TOKEN",  # noqa: S107 - the name of a variable
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="The name of a dataset. Repeatable. Default: all.")
    ] = None,
    stack: Annotated[str, typer.Option("--stack", "-s", help="The stack's name.")] = "imported",
    directory: Annotated[
        Path, typer.Option("--directory", help="In a Pulumi project, or where to start one.", file_okay=False)
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write what an account has at Lightly as a stack's YAML, whose first `pulumi up` changes nothing there.

    Secrets are neither read nor written: each stands as a placeholder, and the command that sets it is printed. Nothing
    is overwritten. What the YAML cannot say is left out, and why is told.
    """
    from lightly_infra.importing import imported
    from lightly_infra.lightly.errors import InvalidInput, LightlyError

    with told(as_json=as_json, refusal=_REFUSAL) as tell:
        files = _free(_files(stack, directory, tell), tell)
        token = os.environ.get(token_env, "").strip()
        if not token:
            tell.refuse(
                f"--token-env: {token_env} is not set; copy the token from Lightly's preferences page and export it"
            )
        try:
            existing = _existing(token, dataset)
        except InvalidInput as error:
            tell.refuse(str(error))
        except LightlyError as error:
            said = str(error).replace("LIGHTLY_TOKEN", token_env)
            tell.error(said)
            tell.result(_REFUSAL | {"failures": [Failure("", said).as_json()]}, "Nothing was written.")
            raise typer.Exit(FAILED) from None
        result = imported(existing)
        problems = [f"not imported: {it}" for it in result.left_out]
        known = {it.dataset.name for it in existing}
        absent = [
            f"--dataset {name!r}: this account has none of that name" for name in dataset or [] if name not in known
        ]
        if result.datasets:
            _write({**files, next(reversed(files)): result.text(stack)}, tell)
        else:
            files = {}
            absent = absent or ["there is nothing that can be imported"]
        for problem in problems:
            tell.note(problem)
        for problem in absent:
            tell.error(problem)
        ok = not absent and not (dataset and result.left_out)
        if as_json:
            tell.result(_document(result, files, stack, absent, ok=ok), "")
        else:
            typer.echo(_next_steps(result, files, stack, directory))
        if not ok:
            raise typer.Exit(FAILED)


def _files(stack: str, directory: Path, tell: Teller) -> dict[Path, str]:
    """What is to be written, last the stack's own file, whose text is not known yet."""
    from lightly_infra.stack import files

    if (problem := files.name_problem(stack)) is not None:
        tell.refuse(f"--stack: {problem}")
    if not directory.is_dir():
        tell.refuse(f"--directory {str(directory)!r}: there is no such directory; make it first")
    directory = directory.resolve()
    try:
        return {files.configs(files.root_of(directory)) / f"Pulumi.{stack}.yaml": ""}
    except files.NoProject:
        project = {directory / "Pulumi.yaml": _PROJECT, directory / "__main__.py": _PROGRAM}
        return {**project, directory / f"Pulumi.{stack}.yaml": ""}
    except files.ProjectError as error:
        tell.refuse(str(error))


def _free(files: dict[Path, str], tell: Teller) -> dict[Path, str]:
    """The files, if none of them is there yet."""
    for file in files:
        if file.exists() or file.is_symlink():
            tell.refuse(f"{file} is there already, and is not overwritten: give another --stack or --directory")
    return files


def _existing(token: str, names: Collection[str] | None) -> list[Existing]:
    """The account's datasets, or those of these names, each with its datasources."""
    from lightly_infra.importing import Existing
    from lightly_infra.lightly.client import LightlyClient

    with LightlyClient.from_env({**os.environ, "LIGHTLY_TOKEN": token}) as client, ThreadPoolExecutor(_CALLS) as pool:
        wanted = [it for it in client.list_datasets() if not names or it.name in names]
        datasources = pool.map(client.list_datasources, [it.id for it in wanted])
        return [Existing(it, tuple(sources)) for it, sources in zip(wanted, datasources, strict=True)]


def _write(files: dict[Path, str], tell: Teller) -> None:
    written: list[Path] = []
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as new:
                written.append(file)
                new.write(text)
    except OSError as error:
        for file in written:  # ours, and not whole
            file.unlink()
        tell.refuse(f"{error.filename} cannot be written: {error.strerror}")


def _document(
    result: Imported, files: Collection[Path], stack: str, failures: list[str], *, ok: bool
) -> dict[str, Any]:
    return {
        "ok": ok,
        "files": [str(file) for file in files],
        "datasets": {key: dataset["id"] for key, dataset in result.datasets.items()},
        "left_out": [{"id": it.id, "name": it.name, "reason": it.reason} for it in result.left_out],
        "commands": result.commands(stack),
        "failures": [Failure("", it).as_json() for it in failures],
    }


def _next_steps(result: Imported, files: Collection[Path], stack: str, directory: Path) -> str:
    if not files:
        return "Nothing was written."
    return "\n".join(
        [
            *(f"Written: {file}" for file in files),
            "Next:",
            *([] if directory.resolve() == Path.cwd() else [f"  cd {shlex.quote(str(directory.resolve()))}"]),
            f"  pulumi stack init {stack}",
            *(f"  {command}" for command in result.commands(stack)),
            f"  pulumi up --stack {stack}",
        ]
    )

"""`lightly-infra worker-config`: what `schedule_compute_worker_run` has to be told of a run on a dataset."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lightly_infra.cli.telling import DatasetOption, StackOption, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.cli.telling import Teller
    from lightly_infra.spec import DatasetSpec

EXIT_CODES: Final = "Exit codes: 0 it was printed; 2 the input cannot be used; 130 interrupted."


class Format(StrEnum):
    """How it is written."""

    JSON = "json"
    YAML = "yaml"


def worker_config(
    *,
    stack: StackOption = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A Pulumi.<stack>.yaml anywhere.")] = None,
    dataset: DatasetOption = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How it is written.")] = Format.JSON,  # noqa: A002
) -> None:
    """Print a dataset's worker config, ready for `schedule_compute_worker_run(worker_config=…)`.

    It follows from the YAML alone: no token, no Pulumi CLI and no cloud are asked. A dataset that needs none gives {}.
    """
    with told(as_json=False, refusal={}) as tell:
        wanted = _dataset(_datasets(stack, config, tell), dataset, tell)
        document, worker = wanted.worker_config(), wanted.needs_worker
        if format is Format.JSON:
            if worker is not None:
                tell.note(_needs(worker))
            typer.echo(json.dumps(document, indent=2))
        else:
            import yaml

            if worker is not None:
                typer.echo(f"# {_needs(worker)}")
            typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)


def _needs(worker: str) -> str:
    return f"Needs a Lightly Worker {worker}: earlier ones do not know input_expiration."


def _datasets(stack: str | None, config: Path | None, tell: Teller) -> Mapping[str, DatasetSpec]:
    from lightly_infra.spec import SpecError
    from lightly_infra.stack import files
    from lightly_infra.stack.settings import DATASETS_KEY, Settings

    try:
        tell.refuse_unless_one(stack, config)
        file = files.file_of(stack, Path.cwd()) if stack is not None else Path(str(config))
        project = files.project_name(files.root_of(Path.cwd())) if stack is not None else files.SHIPPED_PROJECT
        values, secret_keys = files.config(file, project)
        if DATASETS_KEY not in values:
            tell.refuse(f"{file}: no {DATASETS_KEY}, from which the worker config follows")
        return Settings.read(values, secret_keys=secret_keys).datasets
    except (files.ProjectError, SpecError) as error:
        tell.refuse(str(error))


def _dataset(datasets: Mapping[str, DatasetSpec], key: str | None, tell: Teller) -> DatasetSpec:
    if key is None and len(datasets) == 1:
        return next(iter(datasets.values()))
    if key is None:
        tell.refuse(f"--dataset is missing: the stack has {', '.join(datasets)}; each has a worker config of its own")
    if key not in datasets:
        tell.refuse(f"--dataset {key!r}: the stack has no such dataset, but {', '.join(datasets)}")
    return datasets[key]

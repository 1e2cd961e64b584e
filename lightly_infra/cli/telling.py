"""What all commands have in common: how they tell results and problems, how they end, and the options they share."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console

from lightly_infra.updates.changes import Failure, Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lightly_infra.updates.changes import Change, OnChange

FAILED: Final = 1
REFUSED: Final = 2
INTERRUPTED: Final = 130

EXIT_CODES: Final = (
    "Exit codes: 0 everything holds; 1 something failed or is invalid; 2 the input cannot be used and nothing was "
    "touched; 130 interrupted."
)


def _complete_stack(incomplete: str) -> list[str]:
    """The stacks of the project in the working directory, for the shell."""
    from lightly_infra.stack import files

    return [stack for stack in files.stacks(Path.cwd()) if stack.startswith(incomplete)]


def _complete_dataset(context: typer.Context, incomplete: str) -> list[str]:
    """The datasets of the stack that is named already, for the shell."""
    from lightly_infra.stack import files
    from lightly_infra.stack.settings import DATASETS_KEY

    try:
        file = context.params.get("config") or files.file_of(str(context.params.get("stack")), Path.cwd())
        declared = files.written(Path(file), "").get(DATASETS_KEY)
    except files.ProjectError:
        return []
    return [key for key in declared if key.startswith(incomplete)] if isinstance(declared, dict) else []


StackOption = Annotated[
    str | None,
    typer.Option("--stack", "-s", help="A stack of the Pulumi project here.", autocompletion=_complete_stack),
]
StackArgument = Annotated[
    str,
    typer.Option(
        "--stack",
        "-s",
        help="A stack of the Pulumi project here, as the Pulumi CLI calls it.",
        autocompletion=_complete_stack,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A Pulumi.<stack>.yaml anywhere, run with the program of lightly-infra."),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        help="A dataset by its key in the YAML, if there are several.",
        autocompletion=_complete_dataset,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


class Teller:
    """Results go to standard output, everything else to standard error."""

    def __init__(
        self,
        *,
        as_json: bool,
        refusal: Mapping[str, Any],
        leaves: str = "everything that was started has been stopped",
    ) -> None:
        """Prepares to tell.

        Args:
            as_json: Whether the result is for machines.
            refusal: The document of a run that was refused, which has the same keys as any other; empty for none.
            leaves: What an interruption leaves behind, and what to do then. May change as the command goes on.
        """
        self.leaves = leaves
        self._as_json = as_json
        self._refusal = dict(refusal)
        self._out = Console(soft_wrap=False)
        self._err = Console(stderr=True)

    def note(self, text: str) -> None:
        """Says something beside the result."""
        self._err.print(text, markup=False, highlight=False, soft_wrap=True)

    def log(self, severity: str, message: str) -> None:
        """What a program logs; what it would only show when debugging is left out, errors come as failures."""
        if severity in {"info", "warning"}:
            self.note(f"{severity}: {message}")

    def result(self, document: dict[str, Any], picture: object) -> None:
        """The result: a document for machines, a picture for people."""
        if self._as_json:
            self._refusal = {}  # there is one document
            typer.echo(json.dumps(document, indent=2))
        else:
            self._out.print(picture)

    def failures(self, failures: Iterable[Failure]) -> None:
        """What failed in a run."""
        for failure in failures:
            self.error(f"{_resource(failure.urn)}: {failure.message}" if failure.urn else failure.message)

    def refuse(self, message: str) -> NoReturn:
        """Says why nothing was done, and ends."""
        self._end(message, REFUSED)

    def interrupted(self, *, terminated: bool) -> NoReturn:
        """Says what an interruption leaves behind, and ends."""
        how = "interrupted twice, so that Pulumi ended amid its steps" if terminated else "interrupted"
        self._end(f"{how}; {self.leaves}", INTERRUPTED)

    def _end(self, message: str, code: int) -> NoReturn:
        if self._as_json and self._refusal:
            self.result(self._refusal | {"failures": [Failure("", message).as_json()]}, None)
        self.error(message)
        raise typer.Exit(code)

    def refuse_unless_one(self, stack: str | None, config: Path | None) -> None:
        """Wants a stack of the project here, or a file anywhere."""
        if (stack is None) == (config is None):
            self.refuse("give one of --stack NAME and --config FILE")

    def error(self, message: str) -> None:
        """Says what went wrong."""
        self._err.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, doing: str) -> Iterator[OnChange]:
        """Shows what is being done; a program that prints does so on standard error."""
        done = 0
        with (
            self._err.status(f"{doing} …") as status,
            contextlib.redirect_stdout(sys.stderr),
        ):

            def on_change(change: Change) -> None:
                nonlocal done
                done += 1
                status.update(f"{doing} … {done} done, last {change.operation} {change.name} ({change.type})")

            yield on_change


def _resource(urn: str) -> str:
    """Type and name of a resource, for people."""
    _, _, type_, name = urn.split("::", 3)
    return f"{type_.split('$')[-1]} {name}"


@contextlib.contextmanager
def told(*, as_json: bool, refusal: Mapping[str, Any], **more: str) -> Iterator[Teller]:
    """Turns what users can mend into a message and an exit code, and an interruption into a clean end.

    Takes what `Teller` takes.
    """
    tell = Teller(as_json=as_json, refusal=refusal, **more)
    try:
        yield tell
    except KeyboardInterrupt as error:
        tell.interrupted(terminated=isinstance(error, Interrupted) and error.terminated)
    except ImportError as missing:
        # The packages of an extra are imported when needed; the sandbox's own errors say which extra it is.
        if "pip install" not in str(missing):
            raise
        tell.refuse(str(missing))

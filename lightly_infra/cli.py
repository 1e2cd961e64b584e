"""The command line, `lightly-infra`.

Exit codes: 0 everything was done and holds; 1 something failed or does not hold; 2 what was asked for cannot be,
and nothing was touched; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console

from lightly_infra import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.engine.interface import Change, Failure, OnChange, Program, Result
    from lightly_infra.sandbox.environment import Sandbox

FAILED: Final = 1
REFUSED: Final = 2
INTERRUPTED: Final = 130

_EXIT_CODES = (
    "Exit codes: 0 everything holds; 1 something failed or does not hold; 2 the input cannot be used and nothing was "
    "touched; 130 interrupted."
)

# The document of a run that was refused has the same keys as any other.
_REFUSAL: Final[dict[str, Any]] = {"ok": False, "engine": None, "resources": {}, "datasets": []}

app = typer.Typer(
    help="Connects cloud storage to the Lightly platform.",
    no_args_is_help=True,
    epilog=_EXIT_CODES,
    pretty_exceptions_show_locals=False,  # they may hold secrets
)
sandbox_app = typer.Typer(
    help="Run stacks on this machine, against emulated clouds and an emulated Lightly.",
    no_args_is_help=True,
    epilog=_EXIT_CODES,
)
app.add_typer(sandbox_app, name="sandbox")


class EngineOption(StrEnum):
    """What runs the program."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    PULUMI = "pulumi"


def _complete_stack(incomplete: str) -> list[str]:
    """The stacks of the project in the working directory, for the shell."""
    from lightly_infra.sandbox import project

    return [stack for stack in project.stacks(Path.cwd()) if stack.startswith(incomplete)]


StackOption = Annotated[
    str | None,
    typer.Option("--stack", "-s", help="A stack of the Pulumi project here.", autocompletion=_complete_stack),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A Pulumi.<stack>.yaml anywhere, run with the program of lightly-infra."),
]
EngineChoice = Annotated[
    EngineOption, typer.Option("--engine", help="`auto` takes the Pulumi CLI where it is on PATH.")
]
BucketsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bucket",
        help="For a program of your own: a bucket that it takes as given, filled with images, such as "
        "s3://NAME/PREFIX, gs://NAME/PREFIX, obs://NAME/PREFIX or azure://ACCOUNT/CONTAINER/PREFIX. Repeatable.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


@app.callback(invoke_without_command=True)
def _root(*, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@sandbox_app.command("up", epilog=_EXIT_CODES)
def up(
    *,
    stack: StackOption = None,
    config: ConfigOption = None,
    engine: EngineChoice = EngineOption.AUTO,
    bucket: BucketsOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the sandbox running until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Deploy a stack into the sandbox, and show what was made and proved."""
    with _told(as_json=as_json) as tell, _sandbox(stack, config, engine, token=None, tell=tell) as (sandbox, program):
        for given in bucket or []:
            try:
                sandbox.put_images(given)
            except ValueError as error:
                tell.refuse(f"--bucket: {error}")
        with tell.progress("Deploying") as on_change:
            result = sandbox.up(program, on_change)
        report = sandbox.report(result)
        tell.failures(result.failures)
        tell.result(report.as_json(), report)
        if keep:
            with contextlib.suppress(KeyboardInterrupt):  # the way to end it
                tell.note("The sandbox runs until Ctrl-C. To use it from another terminal:")
                for name, value in sandbox.environment.items():
                    tell.note(f"  export {name}={value}")
                threading.Event().wait()
        if not report.ok:
            raise typer.Exit(FAILED)


@sandbox_app.command("preview", epilog=_EXIT_CODES)
def preview(
    *,
    stack: StackOption = None,
    config: ConfigOption = None,
    engine: EngineChoice = EngineOption.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Show what would be made, without a token."""
    with _told(as_json=as_json) as tell, _sandbox(stack, config, engine, token="", tell=tell) as (sandbox, program):
        with tell.progress("Previewing") as on_change:
            result = sandbox.preview(program, on_change)
        tell.failures(result.failures)
        tell.result(_preview_json(sandbox, result), _preview_table(result))
        if result.failed:
            raise typer.Exit(FAILED)


@sandbox_app.command("lightly", epilog=_EXIT_CODES)
def lightly(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    token: Annotated[
        str | None,
        typer.Option(envvar="LIGHTLY_TOKEN", show_envvar=True, help="What is accepted. Default: a random one."),
    ] = None,
) -> None:
    """Run the emulated Lightly API alone, in the foreground, for any client."""
    with _told(as_json=False) as tell:
        from lightly_infra.sandbox.lightly import LightlyServer

        accepted = token or secrets.token_hex(20)
        try:
            server = LightlyServer(accepted, port=port).start()
        except OSError as error:
            tell.refuse(f"--port {port} cannot be listened on ({error.strerror}): choose another, or 0 for a free one")
        with server:
            typer.echo(f"export LIGHTLY_SERVER_LOCATION={server.url}")
            if not token:  # one that was made here, for this run only
                typer.echo(f"export LIGHTLY_TOKEN={accepted}")
            tell.note("Clients show the token as the API wants it, in the query: ?token=…")
            tell.note("Emulated; without a cloud behind it, so verify answers that nothing is allowed. Ctrl-C ends it.")
            threading.Event().wait()


def main() -> None:
    """The entry point: a terminated process cleans up as an interrupted one does."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


class _Teller:
    """Results go to standard output, everything else to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._out = Console(soft_wrap=False)
        self._err = Console(stderr=True)

    def note(self, text: str) -> None:
        self._err.print(text, markup=False, highlight=False, soft_wrap=True)

    def log(self, severity: str, message: str) -> None:
        """What a program logs; what it would only show when debugging is left out, errors come as failures."""
        if severity in {"info", "warning"}:
            self._err.print(f"{severity}: {message}", markup=False, highlight=False, soft_wrap=True)

    def result(self, document: dict[str, Any], picture: object) -> None:
        if self._as_json:
            typer.echo(json.dumps(document, indent=2))
        else:
            self._out.print(picture)

    def failures(self, failures: tuple[Failure, ...]) -> None:
        for failure in failures:
            self._error(f"{_resource(failure.urn)}: {failure.message}" if failure.urn else failure.message)

    def refuse(self, message: str) -> NoReturn:
        """Says why nothing was done, and ends."""
        if self._as_json:
            typer.echo(json.dumps(_REFUSAL | {"failures": [{"resource": "", "message": message}]}, indent=2))
        self._error(message)
        raise typer.Exit(REFUSED)

    def _error(self, message: str) -> None:
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
def _told(*, as_json: bool) -> Iterator[_Teller]:
    """Turns what users can mend into a message and an exit code, and an interruption into a clean end."""
    tell = _Teller(as_json=as_json)
    try:
        yield tell
    except KeyboardInterrupt:
        tell.note("Interrupted; everything that was started has been stopped.")
        raise typer.Exit(INTERRUPTED) from None
    except ImportError as missing:
        # The packages of an extra are imported when needed; the sandbox's own errors say which extra it is.
        if "pip install" not in str(missing):
            raise
        tell.refuse(str(missing))


@contextlib.contextmanager
def _sandbox(
    stack: str | None, config: Path | None, engine: EngineOption, *, token: str | None, tell: _Teller
) -> Iterator[tuple[Sandbox, Program]]:
    """A running sandbox and the program for it; everything wrong with the input is said before anything starts."""
    from lightly_infra.sandbox import project
    from lightly_infra.sandbox.cloud import CannotSeed, CannotStart
    from lightly_infra.sandbox.environment import EngineMissing, Sandbox
    from lightly_infra.sandbox.stackfile import ProjectError
    from lightly_infra.spec import SpecError

    try:
        if (stack is None) == (config is None):
            tell.refuse("give one of --stack NAME and --config FILE")
        program = project.of_stack(stack, Path.cwd()) if stack is not None else project.of_file(Path(str(config)))
        account = project.settings(program).lightly_account_id
        with Sandbox(engine=engine.value, token=token, lightly_account_id=account, on_log=tell.log) as sandbox:
            yield sandbox, program
    except (ProjectError, EngineMissing, CannotSeed, CannotStart, SpecError) as error:
        tell.refuse(str(error))


def _preview_json(sandbox: Sandbox, result: Result) -> dict[str, Any]:
    return {
        "ok": not result.failed,
        "engine": sandbox.engine.name,
        "resources": result.counts,
        "changes": [{"operation": str(it.operation), "type": it.type, "name": it.name} for it in result.changes],
        "failures": [{"resource": it.urn, "message": it.message} for it in result.failures],
    }


def _preview_table(result: Result) -> object:
    from rich.table import Table

    table = Table("Operation", "Type", "Name", title="What `up` would do", title_justify="left")
    for change in result.changes:
        table.add_row(str(change.operation), change.type, change.name)
    return table


if __name__ == "__main__":
    main()

"""`lightly-infra sandbox`: stacks on this machine, against emulated clouds and an emulated Lightly."""

from __future__ import annotations

import contextlib
import secrets
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lightly_infra.cli import check as checking
from lightly_infra.cli.telling import EXIT_CODES, FAILED, ConfigOption, JsonOption, StackOption, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.cli.telling import Teller
    from lightly_infra.sandbox.engine.interface import Program, Result
    from lightly_infra.sandbox.environment import Sandbox
    from lightly_infra.updates.changes import OnLog

_REFUSAL: Final[dict[str, Any]] = {"ok": False, "engine": None, "resources": {}, "datasets": [], "inputs": []}

app = typer.Typer(
    help="Run stacks on this machine, against emulated clouds and an emulated Lightly.",
    no_args_is_help=True,
    epilog=EXIT_CODES,
)


class EngineOption(StrEnum):
    """What runs the program."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    PULUMI = "pulumi"


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


@app.command("up", epilog=EXIT_CODES)
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
    with (
        told(as_json=as_json, refusal=_REFUSAL) as tell,
        _sandbox(stack, config, engine, token=None, tell=tell) as (sandbox, program),
    ):
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


@app.command("preview", epilog=EXIT_CODES)
def preview(
    *,
    stack: StackOption = None,
    config: ConfigOption = None,
    engine: EngineChoice = EngineOption.AUTO,
    as_json: JsonOption = False,
) -> None:
    """Show what would be made, without a token."""
    with (
        told(as_json=as_json, refusal=_REFUSAL) as tell,
        _sandbox(stack, config, engine, token="", tell=tell) as (sandbox, program),
    ):
        with tell.progress("Previewing") as on_change:
            result = sandbox.preview(program, on_change)
        tell.failures(result.failures)
        tell.result(_preview_json(sandbox, result), _preview_table(result))
        if result.failed:
            raise typer.Exit(FAILED)


@app.command("check", epilog=checking.EXIT_CODES)
def check(
    *,
    stack: StackOption = None,
    config: ConfigOption = None,
    engine: EngineChoice = EngineOption.AUTO,
    no_drift: checking.NoDriftOption = False,
    run_days: checking.RunDaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy a stack into the sandbox, and check it as `lightly-infra check` does a real one."""
    with told(as_json=as_json, refusal=checking.REFUSAL) as tell:
        log = checking.Log(tell)
        with _sandbox(stack, config, engine, token=None, tell=tell, on_log=log) as (sandbox, program):
            with tell.progress("Deploying") as on_change:
                result = sandbox.up(program, on_change)
            from lightly_infra.health import Health
            from lightly_infra.sandbox.engine.environment import environment

            with environment(sandbox.environment):
                deployed = sandbox.deployed(program, result)
                health = (
                    Health(program.stack, (), tuple(log.warnings), result.failures)
                    if result.failed
                    else checking.examine(deployed, log, drift=not no_drift, run_days=run_days, tell=tell)
                )
            checking.end(health, tell)


@app.command("lightly", epilog=EXIT_CODES)
def lightly(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    token: Annotated[
        str | None,
        typer.Option(envvar="LIGHTLY_TOKEN", show_envvar=True, help="What is accepted. Default: a random one."),
    ] = None,
) -> None:
    """Run the emulated Lightly API alone, in the foreground, for any client."""
    with told(as_json=False, refusal=_REFUSAL) as tell:
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


@contextlib.contextmanager
def _sandbox(
    stack: str | None,
    config: Path | None,
    engine: EngineOption,
    *,
    token: str | None,
    tell: Teller,
    on_log: OnLog | None = None,
) -> Iterator[tuple[Sandbox, Program]]:
    """A running sandbox and the program for it; everything wrong with the input is said before anything starts."""
    from lightly_infra.sandbox import project
    from lightly_infra.sandbox.cloud import CannotSeed, CannotStart
    from lightly_infra.sandbox.environment import EngineMissing, Sandbox
    from lightly_infra.spec import SpecError
    from lightly_infra.stack.files import ProjectError

    try:
        tell.refuse_unless_one(stack, config)
        program = project.of_stack(stack, Path.cwd()) if stack is not None else project.of_file(Path(str(config)))
        account = project.settings(program).lightly_account_id
        with Sandbox(
            engine=engine.value, token=token, lightly_account_id=account, on_log=on_log or tell.log
        ) as sandbox:
            yield sandbox, program
    except (ProjectError, EngineMissing, CannotSeed, CannotStart, SpecError) as error:
        tell.refuse(str(error))


def _preview_json(sandbox: Sandbox, result: Result) -> dict[str, Any]:
    return {
        "ok": not result.failed,
        "engine": sandbox.engine.name,
        "resources": result.counts,
        "changes": [{"operation": str(it.operation), "type": it.type, "name": it.name} for it in result.changes],
        "failures": [it.as_json() for it in result.failures],
    }


def _preview_table(result: Result) -> object:
    from rich.table import Table

    table = Table("Operation", "Type", "Name", title="What `up` would do", title_justify="left")
    for change in result.changes:
        table.add_row(str(change.operation), change.type, change.name)
    return table

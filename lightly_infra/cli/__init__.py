"""The command line, `lightly-infra`. Each command has a module of its own, and loads what it needs when it runs."""

from __future__ import annotations

import signal
from typing import Annotated, Final, NoReturn

import typer

from lightly_infra import __version__
from lightly_infra.cli import check, importing, rotate, sandbox, worker_config
from lightly_infra.cli.telling import EXIT_CODES

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

app = typer.Typer(
    help="Connects cloud storage to the Lightly platform.",
    no_args_is_help=True,
    epilog=EXIT_CODES,
    pretty_exceptions_show_locals=False,  # they may hold secrets
)
app.command("check", epilog=check.EXIT_CODES)(check.check)
app.command("import", epilog=importing.EXIT_CODES)(importing.import_)
app.command("rotate", epilog=rotate.EXIT_CODES)(rotate.rotate)
app.command("worker-config", epilog=worker_config.EXIT_CODES)(worker_config.worker_config)
app.add_typer(sandbox.app, name="sandbox")


@app.callback(invoke_without_command=True)
def _root(*, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """The entry point: a terminated process cleans up as an interrupted one does."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        app()
    finally:
        for number in _SIGNALS:  # all that is left is to end
            signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt

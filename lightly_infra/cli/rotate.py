"""`lightly-infra rotate`: credentials of a deployed stack are renewed now, and on request those before ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lightly_infra.cli.telling import FAILED, JsonOption, StackArgument, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lightly_infra.cli.telling import Teller
    from lightly_infra.deployed import Deployed
    from lightly_infra.renewals import Renewal, Renewed
    from lightly_infra.updates.changes import Failure

LEFT_TO_DO: Final = 3
EXIT_CODES: Final = (
    "Exit codes: 0 renewed (with --no-up: asked for); 3 renewed, but for what is left to do by hand, which the list "
    "says; 1 the update failed, and what was there before stays in use until it is run again; 2 nothing was done; 130 "
    "interrupted."
)
_STYLES: Final = {True: "green", False: "bold red", None: ""}
_REFUSAL: Final[Mapping[str, Any]] = {"ok": False, "stack": None, "key": None, "value": None, "credentials": []}


def rotate(
    *,
    stack: StackArgument,
    external_ids: Annotated[
        bool, typer.Option("--external-ids", help="Renew the external ids that were minted, and not the keys and SAS.")
    ] = False,
    revoke_previous: Annotated[
        bool,
        typer.Option(
            "--revoke-previous",
            help="Also end the credentials that Lightly holds now, such as one that leaked, once the new ones work. "
            "Runs under way that use them fail.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_up: Annotated[bool, typer.Option("--no-up", help="Only write the stack's file; run `pulumi up` later.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Renew the keys and SAS of a deployed stack now, before their epoch is over.

    Raises `lightly-infra:rotation` (`lightly-infra:external_id_rotation`) in the stack's file, unless a renewal is
    outstanding, and runs `pulumi up`. New credentials are registered and verified before old ones go. Those of the
    generation before live on until the next, so that nobody who reads is interrupted, or end with --revoke-previous. An
    account key of Azure is never regenerated here: the command that does it, and ends a SAS, is printed.
    """
    with told(as_json=as_json, refusal=_REFUSAL, leaves="nothing was changed") as tell:
        from lightly_infra.deployed import CannotAsk, Deployed
        from lightly_infra.renewals import Renewal
        from lightly_infra.spec import SpecError
        from lightly_infra.stack.files import ProjectError

        if revoke_previous and no_up:
            tell.refuse("--revoke-previous ends nothing before new credentials work: leave --no-up out")
        try:
            with tell.progress("Reading the stack"):
                deployed = Deployed(stack, Path.cwd(), on_log=tell.log)
            renewal = Renewal(
                deployed.settings, external_ids=external_ids, revokes=revoke_previous, before=deployed.outputs
            )
            if impossible := renewal.impossible():
                tell.refuse(f"stack {stack!r}: {impossible}")
            key, value, steps = renewal.plan()
            if not yes:
                _ask(_question(renewal, stack, up=not no_up), tell)
            again = f"lightly-infra rotate --stack {stack}{renewal.options}"
            tell.leaves = (
                "the renewal is not complete, and what Lightly was told last stays registered; what has been done is "
                f"noted, and `{again}` goes on from here"
            )
            failures: Sequence[Failure] = ()
            for step in steps:
                value += step
                if step:
                    deployed.set_config(key, str(value))
                tell.note(_raised(key, value) if step else _goes_on(key, value))
                if not no_up and (failures := _up(deployed, tell, again)):
                    break
        except (ProjectError, CannotAsk, SpecError) as error:
            tell.refuse(str(error))
        results = renewal.results(deployed.outputs, complete=not failures and not no_up)
        document = {
            "ok": not failures,
            "stack": stack,
            "key": key,
            "value": value,
            "credentials": [it.as_json() for it in results],
            "failures": [it.as_json() for it in failures],
        }
        tell.result(document, _table(stack, results, up=not no_up))
        if failures:
            raise typer.Exit(FAILED)
        if not no_up and any(it.is_left_to_do for it in results):
            raise typer.Exit(LEFT_TO_DO)


def _raised(key: str, value: int) -> str:
    return f"{key} is {value} now: commit the stack's file, or the next `pulumi up` from elsewhere takes it back"


def _goes_on(key: str, value: int) -> str:
    return f"{key} stays {value}: a renewal is outstanding, which `pulumi up` finishes"


def _question(renewal: Renewal, stack: str, *, up: bool) -> str:
    key, value, steps = renewal.plan()
    parts = []
    if 0 in steps:
        parts.append(f"Leave {key} at {value}, since a renewal is outstanding,")
    if raised := sum(steps):
        parts.append(f"{'then set' if parts else 'Set'} {key} to {value + raised}")
    question = f"{' '.join(parts)}{' and run `pulumi up`' if up else ''} for stack {stack!r}?"
    if not renewal.revokes:
        return question
    return (
        "What Lightly holds now ends, and so does the generation before: runs under way fail, and whoever else uses "
        f"these credentials is locked out. {question}"
    )


def _ask(question: str, tell: Teller) -> None:
    if not _somebody_is_there():
        tell.refuse("nobody is there to be asked whether to go on: add --yes")
    if not typer.confirm(question, err=True):
        tell.refuse("not confirmed; nothing was changed")


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _up(deployed: Deployed, tell: Teller, again: str) -> Sequence[Failure]:
    with tell.progress("Deploying") as on_change:
        _, failures = deployed.up(on_change)
    tell.failures(failures)
    if failures:
        tell.note(
            "The update is not complete. What Lightly was told before stays registered where the new is not proved; "
            f"`{again}`, run again, continues from here"
        )
    return failures


def _table(stack: str, results: Sequence[Renewed], *, up: bool) -> object:
    from rich.table import Table
    from rich.text import Text

    title = f"Credentials of stack {stack}" + ("" if up else ", before `pulumi up`")
    table = Table("Dataset", "Datasource", "Kind", "Epoch", "Created", "Renewed", title=title, title_justify="left")
    for it in results:
        epoch = it.facts.get("epoch")
        told = ("yes; " if it.note else "yes") if it.renewed else ""
        style = _STYLES[it.renewed]
        table.add_row(
            *(it.dataset, it.datasource, str(it.facts.get("kind") or "")),
            *("" if epoch is None else f"{epoch:g}", str(it.facts.get("created") or "")),
            Text(f"{told}{it.note}", style=style, overflow="fold"),
        )
    return table

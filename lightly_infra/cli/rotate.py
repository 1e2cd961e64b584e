"""`lightly-infra rotate`: credentials of a deployed stack are renewed now."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lightly_infra.cli.telling import FAILED, JsonOption, StackArgument, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightly_infra.cli.telling import Teller
    from lightly_infra.deployed import Deployed
    from lightly_infra.stack.settings import Settings
    from lightly_infra.updates.changes import Failure

EXIT_CODES: Final = (
    "Exit codes: 0 renewed (with --no-up: asked for); 1 the update failed, and what was there before stays in use "
    "until it is run again; 2 nothing was done; 130 interrupted."
)
_REFUSAL: Final[Mapping[str, Any]] = {"ok": False, "stack": None, "key": None, "value": None, "credentials": []}


def rotate(
    *,
    stack: StackArgument,
    external_ids: Annotated[
        bool, typer.Option("--external-ids", help="Renew the external ids that were minted, and not the keys and SAS.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_up: Annotated[bool, typer.Option("--no-up", help="Only write the stack's file; run `pulumi up` later.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Renew the keys and SAS of a deployed stack now, before their epoch is over.

    Raises `lightly-infra:rotation` (`lightly-infra:external_id_rotation`) in the stack's file by one, unless a renewal
    is outstanding, and runs `pulumi up`. New credentials are registered and verified before old ones go; those of the
    generation before live on until the next, so that nobody who reads is interrupted.
    """
    with told(as_json=as_json, refusal=_REFUSAL, leaves="nothing was changed") as tell:
        from lightly_infra.deployed import CannotAsk, Deployed
        from lightly_infra.spec import SpecError
        from lightly_infra.stack.files import ProjectError
        from lightly_infra.stack.settings import EXTERNAL_ID_ROTATION_KEY, ROTATION_KEY

        try:
            with tell.progress("Reading the stack"):
                deployed = Deployed(stack, Path.cwd(), on_log=tell.log)
            settings = deployed.settings
            if why_not := _why_not(settings, external_ids=external_ids):
                tell.refuse(f"stack {stack!r}: {why_not}")
            key = EXTERNAL_ID_ROTATION_KEY if external_ids else ROTATION_KEY
            value = settings.external_id_rotation if external_ids else settings.rotation
            # Another generation would end the one that Lightly holds.
            goes_on = _is_outstanding(deployed, external_ids=external_ids)
            what = (
                f"Leave {key} at {value}, since a renewal is outstanding," if goes_on else f"Set {key} to {value + 1}"
            )
            if not yes:
                _ask(f"{what}{'' if no_up else ' and run `pulumi up`'} for stack {stack!r}?", tell)
            tell.leaves = (
                f"{key} may be raised and the renewal is not complete; what Lightly was told last stays registered. "
                f"`lightly-infra rotate --stack {stack}` goes on from here"
            )
            if not goes_on:
                value += 1
                deployed.set_config(key, str(value))
        except (ProjectError, CannotAsk, SpecError) as error:
            tell.refuse(str(error))
        tell.note(
            f"{key} stays {value}: a renewal is outstanding, which `pulumi up` finishes"
            if goes_on
            else f"{key} is {value} now: commit the stack's file, or the next `pulumi up` from elsewhere takes it back"
        )
        failures = () if no_up else _up(deployed, tell)
        document = {
            "ok": not failures,
            "stack": stack,
            "key": key,
            "value": value,
            "credentials": _credentials(deployed.outputs),
            "failures": [it.as_json() for it in failures],
        }
        tell.result(document, _table(document, up=not no_up))
        if failures:
            raise typer.Exit(FAILED)


def _why_not(settings: Settings, *, external_ids: bool) -> str | None:
    """Why there is nothing to renew, if so."""
    sources = [cloud.datasource for it in settings.datasets.values() for cloud in it.datasources.values()]
    if external_ids:
        if any(it.mints_external_id for it in sources):
            return None
        return (
            "no external id is minted here: those of your own are renewed where they come from; for a role that is "
            "made here, set another external_id, and the one before as previous_external_id"
        )
    if any(it.rotates for it in sources):
        return None
    hint = "; `--external-ids` renews external ids" if any(it.mints_external_id for it in sources) else ""
    return (
        "no credential is renewed here: write rotate_every_days for keys that are made; those of your own are renewed "
        f"where they come from, and set in the config{hint}"
    )


def _is_outstanding(deployed: Deployed, *, external_ids: bool) -> bool:
    """Whether a renewal that was asked for, or whose day has come, is not done for each that is renewed here."""
    from lightly_infra import epochs, health

    def is_behind(known: Mapping[str, Any]) -> bool:
        if external_ids:
            return int(known.get("epoch") or 0) < deployed.settings.external_id_rotation
        return health.epochs_behind(known, now=epochs.now(), rotation=deployed.settings.rotation) > 0

    credentials = deployed.outputs.get("credentials") or {}
    return any(
        is_behind(known)
        for key, dataset in deployed.settings.datasets.items()
        for purpose, cloud in dataset.datasources.items()
        if (cloud.datasource.mints_external_id if external_ids else cloud.datasource.rotates)
        and (known := credentials.get(key, {}).get(purpose.lower()))
    )


def _ask(question: str, tell: Teller) -> None:
    if not _somebody_is_there():
        tell.refuse("nobody is there to be asked whether to go on: add --yes")
    if not typer.confirm(question, err=True):
        tell.refuse("not confirmed; nothing was changed")


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _up(deployed: Deployed, tell: Teller) -> Sequence[Failure]:
    with tell.progress("Deploying") as on_change:
        _, failures = deployed.up(on_change)
    tell.failures(failures)
    if failures:
        tell.note(
            "The update is not complete. What Lightly was told before stays registered where the new is not proved; "
            "`pulumi up`, run again, continues from here, and so does `rotate`"
        )
    return failures


def _credentials(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is known of each credential."""
    told = ("kind", "created", "expires", "epoch")
    return [
        {"dataset": dataset, "datasource": purpose, **{name: known.get(name) for name in told}}
        for dataset, by_purpose in (outputs.get("credentials") or {}).items()
        for purpose, known in by_purpose.items()
        if isinstance(known, Mapping)
    ]


def _table(document: Mapping[str, Any], *, up: bool) -> object:
    from rich.table import Table

    what = f"Credentials of stack {document['stack']}" + ("" if up else ", before `pulumi up`")
    table = Table("Dataset", "Datasource", "Kind", "Epoch", "Created", "Expires", title=what, title_justify="left")
    for it in document["credentials"]:
        epoch = "" if it["epoch"] is None else f"{it['epoch']:g}"
        table.add_row(it["dataset"], it["datasource"], it["kind"], epoch, it["created"] or "", it["expires"] or "")
    return table

"""`lightly-infra check`: whether a deployed stack is well, for people and for cron."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import typer

from lightly_infra.cli.telling import JsonOption, StackArgument, told

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lightly_infra.cli.telling import Teller
    from lightly_infra.health import Finding, Health
    from lightly_infra.leftovers import Known
    from lightly_infra.lightly.client import LightlyClient
    from lightly_infra.lightly.errors import LightlyError
    from lightly_infra.stack.settings import Settings
    from lightly_infra.updates.changes import Change, Failure, OnChange

EXIT_CODES: Final = (
    "Exit codes: 0 healthy; 3 needs attention (`expiring`): it works, and something has to be done before it does not; "
    "1 broken, or something made was deleted; 2 it could not be asked, in whole or in part; 130 interrupted."
)
REFUSAL: Final[Mapping[str, Any]] = {"state": "unknown", "stack": None, "findings": [], "warnings": []}

NoDriftOption = Annotated[
    bool,
    typer.Option(
        "--no-drift",
        help="Leave out what takes longest: what `pulumi up --refresh` would change, and what was left behind.",
    ),
]
RunDaysOption = Annotated[
    float | None,
    typer.Option(
        "--run-days",
        min=0,
        help="How many days a run takes, to count the inputs on S3 that it would skip. Default: expected_run_days.",
    ),
]

_SIDE_BY_SIDE: Final = 8


def check(
    *,
    stack: StackArgument,
    no_drift: NoDriftOption = False,
    run_days: RunDaysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a deployed stack: permissions, credentials, drift, inputs that a run would skip, and what was left behind.

    Asks Lightly (LIGHTLY_TOKEN, or lightly-infra:token of the stack), the Pulumi CLI and the clouds. What is left
    behind are identities that carry the stack's marks and that its state does not know, with the commands that remove
    them, and storage that is kept. Changes nothing.
    """
    with told(as_json=as_json, refusal=REFUSAL, leaves="nothing was changed") as tell:
        from lightly_infra.deployed import CannotAsk, Deployed
        from lightly_infra.spec import SpecError
        from lightly_infra.stack.files import ProjectError

        log = Log(tell)
        try:
            with tell.progress("Reading the stack"):
                deployed = Deployed(stack, Path.cwd(), on_log=log)
            health = examine(deployed, log, drift=not no_drift, run_days=run_days, tell=tell)
        except (ProjectError, CannotAsk, SpecError) as error:
            tell.refuse(str(error))
        end(health, tell)


class Log:
    """Takes what a program logs: warnings are part of the result."""

    def __init__(self, tell: Teller) -> None:
        self._tell = tell
        self.warnings: list[str] = []

    def __call__(self, severity: str, message: str) -> None:
        """Takes one message."""
        if severity == "warning":
            self.warnings.append(message)
        else:
            self._tell.log(severity, message)


class Stack(Protocol):
    """A stack that is deployed, here or for real."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What its last update gave."""
        ...

    @property
    def settings(self) -> Settings:
        """What its config says."""
        ...

    @property
    def known(self) -> Known:
        """What its state knows of what was made."""
        ...

    @property
    def secrets(self) -> Collection[str]:
        """What no message may repeat."""
        ...

    def drift(self, on_change: OnChange | None = None) -> tuple[Sequence[Change], Sequence[Failure]]:
        """What `up` would do to each resource if all were read back before, and what fails."""
        ...


def examine(stack: Stack, log: Log, *, drift: bool, run_days: float | None, tell: Teller) -> Health:
    """Looks at everything."""
    from lightly_infra import epochs, health
    from lightly_infra.lightly.errors import LightlyError
    from lightly_infra.stack import inputs, leftovers

    now = epochs.now()
    datasets = stack.outputs.get("datasets")
    if (
        not isinstance(datasets, dict)
        or not datasets
        or not all(isinstance(it, dict) and isinstance(it.get("id"), str) for it in datasets.values())
    ):
        tell.refuse(
            f"stack {stack.name!r} has no datasets among its outputs: run `pulumi up` first; a program of your own "
            "has to export them as lightly_infra.stack does"
        )
    try:
        client = _client(stack)
    except LightlyError as error:
        tell.refuse(str(error))
    with client, tell.progress("Asking Lightly"):
        found = _permissions(client, datasets)
    found += health.credentials(
        stack.outputs, now=now, warn_days=stack.settings.warn_days, rotation=stack.settings.rotation
    )
    try:
        with tell.progress("Reading inputs"):
            found += inputs.expiring(stack.settings, stack.outputs, now=now, run_days=run_days)
    except ValueError as error:
        tell.refuse(str(error))
    if drift:
        with leftovers.asked() as listed:
            with tell.progress("Looking for drift") as on_change:
                drifted = health.drift(*stack.drift(on_change))
            with tell.progress("Looking for what was left behind"):
                found += leftovers.find(stack.settings, stack.known, listed)
        found.append(drifted)
    of_data, warnings = health.warned(log.warnings, datasets)
    return health.Health(stack.name, (*found, *of_data), tuple(warnings))


def end(health: Health, tell: Teller) -> None:
    """Tells what was found, and ends."""
    tell.failures(health.failures)
    tell.result(health.as_json(), health)
    if health.exit_code:
        raise typer.Exit(health.exit_code)


def _client(stack: Stack) -> LightlyClient:
    from lightly_infra.lightly.client import LightlyClient
    from lightly_infra.provider.session import TOKEN_CONFIG_KEY

    environment = dict(os.environ)
    if not environment.get("LIGHTLY_TOKEN"):
        environment["LIGHTLY_TOKEN"] = stack.settings.config.get(TOKEN_CONFIG_KEY, "")
    client = LightlyClient.from_env(environment)
    client.hide(stack.secrets)  # Lightly may repeat what it was given
    return client


def _permissions(client: LightlyClient, datasets: Mapping[str, Any]) -> list[Finding]:
    """What Lightly says of each dataset that it can try, asked side by side."""
    from lightly_infra import health
    from lightly_infra.lightly import operations
    from lightly_infra.lightly.errors import LightlyError

    def ask(dataset_id: str) -> LightlyError | None:
        try:
            operations.verify_until_allowed(client, dataset_id, deadline=0)
        except LightlyError as error:
            return error
        return None

    asked = {key: it["id"] for key, it in datasets.items() if it.get("verified") is not False}
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        answers = dict(zip(asked, pool.map(ask, asked.values()), strict=True))
    return [health.permissions(key, answers[key]) if key in answers else health.not_verifiable(key) for key in datasets]

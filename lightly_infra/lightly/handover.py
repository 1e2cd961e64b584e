"""Other credentials for a datasource: registered once they are seen to work, and not at all if they do not.

Lightly verifies what is registered and nothing else, so new credentials have to be registered to be tried. The ones
before are put back at once while the cloud has not heard of the new ones: what is registered works, but for the moments
of trying. A run that is killed in such a moment is mended by the next one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lightly_infra.lightly.errors import ApiError, HandoverFailed, LightlyError, PermissionsMissing
from lightly_infra.lightly.models import secret_values
from lightly_infra.lightly.operations import check_taken, until, verify_until_allowed
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.lightly.client import LightlyClient
    from lightly_infra.lightly.models import DatasourceConfig

# What may be said of credentials that make no sense; anything else says nothing about them.
_REFUSALS = frozenset({400, 409, 422})
_NOTHING_THERE = "DATASET_DATASOURCE_UNKNOWN"
_CORRECT = "Correct the new ones and run `pulumi up` again"
_AGAIN = "Run `pulumi up` again when that is mended; the new ones may be fine"
_PATIENCE = 5.0
"""Seconds until the credentials before count as dead: a moment's refusal must not cost them their place."""


def hand_over(
    client: LightlyClient,
    dataset_id: str,
    old: DatasourceConfig,
    new: DatasourceConfig,
    *,
    deadline: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Registers `new` in place of `old`, if it works.

    Where the old credentials do not work either, there is nothing to lose: the new ones are registered unseen. What
    Lightly cannot do with the dataset's other datasource is no reason for either.

    Args:
        client: The client.
        dataset_id: The dataset; nobody else may change or verify its datasources meanwhile.
        old: What was registered before; a run that was killed may have registered `new` since.
        new: The same place with other credentials.
        deadline: Seconds to keep trying while the cloud gets to know them.
        sleep: Waits, for tests.
        clock: Seconds, for tests.

    Raises:
        HandoverFailed: The new credentials do not work, or could not be tried. The message says which are registered.
        ApiError, Unreachable, InvalidAnswer: It could not be found out whether the old ones work, or they do not and
            Lightly did not take the new ones.
    """
    client.hide((*secret_values(old), *secret_values(new)))
    if not _works(client, dataset_id, old):
        client.set_datasource(dataset_id, old)
        if not _works(client, dataset_id, old, patience=min(deadline, _PATIENCE), sleep=sleep, clock=clock):
            client.set_datasource(dataset_id, new)
            check_taken(client, dataset_id, [new])
            return
    # Each try is a moment in which Lightly may be locked out: they are fewer than when nothing is at stake.
    attempts = until(deadline, PermissionsMissing, wait=2.0, longest=30.0, sleep=sleep, clock=clock)
    try:
        attempts(_try, client, dataset_id, old, new)
    except HandoverFailed:
        raise
    except PermissionsMissing as error:
        said, remedy = f"do not work, nor did they within {deadline:.0f} s: {error}", _CORRECT
    except LightlyError as error:
        said = f"could not be tried: {error}"
        remedy = _CORRECT if _is_about_credentials(error) else _AGAIN
    else:
        return
    raise HandoverFailed(
        f"the new credentials of {_named(dataset_id, new)} {said}. {_what_holds(client, dataset_id, old)}. {remedy}"
    )


def _works(
    client: LightlyClient,
    dataset_id: str,
    config: DatasourceConfig,
    *,
    patience: float = 0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Whether Lightly can use what is registered for a purpose, at this moment or within some seconds."""
    try:
        until(patience, PermissionsMissing, wait=1.0, longest=5.0, sleep=sleep, clock=clock)(
            _prove, client, dataset_id, config
        )
    except PermissionsMissing:
        return False
    except ApiError as error:
        # Credentials that nobody can make sense of, or that Lightly never took, must not keep others out.
        if error.status not in _REFUSALS and error.code != _NOTHING_THERE:
            raise
        return False
    return True


def _prove(client: LightlyClient, dataset_id: str, config: DatasourceConfig) -> None:
    """Raises PermissionsMissing if what is missing may be about the datasource of this purpose."""
    try:
        verify_until_allowed(client, dataset_id, deadline=0)
    except PermissionsMissing as error:
        # A datasource for both is about everything.
        if config.purpose == Purpose.INPUT_OUTPUT or config.purpose.value in error.about:
            raise


def _try(client: LightlyClient, dataset_id: str, old: DatasourceConfig, new: DatasourceConfig) -> None:
    """Leaves `new` registered if it works, else `old`."""
    try:
        client.set_datasource(dataset_id, new)
        _prove(client, dataset_id, new)
        # Had the ones before stayed, they would have been proved: their cloud is told to forget them next.
        check_taken(client, dataset_id, [new])
    except LightlyError as error:
        refused = error
    else:
        return
    try:
        client.set_datasource(dataset_id, old)
    except LightlyError as error:
        lost = error
    else:
        raise refused
    raise HandoverFailed(
        f"the new credentials of {_named(dataset_id, new)} "
        f"{'do not work' if _is_about_credentials(refused) else 'could not be tried'} ({refused}), and the "
        f"previous ones could not be registered again ({lost}). Run `pulumi up` again: it does so first"
    )


def _what_holds(client: LightlyClient, dataset_id: str, old: DatasourceConfig) -> str:
    try:
        state = "and work" if _works(client, dataset_id, old) else "but do not work at the moment, either"
    except LightlyError as error:
        state = f"but Lightly did not say whether they work ({error})"
    return f"The previous ones stay registered, {state}"


def _is_about_credentials(error: LightlyError) -> bool:
    """Whether an error says something about the credentials, and not about Lightly or the way there."""
    return isinstance(error, PermissionsMissing) or (isinstance(error, ApiError) and error.status in _REFUSALS)


def _named(dataset_id: str, config: DatasourceConfig) -> str:
    return f"the {config.purpose.capitalize()} datasource of dataset {dataset_id}"

"""How Lightly gets into a container: a SAS that is signed for it, or one of the user's own.

Neither is a resource of Azure's, so neither is a component: a SAS is only ever computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pulumi

from lightly_infra import epochs
from lightly_infra.clouds import functions
from lightly_infra.clouds.azure import policy, sas
from lightly_infra.clouds.azure.failures import FAILURES, NAMESPACE_NEEDED, SHARED_KEYS_NEEDED
from lightly_infra.clouds.interface import Credential
from lightly_infra.component import remedy_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from lightly_infra.permissions import Purpose

ROTATE_EVERY_DAYS: Final = 90
"""How long an epoch is by default: a SAS lives one to two of them."""


@dataclass(frozen=True)
class Place:
    """What a SAS is for."""

    account: pulumi.Output[str]
    container: pulumi.Output[str]
    directory: str
    """The one directory that it opens, normalised; empty for the whole container."""

    resource_group: pulumi.Output[str] | None
    """The account's, where it is known."""

    made: tuple[pulumi.Output[str], ...]
    """Ids of what is made here. In a preview they are unknown until it is there."""

    made_account: bool
    """Whether the account is made here: then it is known to fit."""


@dataclass(frozen=True)
class Signed:
    """A SAS, and what it says of itself."""

    token: pulumi.Output[str] = field(repr=False)
    """Marked as a secret; with its leading `?`."""

    expires: pulumi.Output[str]
    """As a SAS has it, such as `2027-03-29T00:00:00Z`."""

    granted: pulumi.Output[str]
    """What it grants, in JSON, without its signature."""

    credential: Credential
    """What is to be known of it."""


class Access(ABC):
    """A way to get in."""

    directory_sas: bool
    """Whether the SAS opens the directory alone instead of the whole container."""

    @abstractmethod
    def sign(self, name: str, purpose: Purpose, place: Place, parent: pulumi.Resource) -> Signed:
        """The SAS for a place.

        Args:
            name: the datasource's, for messages.
            purpose: decides the permissions.
            place: what it opens.
            parent: whose provider is asked.
        """


class ServiceSas(Access):
    """A service SAS on the one container or directory, https only, signed with one of the account's keys.

    Its start and expiry follow from the epoch alone, so that it is the same from one `pulumi up` to the next: it lives
    one to two epochs and is signed anew in the first `pulumi up` of an epoch, and when a renewal is forced: then it
    starts a second earlier. Even numbers of epochs sign with key1, odd ones with key2: regenerating the other key voids
    no more than the SAS of the number before.

    A container's is signed by Azure. For a directory ARM's `listServiceSas` signs none (c, b, f and s only), so that
    one is signed here: Azure is asked for the account's keys, and they go nowhere else.
    """

    def __init__(
        self,
        *,
        rotate_every_days: int = ROTATE_EVERY_DAYS,
        rotation: int = 0,
        directory_sas: bool = False,
        on: date | None = None,
    ) -> None:
        """Says how it is signed; nothing is asked yet.

        Args:
            rotate_every_days: how long an epoch is, at least 1.
            rotation: how many renewals were forced so far.
            directory_sas: whether it opens the prefix alone, on an account with hierarchical namespace.
            on: the day that decides the epoch, in UTC. Default: today. A program with several datasources gives all
                of them one day, lest it runs over midnight into the next epoch.
        """
        if rotate_every_days < 1:
            raise ValueError(f"rotate_every_days: {rotate_every_days}: write 1 or more")
        self._days, self._rotation, self._on = rotate_every_days, rotation, on
        self.directory_sas = directory_sas

    def sign(self, name: str, purpose: Purpose, place: Place, parent: pulumi.Resource) -> Signed:
        """Signs a SAS, or has Azure sign it; in a preview of what is not there yet it is unknown."""
        if place.resource_group is None:
            raise ValueError(f"{name}: resource_group is missing: name the one that the account is in, to have a SAS")
        on = self._on or epochs.today()
        # Without a start Azure would write the present moment into the token, another one in every run.
        start = epochs.start(on, days=self._days, forced=self._rotation)
        expires = epochs.expiry(on, days=self._days)
        epoch = epochs.epoch(on, days=self._days, forced=self._rotation)
        key = "key1" if epoch % 2 == 0 else "key2"
        permissions = policy.permissions(purpose)

        async def token(known: list[str]) -> str:
            account, container, group, *_ = known
            where = {"accountName": account, "resourceGroupName": group}
            if not place.made_account:
                _check_account(name, place, account, await _ask(name, "getStorageAccount", where, parent))
            if place.directory:
                answer = await _ask(name, "listStorageAccountKeys", where, parent)
                return sas.for_directory(
                    account=account,
                    container=container,
                    directory=place.directory,
                    key={it["keyName"]: it["value"] for it in answer["keys"]}[key],
                    permissions=permissions,
                    start=start,
                    expires=expires,
                )
            wanted = where | {
                "canonicalizedResource": policy.canonical_resource(account, container),
                "resource": "c",
                "permissions": permissions,
                "protocols": "https",
                "sharedAccessStartTime": epochs.text(start),
                "sharedAccessExpiryTime": epochs.text(expires),
                "keyToSign": key,
            }
            answer = await _ask(name, "listStorageAccountServiceSAS", wanted, parent)
            return sas.with_question_mark(answer["serviceSasToken"])

        known = pulumi.Output.all(place.account, place.container, place.resource_group, *place.made)
        return Signed(
            # Azure's provider marks neither keys nor SAS.
            token=pulumi.Output.secret(known.apply(token)),
            expires=pulumi.Output.from_input(epochs.text(expires)),
            granted=_granted(purpose, place, expires, key),
            credential=Credential(
                "SAS",
                created=epochs.text(start),
                expires=epochs.text(expires),
                epoch=epoch,
                rotate_every_days=self._days,
                signed_with=key,
            ),
        )


class OwnSas(Access):
    """A SAS of the user's own, from whoever may sign one; nothing is signed, and no right on the account is needed.

    It is refused unless it opens just what the purpose needs: see `sas.check`.
    """

    def __init__(self, sas_token: pulumi.Input[str], *, directory_sas: bool = False) -> None:
        self._token = sas_token
        self.directory_sas = directory_sas

    def sign(self, name: str, purpose: Purpose, place: Place, parent: pulumi.Resource) -> Signed:  # noqa: ARG002
        """The SAS itself, checked."""
        now = epochs.now()

        def read(token: str) -> sas.Sas:
            try:
                return sas.check(token, purpose=purpose, now=now, directory=place.directory)
            except ValueError as error:
                raise pulumi.RunError(f"{name}: sas_token: {error}") from None

        own = pulumi.Output.secret(self._token).apply(read)
        # Not secret: whoever sees when it expires gets no nearer to its signature.
        expires = pulumi.Output.unsecret(own.apply(lambda it: it.expires))
        told = expires.apply(epochs.text)
        return Signed(
            token=own.apply(lambda it: it.token),
            expires=told,
            granted=expires.apply(lambda it: _granted(purpose, place, it, "its owner")),
            credential=Credential("SAS", expires=told),
        )


def _check_account(name: str, place: Place, account: str, found: Mapping[str, Any]) -> None:
    """Refuses an account of the user's own that no such SAS can be signed for."""
    if found.get("allowSharedKeyAccess") is False:  # not said is allowed
        raise pulumi.RunError(f"{name}: storage account {account!r}: {SHARED_KEYS_NEEDED}")
    if place.directory and not found.get("isHnsEnabled"):
        raise pulumi.RunError(f"{name}: storage account {account!r}: {NAMESPACE_NEEDED}")


def _granted(purpose: Purpose, place: Place, expires: datetime, signed_with: str) -> pulumi.Output[str]:
    return pulumi.Output.all(place.account, place.container).apply(
        lambda known: policy.granted(
            purpose=purpose,
            resource=policy.canonical_resource(known[0], known[1], place.directory),
            expires=expires,
            signed_with=signed_with,
        )
    )


async def _ask(name: str, function: str, args: Mapping[str, str], parent: pulumi.Resource) -> Mapping[str, Any]:
    """Azure's answer; why there is none is said with a remedy. Its errors hold no SAS and no key."""
    answer = await functions.ask(f"azure-native:storage:{function}", args, "pulumi_azure_native", parent=parent)
    if not isinstance(answer, functions.Refused):
        return answer
    told = remedy_for(answer.said, FAILURES)
    raise pulumi.RunError(f"{name}: no SAS can be had: {f'{told} ({answer.said})' if told else answer.said}")

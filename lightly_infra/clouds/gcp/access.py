"""How Lightly gets into GCS: with the key of a service account. It takes nothing else.

One access may serve several datasources: each grants it a role of its own.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypedDict

import pulumi
import pulumi_gcp as gcp
import pulumi_random as random

from lightly_infra import epochs, expiry
from lightly_infra.clouds.gcp import policy
from lightly_infra.clouds.gcp.failures import FAILURES
from lightly_infra.clouds.interface import Credential
from lightly_infra.component import Component

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date


class Access(Component):
    """A service account whose key Lightly holds, without any permission until a datasource grants one."""

    failures = FAILURES

    config: Mapping[str, pulumi.Input[Any]]
    """The fields of the datasource's configuration that say how to get in, secrets marked."""

    identity: Mapping[str, pulumi.Output[str]]
    """The service account's e-mail; nothing secret."""

    secrets: Mapping[str, pulumi.Output[str]]
    """The secrets that Lightly is given."""

    credential: Credential
    """What is to be known of these secrets."""

    member: pulumi.Output[str] | None
    """Who to grant roles, in IAM's words; `None` for credentials of the user's own, which are granted nothing."""

    def _holds(self, email: pulumi.Output[str], key_json: pulumi.Output[str]) -> None:
        self.config = {"type": "GCS", "gcs_credentials": key_json}
        self.identity = {"service_account": email}
        self.secrets = {"credentials": key_json}
        self.register_outputs({**self.identity, **self.secrets})


class ServiceAccountArgs(TypedDict, total=False):
    """A service account. Every field is optional."""

    project: pulumi.Input[str]
    """The id of the project that it is made in. Default: the provider's."""

    email: pulumi.Input[str]
    """The e-mail of a service account of yours: a key is made and roles are granted, but it is never changed, and
    stays. Default: one is made here."""

    rotate_every_days: int
    """Make a key for each epoch of so many days (`lightly_infra.epochs`): that of this epoch, which Lightly is told,
    and that of the one before. Default: one key."""

    rotation: int
    """With `rotate_every_days`: how many renewals were forced so far. Default: 0."""

    on: date
    """With `rotate_every_days`: the day that decides the epoch, in UTC. Default: today. A program with several
    accesses gives all of them one day, lest it runs over midnight into the next epoch."""


class ServiceAccount(Access):
    """Access with a key that is made here, of a service account made here or of yours."""

    def __init__(
        self, name: str, args: ServiceAccountArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gcp:ServiceAccount", name, opts)
        args = args or {}
        if (given := args.get("email")) is not None:
            if isinstance(given, str):  # what is known is refused here, and not later in a task
                policy.check_service_account(given)
            email = pulumi.Output.from_input(given).apply(policy.check_service_account)
        else:
            email = self._make(name, args.get("project")).email
        days, epoch = args.get("rotate_every_days"), None
        if days is not None:
            epoch = epochs.epoch(args.get("on") or epochs.today(), days=days, forced=args.get("rotation", 0))
        # Lightly is told the first; workers that have begun with the one before end with it.
        names = [name] if epoch is None else [f"{name}-{epoch}", f"{name}-{epoch - 1}"]
        key, *_ = [self._key(it, email) for it in names]
        self.credential = Credential(
            "service account key",
            created=key.valid_after.apply(expiry.time_text),
            # Some organisations let no key live for ever (`iam.serviceAccountKeyExpiryHours`).
            expires=key.valid_before.apply(expiry.time_text),
            epoch=epoch,
            rotate_every_days=days,
        )
        self.member = email.apply("serviceAccount:{}".format)
        self._holds(email, pulumi.Output.secret(key.private_key.apply(_decoded)))

    def _key(self, name: str, email: pulumi.Output[str]) -> gcp.serviceaccount.Key:
        return gcp.serviceaccount.Key(
            name, service_account_id=email, opts=self.child(additional_secret_outputs=["private_key"])
        )

    def _make(self, name: str, project: pulumi.Input[str] | None) -> gcp.serviceaccount.Account:
        # An id of 30 characters has no room for every name: the suffix keeps them apart.
        suffix = random.RandomString(
            name, length=policy.SUFFIX_CHARACTERS, special=False, upper=False, opts=self.child()
        )
        return gcp.serviceaccount.Account(
            name,
            account_id=suffix.result.apply(lambda it: policy.account_id(name, it)),
            display_name=name,
            description=self.owner.describe("Lightly gets in with a key of it."),
            project=project,
            # One of this id is ours: the suffix is in our state. An interrupted run has left it behind.
            create_ignore_already_exists=True,
            opts=self.child(),
        )


class BroughtCredentialsArgs(TypedDict):
    """Credentials of the user's own."""

    credentials: pulumi.Input[str]
    """The JSON document of a service account's key; treated as a secret."""


class BroughtCredentials(Access):
    """Access with a key of yours: nothing is made, and nothing granted."""

    def __init__(self, name: str, args: BroughtCredentialsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("gcp:BroughtCredentials", name, opts)
        given = args["credentials"]
        if isinstance(given, str):
            policy.check_credentials(given)
        key_json: pulumi.Output[str] = pulumi.Output.secret(given)
        self.member = None
        self.credential = Credential("service account key")
        self._holds(pulumi.Output.unsecret(key_json.apply(lambda it: policy.check_credentials(it).email)), key_json)


def _decoded(private_key: str) -> str:
    """The key's JSON document, which the API gives as base64."""
    return base64.b64decode(private_key).decode()

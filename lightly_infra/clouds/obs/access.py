"""How Lightly gets into OBS: with the keys of a user that was made for it.

OBS has no way to let another account's user in without keys, and no interface in common to mint them with: the user
and its keys are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pulumi

from lightly_infra.clouds.interface import Credential
from lightly_infra.clouds.obs import policy
from lightly_infra.component import Component

if TYPE_CHECKING:
    from collections.abc import Mapping


class AccessKeysArgs(TypedDict):
    """The keys of a dedicated user, which has no permission of its own."""

    access_key_id: pulumi.Input[str]
    """The key's id."""

    secret_access_key: pulumi.Input[str]
    """The key itself; treated as a secret."""

    user: NotRequired[str]
    """The user whose keys they are, as a bucket policy names it: `arn:aws:iam::DOMAIN_ID:user/USER_ID`. Needed for
    buckets that are made with `Bucket`."""


class AccessKeys(Component):
    """Access with keys of yours. Nothing is made, and the user is not changed."""

    config: Mapping[str, pulumi.Input[Any]]
    """The fields of the datasource's configuration that say how to get in, secrets marked."""

    identity: Mapping[str, pulumi.Output[str]]
    """The identity's name for people; nothing secret."""

    secrets: Mapping[str, pulumi.Output[str]]
    """The secrets that Lightly is given."""

    credential: Credential
    """What is to be known of these secrets."""

    user: str | None
    """Whom bucket policies name."""

    def __init__(self, name: str, args: AccessKeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("obs:AccessKeys", name, opts)
        user = args.get("user")
        self.user = policy.check_user(user) if user is not None else None
        key_id = pulumi.Output.from_input(args["access_key_id"])
        secret: pulumi.Output[str] = pulumi.Output.secret(args["secret_access_key"])
        self.config = {"type": "OBS", "obs_access_key_id": key_id, "obs_secret_access_key": secret}
        self.identity = {"access_key_id": key_id} | ({"user": pulumi.Output.from_input(user)} if user else {})
        self.secrets = {"secret_access_key": secret}
        self.credential = Credential("access key")
        self.register_outputs({**self.identity, **self.secrets})

"""How Lightly gets into S3: a role it assumes, or a user whose keys it holds.

One access may serve several datasources: each adds an inline policy of its own.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from lightly_infra import epochs, expiry
from lightly_infra.clouds.aws import policy
from lightly_infra.clouds.aws.failures import FAILURES
from lightly_infra.clouds.interface import Credential
from lightly_infra.component import Component, marked
from lightly_infra.ownership import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from lightly_infra.ownership import Owner

EXTERNAL_ID_LENGTH = 32
"""Characters of a minted external id: 62^32 of them, while Lightly asks for at least 10 characters."""

# Of the 64 that a user's name may have, Pulumi's random suffix takes 8, and an epoch's number up to 8.
_MAX_USER_NAME: Final = 48
_MAX_POLICY_NAME: Final = 128
# Hexadecimal digits: 2^32 are enough to tell a stack's names apart.
_DIGEST: Final = 8


# Names of earlier versions stay: two policies at once may be more than there is room for.
KEEPS_ITS_NAME: Final = pulumi.ResourceOptions(ignore_changes=["name"])


def known_name(name: str, owner: Owner) -> str:
    """The name of an inline policy or a grant, known beforehand: a rerun finds its own, and no other stack's.

    Args:
        name: The resource's.
        owner: Who makes it.
    """
    named = re.sub(r"[^A-Za-z0-9_+=,.@-]", "-", name)
    if named != name or len(name) > _MAX_POLICY_NAME - _DIGEST - 1:
        named = f"{named[: _MAX_POLICY_NAME - 2 * (_DIGEST + 1)]}-{digest(name)}"
    return f"{named}-{owner.digest}"


class Access(Component):
    """An identity that Lightly uses, without any permission until a datasource grants one.

    While credentials are renewed there are two: Lightly is told the newer one, and workers that have begun with the
    older one end with it.
    """

    failures = FAILURES

    config: Mapping[str, pulumi.Input[Any]]
    """The fields of the datasource's configuration that say how to get in, secrets marked."""

    identity: Mapping[str, pulumi.Output[str]]
    """The identity's name for people; nothing secret."""

    secrets: Mapping[str, pulumi.Output[str]]
    """The secrets that Lightly is given."""

    credential: Credential
    """What is to be known of these secrets."""

    principal_arns: Mapping[str, pulumi.Output[str]]
    """Who to grant the use of KMS keys, by what the names of their grants end with; nobody for an identity of the
    user's own that is not changed."""

    @abstractmethod
    def grant(self, name: str, document: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Attaches an inline policy to every identity; does nothing to one of the user's own that is not changed."""


class DelegatedAccessArgs(TypedDict, total=False):
    """A role that Lightly assumes. Every field is optional."""

    role_arn: pulumi.Input[str]
    """A role of your own, which is used as it is and never changed; it needs `external_id`. Default: made here."""

    external_id: pulumi.Input[str]
    """What Lightly must show, at least 10 characters; treated as a secret. Default: minted once."""

    previous_external_id: pulumi.Input[str]
    """With another `external_id`: the one before, which the role takes as well. Remove it once Lightly has been told
    the new one. Default: none."""

    rotation: int
    """How often a minted external id was renewed. Raise it by one to have another: the role takes that and the one
    before, Lightly is told the new one. Default: 0."""

    lightly_account_id: str
    """The AWS account that Lightly comes from. Default: `policy.LIGHTLY_ACCOUNT_ID`."""

    permissions_boundary: pulumi.Input[str]
    """The ARN of a policy that bounds what the role may ever do. Default: none."""

    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]]
    """More tags of the role than those that say who made it (`lightly_infra.ownership`)."""


class DelegatedAccess(Access):
    """Access through a role of your account and an external id: no long-lived key leaves it (recommended).

    Sessions may last 12 hours, without which Lightly cannot read the data.
    """

    def __init__(
        self, name: str, args: DelegatedAccessArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aws:DelegatedAccess", name, opts)
        args = args or {}
        _check_external_ids(name, args)
        external_ids = self._external_ids(name, args)
        external_id = external_ids[0]
        self._role: aws.iam.Role | None = None
        self.principal_arns = {}
        if role_arn := args.get("role_arn"):
            arn = pulumi.Output.from_input(role_arn)
        else:
            account = args.get("lightly_account_id", policy.LIGHTLY_ACCOUNT_ID)
            self._role = aws.iam.Role(
                name,
                description="Assumed by Lightly to work on the data of its datasources",
                # The role takes a new one before Lightly is told it: the datasource waits for the role.
                assume_role_policy=pulumi.Output.all(*external_ids).apply(
                    lambda known: policy.to_json(
                        policy.trust_policy(
                            external_id=known[0],
                            previous_external_id=known[1] if len(known) > 1 else None,
                            lightly_account_id=account,
                        )
                    )
                ),
                max_session_duration=policy.MAX_SESSION_SECONDS,
                permissions_boundary=args.get("permissions_boundary"),
                # Policies that an interrupted run has left behind go with it.
                force_detach_policies=True,
                tags=marked(self.owner.tags, args.get("tags")),
                opts=self.child(),
            )
            arn = self._role.arn
            self.principal_arns = {"": arn}
        self.config = {"type": "S3DelegatedAccess", "s3_arn": arn, "s3_external_id": external_id}
        self.identity = {"role_arn": arn}
        self.secrets = {"external_id": external_id}
        minted = args.get("external_id") is None
        self.credential = Credential("role", epoch=args.get("rotation") or None if minted else None)
        self.register_outputs({"role_arn": arn, "external_id": external_id})

    def grant(self, name: str, document: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Attaches an inline policy to the role; a role of the user's own stays as it is."""
        if self._role is not None:
            aws.iam.RolePolicy(
                name,
                name=known_name(name, self.owner),
                role=self._role.name,
                policy=document,
                opts=pulumi.ResourceOptions.merge(opts, KEEPS_ITS_NAME),
            )

    def _external_ids(self, name: str, args: DelegatedAccessArgs) -> list[pulumi.Output[str]]:
        """The one that Lightly is told, and the one before, if there is one."""
        if (given := args.get("external_id")) is not None:
            previous = args.get("previous_external_id")
            return [pulumi.Output.secret(it) for it in (given, previous) if it is not None]
        rotation = args.get("rotation", 0)
        names = [f"{name}-{it}" if it else name for it in (rotation, rotation - 1) if it >= 0]
        return [self._mint_external_id(it) for it in names]

    def _mint_external_id(self, name: str) -> pulumi.Output[str]:
        # Letters and digits only: they pass every tool, shell and console on the way.
        minted = random.RandomPassword(name, length=EXTERNAL_ID_LENGTH, special=False, opts=self.child())
        return pulumi.Output.secret(minted.result)


def _check_external_ids(name: str, args: DelegatedAccessArgs) -> None:
    given, role_arn = args.get("external_id"), args.get("role_arn")
    if role_arn and given is None:
        raise ValueError(f"{name}: role_arn needs external_id: give the one that the role's trust policy asks for")
    if args.get("previous_external_id") is None:
        return
    if role_arn:
        raise ValueError(
            f"{name}: previous_external_id: a role of your own is not changed; let its trust policy take both for a "
            "while"
        )
    if given is None:
        raise ValueError(
            f"{name}: previous_external_id is for an external_id of your own; raise 'rotation' for one that is minted"
        )


def _shortened(name: str) -> str:
    """The name of a user, told from others that begin alike."""
    if len(name) <= _MAX_USER_NAME:
        return name
    return f"{name[: _MAX_USER_NAME - _DIGEST - 1]}-{digest(name)}"


class _User(NamedTuple):
    name: pulumi.Output[str]
    arn: pulumi.Output[str]


class AccessKeysArgs(TypedDict, total=False):
    """A user whose access key Lightly holds. Every field is optional."""

    user: pulumi.Input[str]
    """The name of a user of yours: a key is made and policies are added, but it is never changed, and stays. Default:
    one is made here."""

    rotate_every_days: int
    """Make a user with a key for each epoch of so many days (`lightly_infra.epochs`): those of this epoch, which
    Lightly is told, and those of the one before. Default: one user, one key."""

    rotation: int
    """With `rotate_every_days`: how many renewals were forced so far. Default: 0."""

    on: date
    """With `rotate_every_days`: the day that decides the epoch, in UTC. Default: today. A program with several
    accesses gives all of them one day, lest it runs over midnight into the next epoch."""

    permissions_boundary: pulumi.Input[str]
    """The ARN of a policy that bounds what the user may ever do. Default: none."""

    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]]
    """More tags of the user than those that say who made it (`lightly_infra.ownership`)."""


class AccessKeys(Access):
    """Access with the key of an IAM user: faster for each file than a role, but a long-lived secret.

    A renewed key is another user's: one user has room for two keys, and so none for a third while both are in use, nor
    for one that a crash has left behind.
    """

    def __init__(
        self, name: str, args: AccessKeysArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aws:AccessKeys", name, opts)
        args = args or {}
        days, epoch = args.get("rotate_every_days"), None
        if days is not None:
            if "user" in args:
                raise ValueError(
                    f"{name}: rotate_every_days: a user has room for two keys, and a rotation needs three for a "
                    "moment; leave 'user' out to have users made"
                )
            epoch = epochs.epoch(args.get("on") or epochs.today(), days=days, forced=args.get("rotation", 0))
        suffixes = [""] if epoch is None else [f"-{epoch}", f"-{epoch - 1}"]
        self._users = {suffix: self._user(name, suffix, args) for suffix in suffixes}
        self.principal_arns = {suffix: user.arn for suffix, user in self._users.items()}
        keys = [self._key(f"{name}{suffix}", user) for suffix, user in self._users.items()]
        user, key = self._users[suffixes[0]], keys[0]
        secret: pulumi.Output[str] = pulumi.Output.secret(key.secret)
        self.config = {"type": "S3", "s3_access_key_id": key.id, "s3_secret_access_key": secret}
        self.identity = {"user_arn": user.arn, "access_key_id": key.id}
        self.secrets = {"secret_access_key": secret}
        self.credential = Credential(
            "access key", created=key.create_date.apply(expiry.time_text), epoch=epoch, rotate_every_days=days
        )
        self.register_outputs({**self.identity, **self.secrets})

    def grant(self, name: str, document: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Attaches an inline policy to every user."""
        for suffix, user in self._users.items():
            aws.iam.UserPolicy(
                f"{name}{suffix}",
                name=known_name(f"{name}{suffix}", self.owner),
                user=user.name,
                policy=document,
                opts=pulumi.ResourceOptions.merge(opts, KEEPS_ITS_NAME),
            )

    def _user(self, name: str, suffix: str, args: AccessKeysArgs) -> _User:
        if "user" in args:
            # Looked up for its ARN, and so that a slip in its name shows in a preview.
            given = pulumi.Output.from_input(args["user"])
            found = aws.iam.get_user_output(user_name=given, opts=pulumi.InvokeOutputOptions(parent=self))
            return _User(given, found.arn)
        made = aws.iam.User(
            f"{_shortened(name)}{suffix}" if suffix else name,
            # Keys that an interrupted run has left behind go with it.
            force_destroy=True,
            permissions_boundary=args.get("permissions_boundary"),
            tags=marked(self.owner.tags, args.get("tags")),
            opts=self.child(),
        )
        return _User(made.name, made.arn)

    def _key(self, name: str, user: _User) -> aws.iam.AccessKey:
        return aws.iam.AccessKey(
            name,
            user=user.name,
            opts=self.child(additional_secret_outputs=["secret", "ses_smtp_password_v4"]),
        )


class BroughtKeysArgs(TypedDict):
    """A key of a user of yours."""

    access_key_id: pulumi.Input[str]
    """The key's id."""

    secret_access_key: pulumi.Input[str]
    """The key itself; treated as a secret."""


class BroughtKeys(Access):
    """Access with a key of yours: nothing is made, and nothing granted."""

    def __init__(self, name: str, args: BroughtKeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aws:BroughtKeys", name, opts)
        key_id = pulumi.Output.from_input(args["access_key_id"])
        secret: pulumi.Output[str] = pulumi.Output.secret(args["secret_access_key"])
        self.principal_arns = {}
        self.config = {"type": "S3", "s3_access_key_id": key_id, "s3_secret_access_key": secret}
        self.identity = {"access_key_id": key_id}
        self.secrets = {"secret_access_key": secret}
        self.credential = Credential("access key")
        self.register_outputs({**self.identity, **self.secrets})

    def grant(self, name: str, document: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Nothing: the key is used as it is."""

"""How Lightly gets into S3: a role it assumes, or a user whose keys it holds.

One access may serve several datasources: each adds an inline policy of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from lightly_infra.clouds.aws import policy
from lightly_infra.component import Component

if TYPE_CHECKING:
    from collections.abc import Mapping

EXTERNAL_ID_LENGTH = 32
"""Characters of a minted external id: 62^32 of them, while Lightly asks for at least 10 characters."""


class Access(Component):
    """An identity that Lightly uses, without any permission until a datasource grants one."""

    config: Mapping[str, pulumi.Input[Any]]
    """The fields of the datasource's configuration that say how to get in, secrets marked."""

    identity: Mapping[str, pulumi.Output[str]]
    """The identity's name for people; nothing secret."""

    secrets: Mapping[str, pulumi.Output[str]]
    """The secrets that Lightly is given."""

    principal_arn: pulumi.Output[str] | None
    """Who to grant the use of KMS keys; `None` for an identity of the user's own, which is not changed."""

    @abstractmethod
    def grant(self, name: str, document: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Attaches an inline policy; does nothing to an identity of the user's own."""


class DelegatedAccessArgs(TypedDict, total=False):
    """A role that Lightly assumes. Every field is optional."""

    role_arn: pulumi.Input[str]
    """A role of your own, which is used as it is and never changed; it needs `external_id`. Default: made here."""

    external_id: pulumi.Input[str]
    """What Lightly must show, at least 10 characters; treated as a secret. Default: minted once."""

    lightly_account_id: str
    """The AWS account that Lightly comes from. Default: `policy.LIGHTLY_ACCOUNT_ID`."""

    permissions_boundary: pulumi.Input[str]
    """The ARN of a policy that bounds what the role may ever do. Default: none."""

    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]]
    """Tags of the role."""


class DelegatedAccess(Access):
    """Access through a role of your account and an external id: no long-lived key leaves it (recommended).

    Sessions may last 12 hours, without which Lightly cannot read the data.
    """

    def __init__(
        self, name: str, args: DelegatedAccessArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aws:DelegatedAccess", name, opts)
        args = args or {}
        given = args.get("external_id")
        external_id = pulumi.Output.secret(given) if given is not None else self._mint_external_id(name)
        self._role: aws.iam.Role | None = None
        self.principal_arn = None
        if role_arn := args.get("role_arn"):
            if given is None:
                raise ValueError(
                    f"{name}: role_arn needs external_id: give the one that the role's trust policy asks for"
                )
            arn = pulumi.Output.from_input(role_arn)
        else:
            account = args.get("lightly_account_id", policy.LIGHTLY_ACCOUNT_ID)
            self._role = aws.iam.Role(
                name,
                description="Assumed by Lightly to work on the data of its datasources",
                assume_role_policy=external_id.apply(
                    lambda it: policy.to_json(policy.trust_policy(external_id=it, lightly_account_id=account))
                ),
                max_session_duration=policy.MAX_SESSION_SECONDS,
                permissions_boundary=args.get("permissions_boundary"),
                tags=args.get("tags"),
                opts=self.child(),
            )
            self.principal_arn = arn = self._role.arn
        self.config = {"type": "S3DelegatedAccess", "s3_arn": arn, "s3_external_id": external_id}
        self.identity = {"role_arn": arn}
        self.secrets = {"external_id": external_id}
        self.register_outputs({"role_arn": arn, "external_id": external_id})

    def grant(self, name: str, document: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Attaches an inline policy to the role; a role of the user's own stays as it is."""
        if self._role is not None:
            aws.iam.RolePolicy(name, role=self._role.name, policy=document, opts=opts)

    def _mint_external_id(self, name: str) -> pulumi.Output[str]:
        # Letters and digits only: they pass every tool, shell and console on the way.
        minted = random.RandomPassword(name, length=EXTERNAL_ID_LENGTH, special=False, opts=self.child())
        return pulumi.Output.secret(minted.result)


class AccessKeysArgs(TypedDict, total=False):
    """A user whose access key Lightly holds. Every field is optional."""

    permissions_boundary: pulumi.Input[str]
    """The ARN of a policy that bounds what the user may ever do. Default: none."""

    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]]
    """Tags of the user."""


class AccessKeys(Access):
    """Access with the key of an IAM user: faster for each file than a role, but a long-lived secret."""

    def __init__(
        self, name: str, args: AccessKeysArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aws:AccessKeys", name, opts)
        args = args or {}
        self._user = aws.iam.User(
            name,
            permissions_boundary=args.get("permissions_boundary"),
            tags=args.get("tags"),
            opts=self.child(),
        )
        key = aws.iam.AccessKey(
            name,
            user=self._user.name,
            opts=self.child(additional_secret_outputs=["secret", "ses_smtp_password_v4"]),
        )
        secret: pulumi.Output[str] = pulumi.Output.secret(key.secret)
        self.principal_arn = self._user.arn
        self.config = {"type": "S3", "s3_access_key_id": key.id, "s3_secret_access_key": secret}
        self.identity = {"user_arn": self._user.arn, "access_key_id": key.id}
        self.secrets = {"secret_access_key": secret}
        self.register_outputs({**self.identity, **self.secrets})

    def grant(self, name: str, document: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        """Attaches an inline policy to the user."""
        aws.iam.UserPolicy(name, user=self._user.name, policy=document, opts=opts)

"""Emulated inline policies of IAM roles and users."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from lightly_infra.sandbox.aws import policies
from lightly_infra.sandbox.aws.iam import refuse_name
from lightly_infra.sandbox.aws.policies import PolicyKind, refuse_policy
from lightly_infra.sandbox.aws.session import AwsType, as_text, refused
from lightly_infra.sandbox.resource_type import Input, Naming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.sandbox.resource_type import Properties


class InlinePolicy(AwsType):
    """A policy inside a role or a user; its id is `owner:name`."""

    naming = Naming(128, prefix="namePrefix")
    owner: ClassVar[str]  # the input that names the role or the user
    characters: ClassVar[int]  # of all of an owner's inline policies together

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Put the policy."""
        resource_id = f"{inputs[self.owner]}:{self.naming.chosen(inputs)}"
        return resource_id, self.update(resource_id, {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The policy as it is."""
        owner, _, name = resource_id.partition(":")
        policy = self.get(owner, name)
        return {self.owner: owner, "name": name, "namePrefix": olds.get("namePrefix"), "policy": policy}

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Put the policy, if there is room for it."""
        owner, _, name = resource_id.partition(":")
        others = sum(policies.size(self.get(owner, other)) for other in self.names(owner) if other != name)
        if (total := others + policies.size(inputs["policy"])) > self.characters:
            raise refused(
                "LimitExceeded",
                f"the inline policies of {self.owner} {owner!r} would have {total} characters; "
                f"{self.characters} is the most, white space not counted",
            )
        self.put(owner, name, inputs["policy"])
        return inputs | {"name": name}

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Delete the policy."""
        owner, _, name = resource_id.partition(":")
        self.remove(owner, name)

    @abstractmethod
    def names(self, owner: str) -> list[str]:
        """The names of all inline policies."""

    @abstractmethod
    def get(self, owner: str, name: str) -> str:
        """A policy's text."""

    @abstractmethod
    def put(self, owner: str, name: str, policy: str) -> None:
        """Write a policy."""

    @abstractmethod
    def remove(self, owner: str, name: str) -> None:
        """Delete a policy."""


def _inline_inputs(owner: str) -> Mapping[str, Input]:
    return {
        owner: Input(required=True, replaces=True),
        "name": Input(replaces=True, computed=True, refuse=refuse_name),
        "namePrefix": Input(replaces=True, computed=True),
        "policy": Input(required=True, document=True, refuse=lambda text: refuse_policy(text, PolicyKind.IDENTITY)),
    }


class RolePolicy(InlinePolicy):
    """An inline policy of a role."""

    type_name = "aws:iam/rolePolicy:RolePolicy"
    owner = "role"
    characters = policies.ROLE_POLICY_CHARACTERS
    inputs = _inline_inputs("role")

    def names(self, owner: str) -> list[str]:
        """The names of all inline policies."""
        return self.session.iam().list_role_policies(RoleName=owner)["PolicyNames"]

    def get(self, owner: str, name: str) -> str:
        """A policy's text."""
        return as_text(self.session.iam().get_role_policy(RoleName=owner, PolicyName=name)["PolicyDocument"])

    def put(self, owner: str, name: str, policy: str) -> None:
        """Write a policy."""
        self.session.iam().put_role_policy(RoleName=owner, PolicyName=name, PolicyDocument=policy)

    def remove(self, owner: str, name: str) -> None:
        """Delete a policy."""
        self.session.iam().delete_role_policy(RoleName=owner, PolicyName=name)


class UserPolicy(InlinePolicy):
    """An inline policy of a user."""

    type_name = "aws:iam/userPolicy:UserPolicy"
    owner = "user"
    characters = policies.USER_POLICY_CHARACTERS
    inputs = _inline_inputs("user")

    def names(self, owner: str) -> list[str]:
        """The names of all inline policies."""
        return self.session.iam().list_user_policies(UserName=owner)["PolicyNames"]

    def get(self, owner: str, name: str) -> str:
        """A policy's text."""
        return as_text(self.session.iam().get_user_policy(UserName=owner, PolicyName=name)["PolicyDocument"])

    def put(self, owner: str, name: str, policy: str) -> None:
        """Write a policy."""
        self.session.iam().put_user_policy(UserName=owner, PolicyName=name, PolicyDocument=policy)

    def remove(self, owner: str, name: str) -> None:
        """Delete a policy."""
        self.session.iam().delete_user_policy(UserName=owner, PolicyName=name)

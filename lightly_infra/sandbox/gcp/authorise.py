"""Who calls, and whether they may: a role's permissions under its binding's condition, as Cloud Storage decides it.

Only policies of buckets and keys grant anything: policies of projects, folders and organisations, ACLs, deny policies
and scopes of access tokens are not emulated. The administrator, as whom providers call, may do everything.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox.gcp.conditions import compile_condition
from lightly_infra.sandbox.gcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from lightly_infra.sandbox.gcp.policies import Policy
    from lightly_infra.sandbox.gcp.roles import Roles
    from lightly_infra.sandbox.gcp.tokens import Tokens

LIST_PREFIX: Final = "storage.googleapis.com/objectListPrefix"
_NOBODY: Final = "Anonymous caller"


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    name: str
    """An email, or what Google calls who has none."""

    members: frozenset[str]
    """The members of policies that it is."""

    administrator: bool = False


@dataclass(frozen=True)
class Resource:
    """What a permission is asked for."""

    name: str
    """Such as `projects/_/buckets/acme/objects/raw/a.png`."""

    kind: str
    """Such as `storage.googleapis.com/Object`."""

    what: str
    """What Google's words call it."""


def bucket(name: str) -> Resource:
    """A bucket."""
    return Resource(f"projects/_/buckets/{name}", "storage.googleapis.com/Bucket", "bucket")


def stored(name: str, key: str) -> Resource:
    """An object in a bucket."""
    return Resource(f"projects/_/buckets/{name}/objects/{key}", "storage.googleapis.com/Object", "object")


class Authoriser:
    """Decides.

    Args:
        token: The administrator's.
        tokens: Those of service accounts.
        roles: What they grant.
    """

    def __init__(self, token: str, tokens: Tokens, roles: Roles) -> None:
        self._token = token.encode()
        self._tokens = tokens
        self._roles = roles

    def caller(self, request: Request) -> Caller:
        """Who makes the request.

        Raises:
            Refusal: with a token that is nobody's (any more).
        """
        given = request.headers.get("authorization", "")
        if not given:
            return Caller(_NOBODY, frozenset({"allUsers"}))
        token = given.removeprefix("Bearer ")
        if hmac.compare_digest(token.encode(), self._token):
            return Caller("the administrator", frozenset(), administrator=True)
        account = self._tokens.account(token)
        if account is None:
            raise Refusal(401, "Invalid Credentials", reason="authError", code="UNAUTHENTICATED")
        member = f"serviceAccount:{account.email}"
        return Caller(account.email, frozenset({member, "allUsers", "allAuthenticatedUsers"}))

    def administrator(self, request: Request, permission: str) -> None:
        """Refuses anybody else: what nobody but the administrator has here, such as making accounts."""
        caller = self.caller(request)
        if caller.administrator:
            return
        if caller.name == _NOBODY:
            raise Refusal(401, "Request is missing required authentication credential.", code="UNAUTHENTICATED")
        message = f"Permission '{permission}' denied on resource (or it may not exist)."
        raise Refusal(403, message, code="PERMISSION_DENIED")

    def allows(
        self,
        caller: Caller,
        permission: str,
        resource: Resource,
        policy: Policy,
        attributes: Mapping[str, str] | None = None,
    ) -> bool:
        """Whether a binding of the policy gives the caller the permission on the resource now."""
        return caller.administrator or any(
            not caller.members.isdisjoint(binding.members)
            and permission in self._roles.permissions(binding.role)
            and (
                binding.expression is None
                or compile_condition(binding.expression).holds(
                    name=resource.name, kind=resource.kind, attributes=attributes or {}
                )
            )
            for binding in policy.bindings
        )

    def require(
        self,
        caller: Caller,
        permission: str,
        resource: Resource,
        policy: Policy,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Refuses what is not allowed, in Cloud Storage's words."""
        if not self.allows(caller, permission, resource, policy, attributes):
            raise denied(caller, permission, resource)


def denied(caller: Caller, permission: str, resource: Resource) -> Refusal:
    """How Cloud Storage says no; without credentials it asks for them first."""
    return Refusal(
        401 if caller.name == _NOBODY else 403,
        f"{caller.name} does not have {permission} access to the Google Cloud Storage {resource.what}. "
        f"Permission '{permission}' denied on resource (or it may not exist).",
    )

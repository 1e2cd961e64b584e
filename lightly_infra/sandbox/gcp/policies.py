"""IAM policies of buckets and keys: who is bound to which role, under which condition, and an etag against races."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox.gcp.conditions import ConditionRefused, compile_condition
from lightly_infra.sandbox.gcp.errors import Refusal, invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lightly_infra.sandbox.gcp.iam import Accounts
    from lightly_infra.sandbox.gcp.roles import Roles

PUBLIC: Final = frozenset({"allUsers", "allAuthenticatedUsers"})
_CONDITIONS: Final = 3  # the version of policies that have them
_MEMBER: Final = re.compile(r"(user|group|domain|serviceAccount|deleted|projectOwner|projectEditor|projectViewer):.+")
_AGENT: Final = re.compile(r"service-\d{12}@gs-project-accounts\.iam\.gserviceaccount\.com")
_TITLE: Final = 100  # characters


@dataclass(frozen=True)
class Binding:
    """A role, who has it, and when."""

    role: str
    members: tuple[str, ...]
    condition: tuple[tuple[str, str], ...] = ()
    """Its title, description and expression, as far as they were given."""

    @property
    def expression(self) -> str | None:
        """The condition's; None without one."""
        return dict(self.condition).get("expression")

    def document(self) -> dict[str, Any]:
        """As the API says it."""
        found: dict[str, Any] = {"role": self.role, "members": list(self.members)}
        return found | ({"condition": dict(self.condition)} if self.condition else {})


class Policy:
    """The policy of one resource."""

    def __init__(self, bindings: Sequence[Binding] = ()) -> None:
        self.bindings = list(bindings)
        self._etag = _etag()

    @property
    def conditional(self) -> bool:
        """Whether it has a condition."""
        return any(binding.condition for binding in self.bindings)

    def document(self, requested: int) -> dict[str, Any]:
        """As the API says it to who asks for this version."""
        if self.conditional and requested < _CONDITIONS:
            raise invalid(
                f"Requested policy version ({requested}) cannot be less than the existing policy version "
                f"({_CONDITIONS}) for conditional policies."
            )
        version = _CONDITIONS if self.conditional else 1
        return {
            "version": version,
            "bindings": [binding.document() for binding in self.bindings],
            "etag": self._etag,
        }

    def replace(self, bindings: Sequence[Binding], etag: str | None) -> None:
        """Puts other bindings in place, if the policy is still the one of this etag."""
        if etag is not None and etag != self._etag:
            raise Refusal(412, "At least one of the pre-conditions you specified did not hold.", code="ABORTED")
        self.bindings = [binding for binding in bindings if binding.members]
        self._etag = _etag()

    def forget(self, email: str, unique_id: str) -> None:
        """An account is gone: one that is made anew under its name must not inherit what it had."""
        gone, mark = f"serviceAccount:{email}", f"deleted:serviceAccount:{email}?uid={unique_id}"
        if any(gone in binding.members for binding in self.bindings):
            self.bindings = [
                replace(binding, members=tuple(mark if it == gone else it for it in binding.members))
                for binding in self.bindings
            ]
            self._etag = _etag()


class PolicyReader:
    """Reads the policies that clients send; refuses what Google refuses."""

    def __init__(self, roles: Roles, accounts: Accounts) -> None:
        self._roles = roles
        self._accounts = accounts

    def read(self, body: Any) -> list[Binding]:
        """The bindings of a policy document."""
        if not isinstance(body, dict) or not isinstance(body.get("bindings", []), list):
            raise invalid("Invalid policy.")
        bindings = [self._binding(it) for it in body.get("bindings", [])]
        if any(it.condition for it in bindings) and body.get("version") != _CONDITIONS:
            raise invalid(f"A policy with conditions must have version {_CONDITIONS}.")
        return bindings

    def _binding(self, given: dict[str, Any]) -> Binding:
        role, members = str(given.get("role", "")), [str(it) for it in given.get("members", [])]
        if not self._roles.exists(role):
            raise invalid(f"Role ({role}) does not exist in the resource's hierarchy.")
        for member in members:
            self._check_member(member)
        condition = given.get("condition") or {}
        if condition:
            _check_condition(role, condition)
        return Binding(role, tuple(dict.fromkeys(members)), tuple(sorted(condition.items())))

    def _check_member(self, member: str) -> None:
        if member in PUBLIC:
            return
        if not _MEMBER.fullmatch(member):
            raise invalid(f"Invalid argument: the member {member!r} has no known type.")
        kind, _, email = member.partition(":")
        if kind == "serviceAccount" and not _AGENT.fullmatch(email) and self._accounts.find(email) is None:
            raise invalid(f"Service account {email} does not exist.")


def publics(bindings: Iterable[Binding]) -> list[str]:
    """The members that are everybody."""
    return sorted(PUBLIC.intersection(member for binding in bindings for member in binding.members))


def _check_condition(role: str, condition: dict[str, Any]) -> None:
    title, expression = str(condition.get("title", "")), str(condition.get("expression", ""))
    if unknown := set(condition) - {"title", "description", "expression", "location"}:
        raise invalid(f"Invalid condition: unknown field {min(unknown)!r}.")
    if not 0 < len(title) <= _TITLE:
        raise invalid(f"Invalid condition: its title must have 1 to {_TITLE} characters.")
    if role.startswith("roles/storage.legacy"):
        raise invalid(f"Conditions are not supported on the legacy role {role}.")
    try:
        compile_condition(expression)
    except ConditionRefused as refused:
        raise invalid(str(refused)) from refused


def _etag() -> str:
    return base64.b64encode(secrets.token_bytes(8)).decode()

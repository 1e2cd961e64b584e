"""The emulated provider's members of policies: of buckets and of Cloud KMS keys."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lightly_infra.sandbox.gcp.clients import GoogleError
from lightly_infra.sandbox.gcp.session import GcpType, saying
from lightly_infra.sandbox.resource_type import Input, ResourceError, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Refusal

_NOT_FOUND: Final = 404
_RACED: Final = 412
_ATTEMPTS: Final = 20  # at changing a policy that others change at the same time
_NEEDED: Final = ("title", "expression")  # of a condition
_CONDITIONS: Final = 3  # the version of policies that have them


class _Member(GcpType):
    """One member of one role in one policy, of which all the rest is left as it is."""

    resource: ClassVar[str]
    """The input that names what the policy is of."""

    what: ClassVar[str]
    """What the real provider calls it in errors."""

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """A condition that is not whole."""
        condition = inputs.get("condition")
        if isinstance(condition, dict):
            yield from (("condition", f"{name} is required") for name in _NEEDED if not condition.get(name))

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Add the member."""
        policy = self._change(inputs, _add)
        parts = [inputs[self.resource], inputs["role"], inputs["member"]]
        if inputs.get("condition"):
            parts.append(inputs["condition"]["title"])
        return "/".join(parts), inputs | {"etag": policy["etag"]}

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id is ambiguous
        """The member, when it is still there."""
        if not olds:
            raise ResourceError("importing members is not emulated")
        policy = self.get_policy(olds[self.resource])
        found = _binding(policy, olds)
        return olds | {"etag": policy["etag"]} if found and olds["member"] in found["members"] else None

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002 - the id is ambiguous
        """Take the member away."""
        try:
            self._change(olds, _remove)
        except ResourceError as error:
            # What the policy is of has gone already.
            if not isinstance(error.__cause__, GoogleError) or error.__cause__.status != _NOT_FOUND:
                raise

    @abstractmethod
    def get_policy(self, resource: str) -> dict[str, Any]:
        """The policy as it is."""

    @abstractmethod
    def set_policy(self, resource: str, policy: dict[str, Any]) -> dict[str, Any]:
        """Puts a policy in place, unless it was changed since it was read."""

    def _change(self, inputs: Properties, change: Callable[[dict[str, Any], Properties], None]) -> dict[str, Any]:
        resource = inputs[self.resource]
        with saying(f'Error applying IAM policy for {self.what} "{resource}"'):
            for attempt in range(_ATTEMPTS):
                policy = self.get_policy(resource)
                change(policy, inputs)
                try:
                    return self.set_policy(resource, policy | {"version": _CONDITIONS})
                except GoogleError as error:
                    if error.status != _RACED or attempt == _ATTEMPTS - 1:
                        raise
        raise AssertionError  # unreachable: the last attempt returns or raises


_CONDITION: Final = Shape({"title": "title", "description": "description", "expression": "expression"})
_MEMBERSHIP: Final[Mapping[str, Input]] = {
    "role": Input(required=True, replaces=True),
    "member": Input(required=True, replaces=True),
    "condition": Input(replaces=True, shape=_CONDITION),
}


class BucketMember(_Member):
    """A member in a bucket's policy. The output `bucket` is the bucket's name; the real one's begins with `b/`."""

    type_name = "gcp:storage/bucketIAMMember:BucketIAMMember"
    resource = "bucket"
    what = "storage bucket"
    inputs: ClassVar[Mapping[str, Input]] = {"bucket": Input(required=True, replaces=True)} | dict(_MEMBERSHIP)

    def get_policy(self, resource: str) -> dict[str, Any]:
        """The bucket's policy."""
        params = {"optionsRequestedPolicyVersion": str(_CONDITIONS)}
        found: dict[str, Any] = self.session.api.call("GET", _iam(resource), params=params)
        return found

    def set_policy(self, resource: str, policy: dict[str, Any]) -> dict[str, Any]:
        """Puts it in place."""
        found: dict[str, Any] = self.session.api.call("PUT", _iam(resource), policy)
        return found


class CryptoKeyMember(_Member):
    """A member in the policy of a Cloud KMS key."""

    type_name = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"
    resource = "cryptoKeyId"
    what = "KMS CryptoKey"
    inputs: ClassVar[Mapping[str, Input]] = {"cryptoKeyId": Input(required=True, replaces=True)} | dict(_MEMBERSHIP)

    def get_policy(self, resource: str) -> dict[str, Any]:
        """The key's policy."""
        params = {"options.requestedPolicyVersion": str(_CONDITIONS)}
        found: dict[str, Any] = self.session.api.call("GET", f"/v1/{resource}:getIamPolicy", params=params)
        return found

    def set_policy(self, resource: str, policy: dict[str, Any]) -> dict[str, Any]:
        """Puts it in place."""
        found: dict[str, Any] = self.session.api.call("POST", f"/v1/{resource}:setIamPolicy", {"policy": policy})
        return found


def _iam(bucket: str) -> str:
    return f"/storage/v1/b/{bucket.removeprefix('b/')}/iam"


def _condition(given: Properties) -> Properties:
    """A condition in one form: what is empty is left out."""
    return {name: value for name, value in (given.get("condition") or {}).items() if value}


def _binding(policy: dict[str, Any], inputs: Properties) -> dict[str, Any] | None:
    for it in policy.get("bindings", []):
        if it["role"] == inputs["role"] and _condition(it) == _condition(inputs):
            found: dict[str, Any] = it
            return found
    return None


def _add(policy: dict[str, Any], inputs: Properties) -> None:
    found = _binding(policy, inputs)
    if found is None:
        found = {"role": inputs["role"], "members": []}
        if condition := _condition(inputs):
            found["condition"] = condition
        policy.setdefault("bindings", []).append(found)
    if inputs["member"] not in found["members"]:
        found["members"].append(inputs["member"])


def _remove(policy: dict[str, Any], inputs: Properties) -> None:
    found = _binding(policy, inputs)
    if found is not None and inputs["member"] in found["members"]:
        found["members"].remove(inputs["member"])

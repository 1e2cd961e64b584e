"""The proof that Lightly can work with a dataset's datasources, as a Pulumi resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from lightly_infra.dynamic import changed, is_unknown, without_provider
from lightly_infra.lightly import operations
from lightly_infra.lightly.errors import DatasetUnknown, PermissionsMissing
from lightly_infra.provider.session import LightlyProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightly_infra.lightly.models import DatasourcePermissions

_ANSWERS = ("can_list", "can_read", "can_write", "can_overwrite")


class Provider(LightlyProvider):
    """Asks Lightly whether it can list, read, write and overwrite, until it can or the deadline has passed."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """The deadline must be a time."""
        deadline = news.get("deadline")
        if is_unknown(deadline) or (isinstance(deadline, int | float) and deadline > 0):
            return CheckResult(news, [])
        return CheckResult(news, [CheckFailure("deadline", f"{deadline!r}: give seconds, more than 0")])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another dataset is another verification; any other change asks again."""
        return DiffResult(replaces=changed(olds, news, "dataset_id"))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Asks until everything is allowed, and fails naming what is not."""
        return CreateResult(props["dataset_id"], self._verified(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Asks once. What holds no longer is reported as gone, so that the next `up` proves it anew or fails."""
        self.client.hide(props.get("secrets", []))
        try:
            permissions = operations.verify_until_allowed(self.client, id_, deadline=0)
        except (DatasetUnknown, PermissionsMissing):
            return ReadResult("", {})
        return ReadResult(id_, without_provider(props) | _answers(permissions))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Asks again, because what it depends on has changed."""
        return UpdateResult(self._verified(news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Nothing: a verification leaves nothing behind."""

    def _verified(self, props: dict[str, Any]) -> dict[str, Any]:
        # Lightly may repeat in its answer what another provider has told it.
        self.client.hide(props["secrets"])
        permissions = operations.verify_until_allowed(
            self.client, props["dataset_id"], deadline=float(props["deadline"])
        )
        return without_provider(props) | _answers(permissions)


def _answers(permissions: DatasourcePermissions) -> dict[str, bool]:
    return {name: getattr(permissions, name) for name in _ANSWERS}


class VerificationArgs(TypedDict):
    """What to verify, and when to do so again."""

    dataset_id: pulumi.Input[str]
    """The dataset whose datasources are verified."""

    triggers: Sequence[pulumi.Input[Any]]
    """Verified again whenever one of these changes; nothing secret."""

    secrets: Sequence[pulumi.Input[str]]
    """The credentials of the datasources: verified again whenever one changes, and kept out of every message."""

    deadline: NotRequired[float]
    """Seconds until a missing permission counts as missing. Default: `operations.VERIFY_DEADLINE`."""


class Verification(Resource, module="lightly", name="Verification"):
    """Proof, at the time of the last change, that Lightly has the permissions that it needs."""

    can_list: pulumi.Output[bool]
    can_read: pulumi.Output[bool]
    can_write: pulumi.Output[bool]
    can_overwrite: pulumi.Output[bool]

    def __init__(self, resource_name: str, args: VerificationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {
            "dataset_id": args["dataset_id"],
            "triggers": list(args["triggers"]),
            "secrets": pulumi.Output.secret(list(args["secrets"])),
            "deadline": args.get("deadline", operations.VERIFY_DEADLINE),
            **dict.fromkeys(_ANSWERS),
        }
        secret = pulumi.ResourceOptions(additional_secret_outputs=["secrets"])
        opts = pulumi.ResourceOptions.merge(opts, secret)
        super().__init__(Provider(), resource_name, props, opts)

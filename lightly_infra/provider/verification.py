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
from lightly_infra.lightly import models, operations
from lightly_infra.lightly.errors import DatasetUnknown, PermissionsMissing
from lightly_infra.provider.session import LightlyProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lightly_infra.lightly.models import DatasourceConfig, DatasourcePermissions

_ANSWERS = ("can_list", "can_read", "can_write", "can_overwrite")


class Provider(LightlyProvider):
    """Reads back what was set, and asks Lightly whether it can use it, until it can or the deadline has passed."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """The deadline must be a time, if permissions are to be verified at all."""
        deadline = news.get("deadline")
        if deadline is None or is_unknown(deadline) or (isinstance(deadline, int | float) and deadline > 0):
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
        self.client.hide(it for config in _configs(props) for it in models.secret_values(config))
        if props.get("deadline") is None:
            return self._read_unverified(id_, props)
        try:
            permissions = operations.verify_until_allowed(self.client, id_, deadline=0)
        except (DatasetUnknown, PermissionsMissing):
            return ReadResult("", {})
        return ReadResult(id_, without_provider(props) | _answers(permissions))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Asks again, because what it depends on has changed."""
        return UpdateResult(self._verified(news))

    def _read_unverified(self, id_: str, props: dict[str, Any]) -> ReadResult:
        try:
            self.client.get_dataset(id_)
        except DatasetUnknown:
            return ReadResult("", {})
        return ReadResult(id_, without_provider(props))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Nothing: a verification leaves nothing behind."""

    def _verified(self, props: dict[str, Any]) -> dict[str, Any]:
        configs = _configs(props)
        # Lightly may repeat in its answer what another provider has told it.
        self.client.hide(it for config in configs for it in models.secret_values(config))
        # Here, where both have been set: it is one call for the two, and repeated until it is so.
        operations.confirm_datasources(self.client, props["dataset_id"], configs)
        if props.get("deadline") is None:
            return without_provider(props)
        permissions = operations.verify_until_allowed(
            self.client, props["dataset_id"], deadline=float(props["deadline"])
        )
        return without_provider(props) | _answers(permissions)


def _configs(props: dict[str, Any]) -> list[DatasourceConfig]:
    return [models.parse_config(it) for it in props.get("datasources", [])]


def _answers(permissions: DatasourcePermissions) -> dict[str, bool]:
    return {name: getattr(permissions, name) for name in _ANSWERS}


class VerificationArgs(TypedDict):
    """What to verify, and when to do so again."""

    dataset_id: pulumi.Input[str]
    """The dataset whose datasources are verified."""

    triggers: Sequence[pulumi.Input[Any]]
    """Verified again whenever one of these changes; nothing secret."""

    datasources: Sequence[Mapping[str, pulumi.Input[Any]]]
    """What was set, with its secrets: the fields of `lightly_infra.lightly.models`' configs under their Python names.
    Read back and verified again whenever one changes; kept out of every message."""

    deadline: NotRequired[float | None]
    """Seconds until a missing permission counts as missing; with None the datasources are read back and not verified.
    Default: `operations.VERIFY_DEADLINE`."""


class Verification(Resource, module="lightly", name="Verification"):
    """Proof, at the time of the last change, that Lightly has what was set, and the permissions that it needs."""

    can_list: pulumi.Output[bool]
    can_read: pulumi.Output[bool]
    can_write: pulumi.Output[bool]
    can_overwrite: pulumi.Output[bool]

    def __init__(self, resource_name: str, args: VerificationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {
            "dataset_id": args["dataset_id"],
            "triggers": list(args["triggers"]),
            "datasources": pulumi.Output.secret(list(args["datasources"])),
            "deadline": args.get("deadline", operations.VERIFY_DEADLINE),
            **dict.fromkeys(_ANSWERS),
        }
        secret = pulumi.ResourceOptions(additional_secret_outputs=["datasources"])
        opts = pulumi.ResourceOptions.merge(opts, secret)
        super().__init__(Provider(), resource_name, props, opts)

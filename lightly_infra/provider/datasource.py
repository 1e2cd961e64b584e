"""A datasource of a dataset as a Pulumi resource: where Lightly finds the data, and how it gets in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

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
from lightly_infra.lightly import models
from lightly_infra.lightly.errors import DatasetUnknown
from lightly_infra.provider.session import LightlyProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

# No field may hold it, whole masks and those that leave some characters do.
_MASK = "***"
# What identifies a datasource; everything else in its properties can change.
_IDENTITY = ("dataset_id", "purpose")


class Provider(LightlyProvider):
    """Sets datasources. There is one for each purpose of a dataset, and it lives as long as the dataset."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Applies the API's own field rules to whatever is known already."""
        unknown = frozenset(name for name, value in news.items() if is_unknown(value))
        problems = models.config_problems(_config(news), unknown=unknown)
        return CheckResult(news, [CheckFailure(name, problem) for name, problem in problems.items()])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another dataset or purpose is another datasource; path, region and credentials change in place."""
        return DiffResult(replaces=changed(olds, news, *_IDENTITY), delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Sets the datasource; the call is a PUT and safe to repeat."""
        self._set(props)
        return CreateResult(f"{props['dataset_id']}/{props['purpose']}", without_provider(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What Lightly has now. Secrets come back masked, if at all, and are left as we know them."""
        dataset_id, _, purpose = id_.partition("/")
        try:
            datasources = self.client.list_datasources(dataset_id)
        except DatasetUnknown:
            return ReadResult("", {})
        found = next((it for it in datasources if it.purpose == purpose), None)
        if found is None:
            return ReadResult("", {})
        known = without_provider(props) | {"dataset_id": dataset_id, "purpose": purpose}
        if found.type == known.get("type"):
            actual = _seen(known, found.visible)
        else:
            # Another way in was set in Lightly's own UI: the credentials we know are not its.
            actual = {"dataset_id": dataset_id, **found.visible}
        return ReadResult(id_, actual, dict(actual) if actual != known else None)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Sets the datasource anew."""
        self._set(news)
        return UpdateResult(without_provider(news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Nothing: the API has no such call. The credentials it holds are taken away in the cloud."""

    def _set(self, props: dict[str, Any]) -> None:
        self.client.set_datasource(props["dataset_id"], models.parse_config(_config(props)))


def _seen(known: Mapping[str, Any], visible: Mapping[str, str]) -> dict[str, Any]:
    """What we know, corrected by what can be seen: neither masks nor defaults that come back are a change."""
    sent = {"thumb_suffix": models.DEFAULT_THUMB_SUFFIX} | dict(known)
    news = {name: value for name, value in visible.items() if _MASK not in value and value != sent.get(name)}
    kept = {"dataset_id", *models.ALL_SECRET_FIELDS, *visible}
    return {name: value for name, value in known.items() if name in kept} | news


def _config(props: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in without_provider(props).items() if name != "dataset_id"}


class DatasourceArgs(TypedDict):
    """Where the data is, and how Lightly gets in."""

    dataset_id: pulumi.Input[str]
    """The dataset it belongs to; another one makes another datasource."""

    purpose: pulumi.Input[str]
    """`INPUT`, `LIGHTLY` or `INPUT_OUTPUT`; another one makes another datasource."""

    config: Mapping[str, pulumi.Input[Any]]
    """The fields of one of the models in `lightly_infra.lightly.models`, under their Python names."""


class Datasource(Resource, module="lightly", name="Datasource"):
    """One datasource of a dataset; its `id` is `<dataset id>/<purpose>`."""

    full_path: pulumi.Output[str]
    type: pulumi.Output[str]

    def __init__(self, resource_name: str, args: DatasourceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # Pulumi re-marks a dynamic resource's outputs as secret only if told their names.
        secret = pulumi.ResourceOptions(additional_secret_outputs=sorted(models.ALL_SECRET_FIELDS))
        props = {"dataset_id": args["dataset_id"], "purpose": args["purpose"]}
        for name, value in args["config"].items():
            if not name.islower():
                raise ValueError(f"{resource_name}: {name!r} is the API's name; use the Python one, such as 's3_arn'")
            props[name] = pulumi.Output.secret(value) if name in models.ALL_SECRET_FIELDS else value
        super().__init__(Provider(), resource_name, props, pulumi.ResourceOptions.merge(opts, secret))

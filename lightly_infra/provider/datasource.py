"""A datasource of a dataset as a Pulumi resource: where Lightly finds the data, and how it gets in."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

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
from lightly_infra.lightly import handover, models
from lightly_infra.lightly.errors import DatasetUnknown, InvalidInput
from lightly_infra.provider.session import LightlyProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.lightly.models import DatasourceConfig

# What identifies a datasource; everything else in its properties can change.
_IDENTITY = ("dataset_id", "purpose")
# Whose a secret is: on Azure, where that is no part of it, the account's.
_WHOSE: Final = models.IDENTITY_FIELDS | {"account_name"}
# How we go about it; Lightly is not told.
_OURS = ("dataset_id", "deadline")
# A verification is about all datasources of a dataset at once: its changes take turns, whichever thread they are in.
_TURNS: Final[dict[str, Lock]] = {}


class Provider(LightlyProvider):
    """Sets datasources. There is one for each purpose of a dataset, and it lives as long as the dataset."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Applies the API's own field rules to whatever is known already."""
        unknown = frozenset(name for name, value in news.items() if is_unknown(value))
        problems = models.config_problems(_config(news), unknown=unknown)
        deadline = news.get("deadline")
        if not (deadline is None or is_unknown(deadline) or (isinstance(deadline, int | float) and deadline >= 0)):
            problems["deadline"] = f"{deadline!r}: give seconds, 0 or more"
        return CheckResult(news, [CheckFailure(name, problem) for name, problem in problems.items()])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another dataset or purpose is another datasource; path, region and credentials change in place.

        Another deadline changes nothing that is there. The engine would compare it with the one of the last run, where
        `olds` still have that of the last change.
        """
        if not changed(olds, news, *((olds.keys() | news.keys()) - {"deadline"})):
            return DiffResult(changes=False)
        return DiffResult(replaces=changed(olds, news, *_IDENTITY), delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Sets the datasource; the call is a PUT and safe to repeat."""
        self.client.set_datasource(props["dataset_id"], models.parse_config(_config(props)))
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
            actual = {name: known[name] for name in _OURS if name in known} | found.visible
        return ReadResult(id_, actual, dict(actual) if actual != known else None)

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Sets the datasource anew. Other credentials for the same place are registered only if they work."""
        dataset_id, new, deadline = news["dataset_id"], models.parse_config(_config(news)), news.get("deadline")
        old = _known_config(olds)
        with _TURNS.setdefault(dataset_id, Lock()):
            if deadline and old is not None and models.only_credentials_differ(old, new):
                handover.hand_over(self.client, dataset_id, old, new, deadline=float(deadline))
            else:
                self.client.set_datasource(dataset_id, new)
        return UpdateResult(without_provider(news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Nothing: the API has no such call. The credentials it holds are taken away in the cloud."""


def _seen(known: Mapping[str, Any], visible: Mapping[str, str]) -> dict[str, Any]:
    """What we know, corrected by what can be seen: neither masks nor defaults that come back are a change."""
    sent = {"thumb_suffix": models.DEFAULT_THUMB_SUFFIX} | dict(known)
    news = {name: value for name, value in visible.items() if models.MASK not in value and value != sent.get(name)}
    # Another key's id or role was set in Lightly's own UI, or by a run that was killed: the secret we know is not its.
    secrets = frozenset[str]() if news.keys() & _WHOSE else models.ALL_SECRET_FIELDS
    kept = {*_OURS, *secrets, *visible}
    return {name: value for name, value in known.items() if name in kept} | news


def _config(props: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in without_provider(props).items() if name not in _OURS}


def _known_config(props: Mapping[str, Any]) -> DatasourceConfig | None:
    """What is registered; None where a refresh found another way in, whose secrets nobody knows here."""
    try:
        return models.parse_config(_config(props))
    except InvalidInput:
        return None


class DatasourceArgs(TypedDict):
    """Where the data is, and how Lightly gets in."""

    dataset_id: pulumi.Input[str]
    """The dataset it belongs to; another one makes another datasource."""

    purpose: pulumi.Input[str]
    """`INPUT`, `LIGHTLY` or `INPUT_OUTPUT`; another one makes another datasource."""

    config: Mapping[str, pulumi.Input[Any]]
    """The fields of one of the models in `lightly_infra.lightly.models`, under their Python names."""

    deadline: NotRequired[float | None]
    """Seconds to wait until other credentials work; if they do not by then, the ones before stay registered. Default:
    none, for datasources that cannot be verified; others are then registered unseen."""


class Datasource(Resource, module="lightly", name="Datasource"):
    """One datasource of a dataset; its `id` is `<dataset id>/<purpose>`."""

    full_path: pulumi.Output[str]
    type: pulumi.Output[str]

    def __init__(self, resource_name: str, args: DatasourceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # Pulumi re-marks a dynamic resource's outputs as secret only if told their names.
        secret = pulumi.ResourceOptions(additional_secret_outputs=sorted(models.ALL_SECRET_FIELDS))
        props: dict[str, Any] = {it: args.get(it) for it in ("dataset_id", "purpose", "deadline")}
        for name, value in args["config"].items():
            if not name.islower():
                raise ValueError(f"{resource_name}: {name!r} is the API's name; use the Python one, such as 's3_arn'")
            props[name] = pulumi.Output.secret(value) if name in models.ALL_SECRET_FIELDS else value
        super().__init__(Provider(), resource_name, props, pulumi.ResourceOptions.merge(opts, secret))

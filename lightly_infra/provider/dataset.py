"""A dataset of the Lightly platform as a Pulumi resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, TypedDict

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
from lightly_infra.lightly.errors import DatasetConflict, DatasetUnknown, InvalidInput, LightlyError
from lightly_infra.provider.session import LightlyProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

OnDestroy = Literal["keep", "delete"]
KEEP: Final = "keep"
DELETE: Final = "delete"

# What counts when an existing dataset is taken, and never again.
_AT_ADOPTION: Final = ("take_over", "datasources", "replace_datasources")

# Which field is wrong when the dataset that it names may not be used.
_MEANS: Final = ("dataset_id", "take_over", "name")


class Provider(LightlyProvider):
    """Creates, adopts, renames and, only if told to, deletes datasets."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuses what the API refuses, a change of type in place, and an existing dataset that may not be used."""
        # For this method alone: what it leaves out is neither compared nor in state.
        previewing = news.get("previewing") is True
        news = {name: value for name, value in news.items() if name != "previewing"}
        name, dataset_id, kind = news.get("name"), news.get("dataset_id"), news.get("type")
        failures = []
        if name is None and dataset_id is None:
            failures.append(CheckFailure("name", "give the dataset's name, or the dataset_id of an existing one"))
        for field, value, rule in (
            ("name", name, models.check_dataset_name),
            ("dataset_id", dataset_id, models.check_dataset_id),
            ("take_over", news.get("take_over"), models.check_dataset_id),
        ):
            if isinstance(value, str):
                try:
                    rule(value)
                except InvalidInput as error:
                    failures.append(CheckFailure(field, str(error)))
        if isinstance(kind, str) and kind not in set(models.DatasetType):
            known = ", ".join(models.DatasetType)
            failures.append(CheckFailure("type", f"{kind!r} is not a dataset type; use one of {known}"))
        if (on_destroy := news.get("on_destroy")) not in {KEEP, DELETE}:
            failures.append(CheckFailure("on_destroy", f"{on_destroy!r}: use {KEEP!r} or {DELETE!r}"))
        # The old inputs are all there is to see here; `diff` looks again, at the outputs.
        if dataset_id == olds.get("dataset_id") and (problem := _type_problem(olds, news)):
            failures.append(CheckFailure("type", problem))
        return CheckResult(news, failures or self._not_to_be_used(olds, news, previewing=previewing))

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another id, or another type with another name, is another dataset; everything else changes in place.

        Another dataset is there before the old one is deleted, if it is: what fails in between costs nothing.

        Raises:
            DatasetConflict: the type would change of a dataset that keeps its name, or its id.
        """
        dataset_id, kind = news.get("dataset_id"), news.get("type")
        if dataset_id is not None:
            is_another = is_unknown(dataset_id) or dataset_id != id_
        else:
            # Without its id, a dataset of someone else's is not ours to rename: another one is meant.
            is_another = olds.get("dataset_id") is not None and news.get("name") != olds.get("name")
        if is_another:
            replaces = ["dataset_id"]
        elif problem := _type_problem(olds, news):
            raise DatasetConflict(problem)
        else:
            replaces = changed(olds, news, "type") if kind is not None else []
        changes = None if replaces or not _differ_at_adoption_only(olds, news) else False
        return DiffResult(changes, replaces=replaces, delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Registers the dataset, or takes an existing one where `operations.create_or_adopt` allows it."""
        registered = operations.create_or_adopt(self.client, **_wanted(props))
        if registered.adopted and (datasources := props.get("datasources")):
            operations.check_datasources(
                self.client, registered.id, datasources, replace=bool(props.get("replace_datasources"))
            )
        actual = {"name": registered.name, "type": registered.type, "adopted": registered.adopted}
        return CreateResult(registered.id, without_provider(props) | actual)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What Lightly has now: another name shows as drift, a deleted dataset as gone."""
        try:
            dataset = self.client.get_dataset(id_)
        except DatasetUnknown:
            return ReadResult("", {})
        known = {"on_destroy": KEEP, "adopt": False, "adopted": True} | without_provider(props)
        actual = known | {"name": dataset.name, "type": dataset.type}
        inputs = {name: value for name, value in actual.items() if name != "adopted"}
        return ReadResult(id_, actual, inputs if actual != known else None)

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Renames the dataset in place; whatever else can change is only known to us."""
        name = news.get("name", olds["name"])
        if name != olds["name"]:
            operations.rename(self.client, id_, name)
        actual = {"name": name, "type": olds["type"], "adopted": olds["adopted"]}
        return UpdateResult(without_provider(news) | actual)

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Deletes the dataset if it is ours and the user said so; keeps it otherwise."""
        if not _may_be_deleted(props):
            return
        try:
            operations.delete(self.client, id_)
        except LightlyError as error:
            raise LightlyError(
                f"{error}. Dataset {props['name']!r} stays as it is. To keep it, put it back with `on_destroy: keep`, "
                "run `pulumi up`, and remove it again; or delete it in the Lightly app, and run this again"
            ) from None

    def _not_to_be_used(self, olds: dict[str, Any], news: dict[str, Any], *, previewing: bool) -> list[CheckFailure]:
        """Whether the dataset that is meant is missing or may not be used; nothing where Lightly can't be asked."""
        means = next(it for it in _MEANS if news.get(it) is not None)
        kind, before = news.get("type"), olds.get("type")
        has_changed = kind is not None and before not in {None, kind} if means == "name" else changed(olds, news, means)
        is_another = not olds or has_changed
        # Whether a name is free a creation finds out by itself: asking first is for previews.
        must_be_asked = means != "name" or news.get("adopt") or previewing
        if not is_another or not must_be_asked or any(is_unknown(news.get(it)) for it in (*_MEANS, "type")):
            return []
        try:
            found = operations.existing(self.client, operations.DatasetWanted(**_wanted(news)))
        except (DatasetConflict, DatasetUnknown) as error:
            return [CheckFailure(means, str(error))]
        except LightlyError:
            return []  # a preview works without a token, and `create` says what is wrong
        # What replaces another is checked twice, the second time as if it were new.
        if olds or found is None or not found.adopted:
            return []
        pulumi.log.info(
            f"dataset {found.name!r} (id {found.id}, {found.type}) exists: it is adopted as it is, and never deleted"
        )
        return self._replaced(found.id, news)

    def _replaced(self, dataset_id: str, news: dict[str, Any]) -> list[CheckFailure]:
        """Whether an existing dataset's datasources would be replaced that may not be."""
        replace = bool(news.get("replace_datasources"))
        if not (wanted := _known(news.get("datasources"))):
            return []
        try:
            replaced = operations.check_datasources(self.client, dataset_id, wanted, replace=replace)
        except DatasetConflict as error:
            return [CheckFailure("datasources", str(error))]
        except LightlyError:
            return []
        for line in replaced:
            pulumi.log.warn(f"dataset {dataset_id}: its datasource is replaced: {line}")
        return []


def _wanted(props: dict[str, Any]) -> dict[str, Any]:
    """Which dataset is meant, as `operations` wants it told."""
    return {
        "name": props.get("name"),
        "type": models.DatasetType(props["type"]) if props.get("type") else None,
        "dataset_id": props.get("dataset_id"),
        "adopt": bool(props.get("adopt")),
        "take_over": props.get("take_over"),
    }


def _known(wanted: object) -> dict[str, dict[str, str]]:
    """The datasources that are wanted, without those of which a preview does not know everything yet."""
    if not isinstance(wanted, dict):
        return {}
    return {
        purpose: told
        for purpose, told in wanted.items()
        if isinstance(told, dict) and not any(is_unknown(it) for it in told.values())
    }


def _differ_at_adoption_only(olds: dict[str, Any], news: dict[str, Any]) -> bool:
    """Whether all that differs is what counted when the dataset was adopted."""
    # Name and type may be known without having been said; whether it was adopted is only ever known.
    not_said = {"name", "type"} - set(news)
    others = {*olds, *news} - {*_AT_ADOPTION, *not_said, "adopted"}
    return bool(changed(olds, news, *_AT_ADOPTION)) and not changed(olds, news, *others)


def _type_problem(olds: dict[str, Any], news: dict[str, Any]) -> str | None:
    """Why the dataset may not get another type; None if it may, or keeps the one it has."""
    kind, name = news.get("type"), news.get("name")
    if not isinstance(kind, str) or olds.get("type") in {None, kind}:
        return None
    said = f"a dataset's type cannot change from {olds['type']!r} to {kind!r}"
    if news.get("dataset_id") is not None:
        return f"{said}: set `type: {olds['type']}`, or the `id:` of another dataset"
    if is_unknown(name) or name != olds.get("name"):
        return None
    return (
        f"{said}, and names are unique at Lightly. For another dataset, change its `name:` in the same edit: the new "
        "one is made first, then the old one stays, or is deleted with 'on_destroy: delete'. Or declare the new one "
        "beside the old, under another key"
    )


def _may_be_deleted(props: dict[str, Any]) -> bool:
    adopted = props.get("adopted") or props.get("dataset_id") is not None
    return props.get("on_destroy") == DELETE and not adopted


class DatasetResourceArgs(TypedDict):
    """A dataset to create or to adopt: by name, or by id."""

    name: NotRequired[pulumi.Input[str]]
    """At least 3 characters: letters, digits, spaces, `_` and `-`. Changing it renames the dataset."""

    type: NotRequired[pulumi.Input[str]]
    """`Images`, `Videos` or `Crops`. Default: `Images`, or whatever an existing dataset is."""

    dataset_id: NotRequired[pulumi.Input[str]]
    """An existing dataset, by its 24 hexadecimal digits. It is never deleted."""

    adopt: NotRequired[bool]
    """Take the dataset of that name where there is one; it is then never deleted. Default: no."""

    take_over: NotRequired[pulumi.Input[str]]
    """The id of an empty dataset of that name and type which an interrupted run of this stack left: it counts as made
    here. Once that is done, it means nothing and may go."""

    datasources: NotRequired[Mapping[str, Mapping[str, pulumi.Input[str]]]]
    """Of a dataset that is adopted: what its datasources are to be, by purpose: `type` and `full_path` (without it:
    something yet to be made), on Azure `account_name`, on OBS `obs_endpoint`. One that points elsewhere is not
    replaced when the dataset is adopted, unless told so. Default: they are replaced without looking."""

    replace_datasources: NotRequired[bool]
    """Replace what points elsewhere. Default: no."""

    on_destroy: NotRequired[OnDestroy]
    """What happens to a dataset made here when it leaves the program. Default: `keep`."""


class Dataset(Resource, module="lightly", name="Dataset"):
    """A dataset of the Lightly platform; its `id` is the dataset's id."""

    name: pulumi.Output[str]
    type: pulumi.Output[str]
    adopted: pulumi.Output[bool]
    """Whether it was somebody else's before it was declared here."""

    def __init__(
        self, resource_name: str, args: DatasetResourceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # Only what is mentioned here has an output.
        defaults = {"name": None, "type": None, "adopt": False, "on_destroy": KEEP, "adopted": None}
        previewing = {"previewing": pulumi.runtime.is_dry_run()}
        super().__init__(Provider(), resource_name, {**defaults, **args, **previewing}, opts)

"""From what an account has at Lightly to a stack's YAML that says the same.

Only what the YAML can say exactly as it is gets in: the first `pulumi up` changes nothing. Secrets are not looked at,
whether Lightly masks them or not: each is a placeholder, which is refused until it is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from lightly_infra import paths, spec
from lightly_infra.lightly.models import DEFAULT_THUMB_SUFFIX, DatasetType
from lightly_infra.lightly.redaction import one_line
from lightly_infra.permissions import Purpose
from lightly_infra.spec.fields import shown, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from lightly_infra.lightly.models import DatasetData, DatasourceData

_KEY_CHARACTERS: Final = 38
"""As many as `paths.slug` leaves: the names of cloud resources must differ, too."""


@dataclass(frozen=True)
class Existing:
    """A dataset as Lightly has it."""

    dataset: DatasetData
    datasources: tuple[DatasourceData, ...]


@dataclass(frozen=True)
class LeftOut:
    """A dataset that the YAML cannot say as it is."""

    id: str
    name: str
    reason: str

    def __str__(self) -> str:
        return one_line(f"{self.name!r} ({self.id}): {self.reason}")


@dataclass(frozen=True)
class Imported:
    """What goes into a stack's YAML, and what does not."""

    datasets: Mapping[str, Mapping[str, Any]]
    """By their key in the YAML."""

    left_out: tuple[LeftOut, ...]

    def commands(self, stack: str) -> list[str]:
        """What to run before the first `pulumi up`: one for each secret."""
        return [spec.command_to_set(path, stack=stack) for path in spec.placeholders(self.datasets)]

    def text(self, stack: str) -> str:
        """The stack's file."""
        lines = [
            "# What Lightly has, as `lightly-infra import` found it: the first `pulumi up` changes nothing there.",
            "# Before it, set what Lightly does not tell:",
            *(f"#   {command}" for command in self.commands(stack)),
        ]
        if self.left_out:
            lines += ["# Not imported:", *(f"#   {it}" for it in self.left_out)]
        config = {"config": {spec.DATASETS_KEY: self.datasets}}
        return "\n".join([*lines, yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)])


def imported(existing: Iterable[Existing]) -> Imported:
    """The YAML of an account's datasets; what cannot be said, or not together with those before it, is left out."""
    datasets: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    left_out = []
    for it in existing:
        key = _key(it.dataset.name, datasets)
        try:
            datasets[key], names[key] = _dataset(it, key), it.dataset.name
        except ValueError as error:
            left_out.append(LeftOut(it.dataset.id, it.dataset.name, str(error)))
    if _problem(datasets):
        together: dict[str, dict[str, Any]] = {}
        for key, dataset in datasets.items():
            if problem := _problem({**together, key: dataset}):
                left_out.append(LeftOut(dataset["id"], names[key], problem))
            else:
                together[key] = dataset
        datasets = together
    return Imported(datasets, tuple(left_out))


def _problem(datasets: Mapping[str, Any]) -> str | None:
    """Why the datasets of a stack cannot stand together."""
    try:
        spec.parse(_filled(datasets))
    except spec.SpecError as error:
        return str(error)
    return None


def _dataset(existing: Existing, key: str) -> dict[str, Any]:
    """What the YAML says of a dataset.

    Raises:
        ValueError: it cannot say it as it is.
    """
    it, sources = existing.dataset, {source.purpose: source for source in existing.datasources}
    if it.type not in set(DatasetType):
        raise ValueError(f"it holds {it.type!r}, which the YAML does not know; it knows {', '.join(DatasetType)}")
    if Purpose.INPUT_OUTPUT in sources:
        raise ValueError("it has one datasource for both (INPUT_OUTPUT); set an Input and a Lightly one in its place")
    if missing := [purpose for purpose in (Purpose.INPUT, Purpose.LIGHTLY) if purpose not in sources]:
        raise ValueError(f"it has no {' and no '.join(missing)} datasource; set both")
    said = {
        "id": it.id,
        "type": it.type,
        **{purpose.lower(): _datasource(sources[purpose]) for purpose in (Purpose.INPUT, Purpose.LIGHTLY)},
    }
    parsed = spec.parse(_filled({key: said}))[key]
    for purpose, cloud in parsed.datasources.items():
        for name, now in cloud.datasource.told.items():
            if (before := sources[purpose].visible.get(name)) != now:
                raise ValueError(
                    f"{purpose}: {name} {shown(before)} would become {shown(now)}; set it so at Lightly first"
                )
    return said


def _datasource(source: DatasourceData) -> dict[str, Any]:
    if source.type not in _FORMS:
        raise ValueError(f"its {source.purpose} datasource is of type {source.type!r}, which the YAML does not have")
    cloud, form = _FORMS[source.type]
    suffix = source.visible.get("thumb_suffix", DEFAULT_THUMB_SUFFIX)
    said = {**form(source.visible), "thumb_suffix": None if suffix == DEFAULT_THUMB_SUFFIX else suffix}
    return {cloud: {name: value for name, value in said.items() if value is not None}}


def _s3(visible: Mapping[str, str], access: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_in_bucket("s3", visible),
        "region": visible.get("s3_region"),
        "access": access,
        "kms_key_arn": visible.get("s3_server_side_encryption_kms_key"),
    }


def _by_key(visible: Mapping[str, str]) -> dict[str, Any]:
    key = {"access_key_id": visible.get("s3_access_key_id"), "secret_access_key": spec.PLACEHOLDER}
    return _s3(visible, {"kind": "keys", **key})


def _by_role(visible: Mapping[str, str]) -> dict[str, Any]:
    role = {"role_arn": visible.get("s3_arn"), "external_id": spec.PLACEHOLDER}
    return _s3(visible, {"kind": "delegated", **role})


def _azure(visible: Mapping[str, str]) -> dict[str, Any]:
    container, _, prefix = visible.get("full_path", "").partition("/")
    return {
        "account": visible.get("account_name"),
        "container": container,
        "prefix": prefix,
        # Lightly does not tell whether the SAS is a directory's; that of a container is the usual one.
        "container_wide": True if prefix else None,
        "sas_token": spec.PLACEHOLDER,
    }


def _gcs(visible: Mapping[str, str]) -> dict[str, Any]:
    project = {"project": visible.get("gcs_project_id")}
    return {**_in_bucket("gs", visible), **project, "access": {"credentials": spec.PLACEHOLDER}}


def _obs(visible: Mapping[str, str]) -> dict[str, Any]:
    return {
        "endpoint": visible.get("obs_endpoint"),
        **_in_bucket("obs", visible),
        "access_key_id": visible.get("obs_access_key_id"),
        "secret_access_key": spec.PLACEHOLDER,
    }


def _in_bucket(scheme: str, visible: Mapping[str, str]) -> dict[str, Any]:
    bucket, _, prefix = visible.get("full_path", "").removeprefix(f"{scheme}://").partition("/")
    return {"bucket": bucket, "prefix": prefix}


# The cloud's key in the YAML, and what to write there, by the type that the API has.
_FORMS: Final[Mapping[str, tuple[str, Callable[[Mapping[str, str]], dict[str, Any]]]]] = {
    "S3": ("s3", _by_key),
    "S3DelegatedAccess": ("s3", _by_role),
    "AZURE": ("azure", _azure),
    "GCS": ("gcs", _gcs),
    "OBS": ("obs", _obs),
}


def _key(name: str, taken: Collection[str]) -> str:
    """A key of the YAML for a dataset of that name, which no other has."""
    first = key = paths.slug(name) or "dataset"
    number = 1
    while key in taken:
        number += 1
        end = f"-{number}"
        key = f"{first[: _KEY_CHARACTERS - len(end)].rstrip('-')}{end}"
    return key


def _filled(value: Any) -> Any:
    """The datasets as if all secrets were set."""
    match value:
        case spec.PLACEHOLDER:
            return stand_in(spec.PLACEHOLDER)
        case dict():
            return {key: _filled(inner) for key, inner in value.items()}
        case _:
            return value


class _Dumper(yaml.SafeDumper):
    """Quotes whatever some reader of YAML could take for a number, such as an id of digits and one `e`."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text[:1].isalpha() else "'")


_Dumper.add_representer(str, _text)

"""Datasets, as the YAML says them: each with an Input and a Lightly datasource on any cloud."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from lightly_infra import paths, retention
from lightly_infra.lightly import models
from lightly_infra.lightly.models import DatasetType
from lightly_infra.permissions import Purpose
from lightly_infra.spec import agreements, errors
from lightly_infra.spec.azure import AzureSpec
from lightly_infra.spec.errors import SpecError, problems
from lightly_infra.spec.fields import Spec, shown
from lightly_infra.spec.gcs import GcsSpec
from lightly_infra.spec.obs import ObsSpec
from lightly_infra.spec.s3 import S3Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import SecretStr

    from lightly_infra.spec.fields import DatasourceSpec

DATASETS_KEY: Final = "lightly-infra:datasets"
"""Where the datasets stand in a stack's config."""

PLACEHOLDER: Final = "SET-ME"
"""What stands for a secret that somebody has yet to set."""

DatasetName = Annotated[str, AfterValidator(models.check_dataset_name)]
DatasetId = Annotated[str, AfterValidator(models.check_dataset_id)]


class CloudSpec(Spec):
    """One datasource: exactly one cloud."""

    s3: S3Spec | None = None
    azure: AzureSpec | None = None
    gcs: GcsSpec | None = None
    obs: ObsSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, value: Any) -> Any:
        if value is None or value == {}:
            raise ValueError(
                f"no cloud: say where the data is with one of {', '.join(cls.model_fields)}, "
                "such as 's3: {bucket: …, prefix: …, access: …}'"
            )
        if not isinstance(value, dict):
            return value
        given = [it for it in cls.model_fields if it in value]
        if len(given) > 1:
            raise ValueError(f"{len(given)} clouds ({', '.join(given)}): a datasource is in one; keep one")
        if given and value[given[0]] is None:
            raise ValueError(f"{given[0]}: empty; say where the data is, such as '{given[0]}: {{prefix: …}}'")
        return value

    @property
    def cloud(self) -> str:
        """The cloud's key in the YAML."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def datasource(self) -> DatasourceSpec:
        """What is said of it."""
        datasource: DatasourceSpec = getattr(self, self.cloud)
        return datasource


def _dataset_type(value: object) -> object:
    if isinstance(value, str) and value in set(DatasetType):
        return DatasetType(value)
    if value is None:
        return None
    raise ValueError(f"{shown(value)} is not a dataset type; use one of {', '.join(DatasetType)}")


def _former_key(value: str) -> str:
    if not paths.slug(value):
        raise ValueError(f"{shown(value)} is not a valid dataset key: it needs a letter or a digit")
    return value


class DatasetSpec(Spec):
    """A dataset with its two datasources."""

    name: DatasetName | None = Field(
        None,
        description="The name at Lightly; changing it renames the dataset. Default: the YAML key. Another key, without "
        "`formerly`, is another dataset.",
    )
    formerly: Annotated[str, AfterValidator(_former_key)] | None = Field(
        None,
        description="The key that the dataset was first deployed under: with it, another key is the same dataset, and "
        "all that was made for it stays. It stays in the YAML.",
    )
    type: Annotated[DatasetType | None, BeforeValidator(_dataset_type)] = Field(
        None, description="`Images`, `Videos` or `Crops`. Default: `Images`, or whatever `id` is."
    )
    id: DatasetId | None = Field(None, description="Use the existing dataset with this id. It is never deleted.")
    adopt: bool = Field(
        default=False,
        description="Use the existing dataset of this name, if there is one. It is never deleted. Default: no.",
    )
    take_over: DatasetId | None = Field(
        None,
        description="The id of an empty dataset of this name and type that an interrupted run of this stack left: it "
        "counts as made here. Remove the line afterwards, or leave it.",
    )
    replace_datasources: bool = Field(
        default=False,
        description="Let the existing dataset's datasources be replaced where they point elsewhere. Default: no; "
        "`preview` and `up` then show what differs, and stop.",
    )
    retrain_every_run: bool = Field(
        default=False,
        description="Whether a model is trained on the dataset in every run; then nothing of its Input should expire.",
    )
    strict_retention: bool = Field(
        default=False,
        description="Stop where a lifecycle rule of a bucket of yours would delete too early, and where "
        "`retention_days` would delete something as soon as it is in force. Default: warn.",
    )
    on_destroy: Literal["keep", "delete"] = Field(
        default="keep",
        description="What happens to the dataset at Lightly when it leaves the YAML, if it was made here: `keep` "
        "(default) or `delete`. What decides is what was deployed last: deploy the change first, then remove the "
        "dataset. Storage that was made here always stays.",
    )
    verify_deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Seconds to wait for permissions to take effect. Default: what the slower cloud may take by its "
        "own documentation: 120 on S3 and Azure, 330 with a KMS key or a new OBS bucket, 600 on Google Cloud.",
    )
    input: CloudSpec
    lightly: CloudSpec

    @property
    def datasources(self) -> Mapping[Purpose, CloudSpec]:
        """Both datasources, by what they are for."""
        return {Purpose.INPUT: self.input, Purpose.LIGHTLY: self.lightly}

    def worker_config(self) -> dict[str, Any]:
        """The worker config for `schedule_compute_worker_run`, as far as it follows from the datasources."""
        source = self.input.datasource
        return retention.worker_config(
            expected_run_days=source.expected_run_days,
            handling_strategy=source.handling_strategy,
            bypass_verify=any(cloud.datasource.shuts_lightly_out for cloud in self.datasources.values()),
        )

    @property
    def needs_worker(self) -> str | None:
        """Which versions of the Lightly Worker know this worker config, such as `>=2.11`; None for any."""
        return f">={retention.WORKER_VERSION}" if self.input.datasource.expected_run_days is not None else None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.id is not None and self.name is not None:
            raise ValueError("name: the dataset of an 'id' keeps its name; remove one of the two")
        if self.take_over is not None and (self.id is not None or self.adopt):
            raise ValueError(
                "take_over: it is for a dataset that this stack has made, 'id' and 'adopt' are for others; keep one"
            )
        if self.replace_datasources and self.id is None and not self.adopt:
            raise ValueError(
                "replace_datasources: it is for an existing dataset; give its 'id', or write 'adopt: true'"
            )
        for purpose, cloud in self.datasources.items():
            try:
                cloud.datasource.check_purpose(purpose)
            except ValueError as error:
                raise ValueError(f"{purpose.lower()}.{cloud.cloud}.{error}") from None
        source, target = self.input.datasource, self.lightly.datasource
        if source.place is None or source.place != target.place:
            return self
        to, at = f"lightly.{self.lightly.cloud}.prefix", f"input.{self.input.cloud}.prefix"
        if paths.contains(source.prefix, target.prefix):
            raise ValueError(
                f"{to} {target.prefix!r} lies in {at} {source.prefix!r} of the same bucket: "
                "what Lightly writes would come in as Input; put it beside"
            )
        if paths.contains(target.prefix, source.prefix):
            raise ValueError(
                f"{at} {source.prefix!r} lies in {to} {target.prefix!r} of the same bucket: "
                "Lightly could change and delete the Input; put it beside"
            )
        if paths.contains(target.reach, source.prefix):
            raise ValueError(
                f"{at} {source.prefix!r} lies in the same container as {to} {target.prefix!r}, all of which its "
                "credentials reach: Lightly could change and delete the Input; give each a container of its own"
            )
        return self


class _Stack(Spec):
    datasets: dict[str, DatasetSpec]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        agreements.check(self.datasets)
        return self


def parse(datasets: object, defaults: Mapping[str, str | None] | None = None) -> dict[str, DatasetSpec]:
    """The datasets of `lightly-infra:datasets`, checked as far as that goes without a call to anybody.

    Args:
        datasets: what the YAML holds.
        defaults: what datasources that do not say otherwise get from the stack: `region` (S3),
            `azure_location`, `project` (GCS), `obs_endpoint` and `obs_region`.

    Returns:
        The datasets by key, complete.

    Raises:
        SpecError: one line for each problem, such as
            `street-scenes.input.s3.prefix: '/raw' starts with a slash; …`.
    """
    if not isinstance(datasets, dict) or not datasets:
        raise SpecError([f"{DATASETS_KEY}: declare at least one dataset, as a mapping of name to dataset"])
    if unset := not_set(datasets):
        raise SpecError(unset)
    try:
        return _Stack.model_validate({"datasets": datasets}, context=dict(defaults or {})).datasets
    except ValidationError as error:
        told = list(problems(error, DatasetSpec))
    # Raised outside of the except block: as its context, pydantic's error would carry the secrets along.
    raise SpecError(told)


def not_set(datasets: object) -> list[str]:
    """A line for each secret of `lightly-infra:datasets` that is still to be set, as it is written or as it is run."""
    return [f"{path}: not set yet; set it with `{command_to_set(path)}`" for path in placeholders(datasets)]


def placeholders(datasets: object) -> Iterator[str]:
    """The paths of the secrets that are still to be set."""
    if isinstance(datasets, dict):
        names = secret_fields()
        for key, value in datasets.items():
            yield from _placeholders(step(str(key)), value, names)


def _placeholders(path: str, value: object, names: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in names and inner == PLACEHOLDER:
                yield f"{path}.{key}"
            yield from _placeholders(f"{path}.{key}", inner, names)


def command_to_set(path: str, *, stack: str | None = None) -> str:
    """How to set a secret at a path below `lightly-infra:datasets`; without a stack in the one that is selected."""
    of_stack = f" --stack {stack}" if stack else ""
    at = path if path.startswith("[") else f".{path}"
    return f"pulumi config set{of_stack} --secret --path '{DATASETS_KEY}{at}'"


def secrets_of(datasets: Mapping[str, DatasetSpec]) -> Iterator[tuple[str, SecretStr]]:
    """Every secret that the datasets hold, with its path below `lightly-infra:datasets`."""
    for key, dataset in datasets.items():
        for purpose, cloud in dataset.datasources.items():
            yield from _secrets(f"{step(key)}.{purpose.lower()}.{cloud.cloud}", cloud.datasource)


def secret_fields() -> frozenset[str]:
    """The names of the fields that hold secrets."""
    return errors.secret_fields(DatasetSpec)


def _secrets(path: str, model: Spec) -> Iterator[tuple[str, SecretStr]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Spec):
            yield from _secrets(f"{path}.{name}", value)
        elif hasattr(value, "get_secret_value"):
            yield f"{path}.{name}", value


def step(key: str) -> str:
    """A key as a step of a path that `pulumi config set --path` takes."""
    return key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key) else f'["{key}"]'


def parse_account_id(value: str | None) -> str | None:
    """The AWS account Lightly comes from, if the stack names another than the usual one.

    Raises:
        SpecError: it is not 12 digits.
    """
    if value is not None and not re.fullmatch(r"[0-9]{12}", value):
        raise SpecError([f"lightly-infra:lightly_account_id: {value!r} is no AWS account id, which is 12 digits"])
    return value

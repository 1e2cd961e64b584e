"""From the YAML to components: one builder for each cloud, loaded when a stack uses the cloud."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lightly_infra.spec.fields import DatasourceSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pulumi

    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.permissions import Purpose
    from lightly_infra.spec import DatasetSpec
    from lightly_infra.stack.settings import Settings

_Spec = TypeVar("_Spec", bound=DatasourceSpec)


class CloudBuilder(ABC, Generic[_Spec]):
    """Makes the components of one cloud; what several datasources share is made once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def datasource(
        self, name: str, purpose: Purpose, wanted: _Spec, of: DatasetSpec, opts: pulumi.ResourceOptions
    ) -> CloudDatasource:
        """The datasource component, and all that it stands on.

        Args:
            name: of the datasource, such as `lightly-street-scenes-input`.
            purpose: what Lightly uses it for.
            wanted: what the YAML says of it.
            of: the dataset it belongs to.
            opts: for all components: what they wait for.
        """

    def declared(self, kind: type[_Spec]) -> Iterator[tuple[_Spec, DatasetSpec]]:
        """All datasources of the stack on this cloud, each with its dataset."""
        for dataset in self.settings.datasets.values():
            for cloud in dataset.datasources.values():
                if isinstance(cloud.datasource, kind):
                    yield cloud.datasource, dataset


class Builders:
    """The builders of all clouds, by the cloud's key in the YAML. Only what is used is imported."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._builders: dict[str, CloudBuilder[Any]] = {}

    def of(self, cloud: str) -> CloudBuilder[Any]:
        """The builder of one cloud: `lightly_infra.stack.<cloud>.Builder`."""
        if cloud not in self._builders:
            module = import_module(f"lightly_infra.stack.{cloud}")
            builder: CloudBuilder[Any] = module.Builder(self._settings)
            self._builders[cloud] = builder
        return self._builders[cloud]

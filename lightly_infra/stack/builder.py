"""From the YAML to components: one builder for each cloud, loaded when a stack uses the cloud."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from lightly_infra import epochs, paths
from lightly_infra.leftovers import CannotListError
from lightly_infra.retention import Expiry
from lightly_infra.spec.fields import BucketSpec, DatasourceSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    import pulumi

    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.leftovers import Marked
    from lightly_infra.listing import Listing
    from lightly_infra.permissions import Purpose
    from lightly_infra.retention import Rule
    from lightly_infra.spec import DatasetSpec
    from lightly_infra.stack.previous import Previous
    from lightly_infra.stack.settings import Settings

_Spec = TypeVar("_Spec", bound=DatasourceSpec)
_BucketSpec = TypeVar("_BucketSpec", bound=BucketSpec)
_Bucket = TypeVar("_Bucket")


def resource_name(key: str, dataset: DatasetSpec) -> str:
    """What a dataset's own resources are called, such as `street-scenes`, whatever key it has got since."""
    return paths.slug(dataset.formerly or key)


def datasource_name(key: str, dataset: DatasetSpec, purpose: Purpose) -> str:
    """What a datasource's components are called, such as `lightly-street-scenes-input`."""
    return f"lightly-{resource_name(key, dataset)}-{purpose.lower()}"


def access_name(name: str, datasource: DatasourceSpec) -> str:
    """What the access of the datasource `name` is called: no datasource's own ends like that of a share."""
    share = datasource.share_of_access
    return f"lightly-{share}-shared" if share else name


class CloudBuilder(ABC, Generic[_Spec]):
    """Makes the components of one cloud; what several datasources share is made once."""

    def __init__(self, settings: Settings, today: date, before: Previous | None) -> None:
        self.settings = settings
        self.today = today
        self.before = before

    @abstractmethod
    def datasource(self, name: str, purpose: Purpose, wanted: _Spec, opts: pulumi.ResourceOptions) -> CloudDatasource:
        """The datasource component, and all that it stands on.

        Args:
            name: of the datasource, such as `lightly-street-scenes-input`.
            purpose: what Lightly uses it for.
            wanted: what the YAML says of it.
            opts: for all components: what they wait for.
        """

    @abstractmethod
    async def lifecycle(self, wanted: _Spec) -> Sequence[Rule]:
        """The lifecycle rules in force on a bucket that is there.

        Raises:
            RulesUnreadable: they cannot be read.
        """

    @abstractmethod
    async def listing(self, wanted: _Spec, most: int) -> Listing:
        """The first objects under the prefix, of so many pages at most.

        Raises:
            RulesUnreadable: they cannot be listed.
        """

    async def marked(self) -> Sequence[Marked]:
        """What this package has made where the stack's datasources are, where only the stack's provider can tell.

        Raises:
            CannotListError: it cannot be listed.
        """
        raise CannotListError("it cannot be listed from here")

    def declared(self, kind: type[_Spec]) -> Iterator[_Spec]:
        """All datasources of the stack on this cloud."""
        for dataset in self.settings.datasets.values():
            for cloud in dataset.datasources.values():
                if isinstance(cloud.datasource, kind):
                    yield cloud.datasource


class BucketBuilder(CloudBuilder[_BucketSpec], Generic[_BucketSpec, _Bucket]):
    """Makes the components of a cloud whose data lies in buckets."""

    kind: ClassVar[type[BucketSpec]]
    """The cloud's model of the YAML."""

    def __init__(self, settings: Settings, today: date, before: Previous | None) -> None:
        super().__init__(settings, today, before)
        self._buckets: dict[str, _Bucket] = {}
        declared = self.declared(cast("type[_BucketSpec]", self.kind))
        self._to_create = {it.place: it for it in declared if it.create and it.place}

    def bucket(self, name: str, wanted: _BucketSpec, opts: pulumi.ResourceOptions) -> _Bucket | str:
        """The bucket's component where one is made, else the name of the user's own."""
        if wanted.bucket is not None:
            if wanted.place not in self._to_create:
                return wanted.bucket
            # One datasource of the stack creates it, others may use it.
            wanted = self._to_create[wanted.place]
        # Named after itself, whichever of its datasets comes first or goes: another name is another bucket.
        name = f"{wanted.bucket}-bucket" if wanted.bucket else name
        if name not in self._buckets:
            self._buckets[name] = self.make_bucket(name, wanted, opts)
        return self._buckets[name]

    def expiries(self, wanted: _BucketSpec) -> list[Expiry]:
        """What expires in the bucket that is made for `wanted`: what its Inputs say, whichever dataset is theirs.

        Sorted, so that the order of the datasets in the YAML changes nothing.
        """
        inside = [wanted]
        if wanted.place is not None:
            declared = self.declared(cast("type[_BucketSpec]", self.kind))
            inside = [it for it in declared if it.place == wanted.place]
        return sorted({Expiry(it.prefix, it.retention_days) for it in inside if it.retention_days is not None})

    @abstractmethod
    def make_bucket(self, name: str, wanted: _BucketSpec, opts: pulumi.ResourceOptions) -> _Bucket:
        """The component of a bucket that is made; it stays when it leaves the stack."""


class Builders:
    """The builders of all clouds, by the cloud's key in the YAML. Only what is used is imported."""

    def __init__(self, settings: Settings, before: Previous | None) -> None:
        self._settings = settings
        self._before = before
        self._today = epochs.today()  # read once: no credential of this run is of another epoch than the rest
        self._builders: dict[str, CloudBuilder[Any]] = {}

    def of(self, cloud: str) -> CloudBuilder[Any]:
        """The builder of one cloud: `lightly_infra.stack.<cloud>.Builder`."""
        if cloud not in self._builders:
            module = import_module(f"lightly_infra.stack.{cloud}")
            builder: CloudBuilder[Any] = module.Builder(self._settings, self._today, self._before)
            self._builders[cloud] = builder
        return self._builders[cloud]

"""From the YAML to components on OBS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.clouds import obs
from lightly_infra.spec.obs import ObsSpec
from lightly_infra.stack.builder import CloudBuilder

if TYPE_CHECKING:
    import pulumi

    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.clouds.obs.storage import Bucket
    from lightly_infra.permissions import Purpose
    from lightly_infra.spec import DatasetSpec
    from lightly_infra.stack.settings import Settings


class Builder(CloudBuilder[ObsSpec]):
    """Makes components; buckets that several datasources share are made once."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._buckets: dict[str, Bucket] = {}
        self._to_create = {
            it.bucket: (it, dataset) for it, dataset in self.declared(ObsSpec) if it.create and it.bucket is not None
        }

    def datasource(
        self, name: str, purpose: Purpose, wanted: ObsSpec, of: DatasetSpec, opts: pulumi.ResourceOptions
    ) -> CloudDatasource:
        """The datasource component, and all that it stands on."""
        keys: obs.AccessKeysArgs = {
            "access_key_id": wanted.access_key_id,
            "secret_access_key": wanted.secret_access_key.get_secret_value(),
        }
        if wanted.user is not None:
            keys["user"] = wanted.user
        args: obs.OBSDatasourceArgs = {
            "purpose": purpose,
            "bucket": self._bucket(name, wanted, of, opts),
            "prefix": wanted.prefix,
            "endpoint": wanted.endpoint,
            "access": obs.AccessKeys(name, keys, opts),
        }
        return obs.OBSDatasource(name, args, opts)

    def _bucket(self, name: str, wanted: ObsSpec, of: DatasetSpec, opts: pulumi.ResourceOptions) -> Bucket | str:
        if wanted.bucket is not None:
            if wanted.bucket not in self._to_create:
                return wanted.bucket
            # One datasource of the stack creates it, others may use it.
            wanted, of = self._to_create[wanted.bucket]
        # Named after itself, whichever of its datasets comes first or goes: another name is another bucket.
        name = f"{wanted.bucket}-bucket" if wanted.bucket else name
        if name not in self._buckets:
            args: obs.BucketArgs = {
                "endpoint": wanted.endpoint,
                "region": wanted.made_in or "",  # the spec has seen to it that there is one
                "addressing": wanted.addressing,
                "retain": of.on_destroy == "keep",
            }
            if wanted.bucket:
                args["bucket"] = wanted.bucket
            self._buckets[name] = obs.Bucket(name, args, opts)
        return self._buckets[name]

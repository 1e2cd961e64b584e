"""From the YAML to components on OBS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.clouds import obs
from lightly_infra.spec.obs import ObsSpec
from lightly_infra.stack.builder import BucketBuilder

if TYPE_CHECKING:
    import pulumi

    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.permissions import Purpose
    from lightly_infra.spec import DatasetSpec


class Builder(BucketBuilder[ObsSpec, obs.Bucket]):
    """Makes components; buckets that several datasources share are made once."""

    kind = ObsSpec

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
            "bucket": self.bucket(name, wanted, of, opts),
            "prefix": wanted.prefix,
            "endpoint": wanted.endpoint,
            "access": obs.AccessKeys(name, keys, opts),
        }
        return obs.OBSDatasource(name, args, opts)

    def make_bucket(self, name: str, wanted: ObsSpec, opts: pulumi.ResourceOptions, *, retain: bool) -> obs.Bucket:
        """A bucket as the YAML wants it."""
        args: obs.BucketArgs = {
            "endpoint": wanted.endpoint,
            "region": wanted.region or "",  # the spec has seen to it that there is one
            "addressing": wanted.addressing,
            "retain": retain,
        }
        if wanted.bucket:
            args["bucket"] = wanted.bucket
        return obs.Bucket(name, args, opts)

"""From the YAML to components on OBS."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from lightly_infra.clouds import obs
from lightly_infra.clouds.obs import connection, lifecycle
from lightly_infra.listing import collect
from lightly_infra.retention import RulesUnreadable
from lightly_infra.spec.obs import ObsSpec
from lightly_infra.stack.builder import BucketBuilder
from lightly_infra.stack.transitions import is_granted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.listing import Listing
    from lightly_infra.permissions import Purpose
    from lightly_infra.retention import Rule


class Builder(BucketBuilder[ObsSpec, obs.Bucket]):
    """Makes components; buckets that several datasources share are made once."""

    kind = ObsSpec

    def datasource(self, name: str, purpose: Purpose, wanted: ObsSpec, opts: pulumi.ResourceOptions) -> CloudDatasource:
        """The datasource component, and all that it stands on."""
        keys: obs.AccessKeysArgs = {
            "access_key_id": wanted.access_key_id,
            "secret_access_key": wanted.secret_access_key.get_secret_value(),
        }
        if wanted.user is not None:
            keys["user"] = wanted.user
        bucket = self.bucket(name, wanted, opts)
        args: obs.OBSDatasourceArgs = {
            "purpose": purpose,
            "bucket": bucket,
            "prefix": wanted.prefix,
            "endpoint": wanted.endpoint,
            "access": obs.AccessKeys(name, keys, opts),
        }
        if isinstance(bucket, str) and is_granted(self.before, name, wanted):
            region = wanted.region or ""  # transitions has seen to it that there is one
            args["granted_by"] = {"endpoint": wanted.endpoint, "region": region, "addressing": wanted.addressing}
        return obs.OBSDatasource(name, args, opts)

    async def lifecycle(self, wanted: ObsSpec) -> Sequence[Rule]:
        """Read with the keys of whoever deploys."""
        return await asyncio.to_thread(lifecycle.read, str(wanted.bucket), _server(wanted), self._acting())

    async def listing(self, wanted: ObsSpec, most: int) -> Listing:
        """Listed with the keys of whoever deploys."""
        pages = lifecycle.pages(str(wanted.bucket), wanted.prefix, _server(wanted), self._acting())
        return await asyncio.to_thread(collect, pages, most)

    def _acting(self) -> connection.Settings:
        return connection.Settings.read(os.environ, self.settings.config.get)

    def make_bucket(self, name: str, wanted: ObsSpec, opts: pulumi.ResourceOptions) -> obs.Bucket:
        """A bucket as the YAML wants it."""
        args: obs.BucketArgs = {
            "endpoint": wanted.endpoint,
            "region": wanted.region or "",  # the spec has seen to it that there is one
            "addressing": wanted.addressing,
            "expiries": self.expiries(wanted),
        }
        if wanted.bucket:
            args["bucket"] = wanted.bucket
        return obs.Bucket(name, args, opts)


def _server(wanted: ObsSpec) -> connection.Server:
    if wanted.region is None:
        raise RulesUnreadable("region is missing: name the bucket's, or set obs:region for the stack")
    return connection.Server(wanted.endpoint, wanted.region, wanted.addressing)

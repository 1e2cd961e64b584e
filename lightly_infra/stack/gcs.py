"""From the YAML to components on Google Cloud Storage."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lightly_infra.clouds import gcp
from lightly_infra.clouds.gcp import leftovers, lifecycle
from lightly_infra.spec.gcs import GcsSpec
from lightly_infra.stack.builder import BucketBuilder, access_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pulumi

    from lightly_infra.clouds.gcp.access import Access
    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.leftovers import Marked
    from lightly_infra.listing import Listing
    from lightly_infra.permissions import Purpose
    from lightly_infra.retention import Rule
    from lightly_infra.stack.previous import Previous
    from lightly_infra.stack.settings import Settings


class Builder(BucketBuilder[GcsSpec, gcp.Bucket]):
    """Makes components; buckets and service accounts that several datasources share are made once."""

    kind = GcsSpec

    def __init__(self, settings: Settings, today: date, before: Previous | None) -> None:
        super().__init__(settings, today, before)
        self._accesses: dict[str, Access] = {}

    def datasource(self, name: str, purpose: Purpose, wanted: GcsSpec, opts: pulumi.ResourceOptions) -> CloudDatasource:
        """The datasource component, and all that it stands on."""
        args: gcp.GCSDatasourceArgs = {
            "purpose": purpose,
            "bucket": self.bucket(name, wanted, opts),
            "prefix": wanted.prefix,
            "project": wanted.project,
            "access": self._access(name, wanted, opts),
            "bucket_wide_listing": wanted.bucket_wide_listing,
        }
        return gcp.GCSDatasource(name, args, opts)

    async def lifecycle(self, wanted: GcsSpec) -> Sequence[Rule]:
        """Read by the stack's provider."""
        return await lifecycle.read(str(wanted.bucket), wanted.project)

    async def listing(self, wanted: GcsSpec, most: int) -> Listing:
        """Listed as whoever the stack's provider acts as."""
        return await lifecycle.objects(str(wanted.bucket), wanted.prefix, most)

    async def marked(self) -> Sequence[Marked]:
        """Of every project that the stack uses, as whoever its provider acts as."""
        projects = sorted({it.project for it in self.declared(GcsSpec)})
        return [found for each in await asyncio.gather(*map(leftovers.marked, projects)) for found in each]

    def make_bucket(self, name: str, wanted: GcsSpec, opts: pulumi.ResourceOptions) -> gcp.Bucket:
        """A bucket as the YAML wants it."""
        args: gcp.BucketArgs = {
            "location": wanted.location or "",  # never empty where a bucket is made: the spec sees to it
            "project": wanted.project,
            "versioning": wanted.versioning,
            "expiries": self.expiries(wanted),
            "labels": wanted.labels,
        }
        if wanted.bucket:
            args["bucket"] = wanted.bucket
        if wanted.kms_key:
            args["kms_key"] = wanted.kms_key
        return gcp.Bucket(name, args, opts)

    def _access(self, name: str, wanted: GcsSpec, opts: pulumi.ResourceOptions) -> Access:
        access = wanted.access
        name = access_name(name, wanted)
        if name in self._accesses:
            return self._accesses[name]
        if access.credentials:
            brought: gcp.BroughtCredentialsArgs = {"credentials": access.credentials.get_secret_value()}
            self._accesses[name] = gcp.BroughtCredentials(name, brought, opts)
        else:
            args: gcp.ServiceAccountArgs = {"project": wanted.project}
            if access.service_account:
                args["email"] = access.service_account
            if access.rotate_every_days:
                args["rotate_every_days"] = access.rotate_every_days
                args["rotation"], args["on"] = self.settings.rotation, self.today
            self._accesses[name] = gcp.ServiceAccount(name, args, opts)
        return self._accesses[name]

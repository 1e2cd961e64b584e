"""From the YAML to components on Amazon S3."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lightly_infra.clouds import aws
from lightly_infra.clouds.aws import connection, lifecycle
from lightly_infra.listing import collect
from lightly_infra.retention import RulesUnreadable
from lightly_infra.spec.s3 import S3Spec
from lightly_infra.stack.builder import BucketBuilder, access_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pulumi

    from lightly_infra.clouds.aws.access import Access
    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.listing import Listing
    from lightly_infra.permissions import Purpose
    from lightly_infra.retention import Rule
    from lightly_infra.stack.previous import Previous
    from lightly_infra.stack.settings import Settings


class Builder(BucketBuilder[S3Spec, aws.Bucket]):
    """Makes components; buckets and identities that several datasources share are made once."""

    kind = S3Spec

    def __init__(self, settings: Settings, today: date, before: Previous | None) -> None:
        super().__init__(settings, today, before)
        self._accesses: dict[str, Access] = {}

    def datasource(self, name: str, purpose: Purpose, wanted: S3Spec, opts: pulumi.ResourceOptions) -> CloudDatasource:
        """The datasource component, and all that it stands on."""
        args: aws.S3DatasourceArgs = {
            "purpose": purpose,
            "bucket": self.bucket(name, wanted, opts),
            "prefix": wanted.prefix,
            "region": wanted.region,
            "access": self._access(name, wanted, opts),
            "allowed_source_ips": wanted.allowed_source_ips,
        }
        if wanted.kms_key_arn:
            args["kms_key_arn"] = wanted.kms_key_arn
        return aws.S3Datasource(name, args, opts)

    async def lifecycle(self, wanted: S3Spec) -> Sequence[Rule]:
        """Read as whoever the stack's provider acts as."""
        return await asyncio.to_thread(lifecycle.read, str(wanted.bucket), wanted.region, self._acting())

    async def listing(self, wanted: S3Spec, most: int) -> Listing:
        """Listed as whoever the stack's provider acts as."""
        pages = lifecycle.pages(str(wanted.bucket), wanted.region, wanted.prefix, self._acting())
        return await asyncio.to_thread(collect, pages, most)

    def _acting(self) -> connection.Settings:
        try:
            return connection.Settings.read(self.settings.config)
        except ValueError as error:
            raise RulesUnreadable(str(error)) from None

    def make_bucket(self, name: str, wanted: S3Spec, opts: pulumi.ResourceOptions) -> aws.Bucket:
        """A bucket as the YAML wants it."""
        args: aws.BucketArgs = {
            "region": wanted.region,
            "versioning": wanted.versioning,
            "expiries": self.expiries(wanted),
            "tags": wanted.tags,
        }
        if wanted.bucket:
            args["bucket"] = wanted.bucket
        if wanted.kms_key_arn:
            args["kms_key_arn"] = wanted.kms_key_arn
        if logs := wanted.access_logs:
            args["access_logs"] = {"bucket": logs.bucket, "prefix": logs.prefix}
        return aws.Bucket(name, args, opts)

    def _access(self, name: str, wanted: S3Spec, opts: pulumi.ResourceOptions) -> Access:
        access = wanted.access
        name = access_name(name, wanted)
        if name in self._accesses:
            return self._accesses[name]
        make = self._keys if access.kind == "keys" else self._role
        self._accesses[name] = make(name, wanted, opts)
        return self._accesses[name]

    def _keys(self, name: str, wanted: S3Spec, opts: pulumi.ResourceOptions) -> Access:
        access = wanted.access
        if access.access_key_id and access.secret_access_key:  # the spec sees to it that both are there
            return aws.BroughtKeys(
                name,
                {
                    "access_key_id": access.access_key_id,
                    "secret_access_key": access.secret_access_key.get_secret_value(),
                },
                opts,
            )
        args: aws.AccessKeysArgs = {"tags": wanted.tags}
        if access.user:
            args["user"] = access.user
        if access.rotate_every_days:
            args["rotate_every_days"] = access.rotate_every_days
            args["rotation"], args["on"] = self.settings.rotation, self.today
        if access.permissions_boundary:
            args["permissions_boundary"] = access.permissions_boundary
        return aws.AccessKeys(name, args, opts)

    def _role(self, name: str, wanted: S3Spec, opts: pulumi.ResourceOptions) -> Access:
        access = wanted.access
        args: aws.DelegatedAccessArgs = {
            "lightly_account_id": self.settings.lightly_account_id,
            "rotation": self.settings.external_id_rotation,
            "tags": wanted.tags,
        }
        if access.permissions_boundary:
            args["permissions_boundary"] = access.permissions_boundary
        if access.role_arn:
            args["role_arn"] = access.role_arn
        if access.external_id:
            args["external_id"] = access.external_id.get_secret_value()
        if access.previous_external_id:
            args["previous_external_id"] = access.previous_external_id.get_secret_value()
        return aws.DelegatedAccess(name, args, opts)

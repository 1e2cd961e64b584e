"""From the YAML to components on Google Cloud Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.clouds import gcp
from lightly_infra.spec.gcs import GcsSpec
from lightly_infra.stack.builder import CloudBuilder

if TYPE_CHECKING:
    import pulumi

    from lightly_infra.clouds.gcp.access import Access
    from lightly_infra.clouds.gcp.storage import Bucket
    from lightly_infra.clouds.interface import CloudDatasource
    from lightly_infra.permissions import Purpose
    from lightly_infra.spec import DatasetSpec
    from lightly_infra.stack.settings import Settings


class Builder(CloudBuilder[GcsSpec]):
    """Makes components; buckets and service accounts that several datasources share are made once."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._accesses: dict[str, Access] = {}
        self._buckets: dict[str, Bucket] = {}
        self._to_create = {
            it.bucket: (it, dataset) for it, dataset in self.declared(GcsSpec) if it.create and it.bucket is not None
        }

    def datasource(
        self, name: str, purpose: Purpose, wanted: GcsSpec, of: DatasetSpec, opts: pulumi.ResourceOptions
    ) -> CloudDatasource:
        """The datasource component, and all that it stands on."""
        args: gcp.GCSDatasourceArgs = {
            "purpose": purpose,
            "bucket": self._bucket(name, wanted, of, opts),
            "prefix": wanted.prefix,
            "project": wanted.project,
            "access": self._access(name, wanted, opts),
            "bucket_wide_listing": wanted.bucket_wide_listing,
        }
        return gcp.GCSDatasource(name, args, opts)

    def _bucket(self, name: str, wanted: GcsSpec, of: DatasetSpec, opts: pulumi.ResourceOptions) -> Bucket | str:
        if wanted.bucket is not None:
            if wanted.bucket not in self._to_create:
                return wanted.bucket
            # One datasource of the stack creates it, others may use it.
            wanted, of = self._to_create[wanted.bucket]
        # Named after itself, whichever of its datasets comes first or goes: another name is another bucket.
        name = f"{wanted.bucket}-bucket" if wanted.bucket else name
        if name not in self._buckets:
            args: gcp.BucketArgs = {
                "location": wanted.location or "",  # never empty where a bucket is made: the spec sees to it
                "project": wanted.project,
                "versioning": wanted.versioning,
                "retain": of.on_destroy == "keep",
                "labels": {"managed-by": "lightly-infra", **wanted.labels},
            }
            if wanted.bucket:
                args["bucket"] = wanted.bucket
            if wanted.kms_key:
                args["kms_key"] = wanted.kms_key
            self._buckets[name] = gcp.Bucket(name, args, opts)
        return self._buckets[name]

    def _access(self, name: str, wanted: GcsSpec, opts: pulumi.ResourceOptions) -> Access:
        access = wanted.access
        # No datasource's own access is called so: those end in their purpose.
        name = f"lightly-{access.share}-shared" if access.share else name
        if name in self._accesses:
            return self._accesses[name]
        if access.credentials:
            brought: gcp.BroughtCredentialsArgs = {"credentials": access.credentials.get_secret_value()}
            self._accesses[name] = gcp.BroughtCredentials(name, brought, opts)
        else:
            args: gcp.ServiceAccountArgs = {"project": wanted.project}
            if access.service_account:
                args["email"] = access.service_account
            self._accesses[name] = gcp.ServiceAccount(name, args, opts)
        return self._accesses[name]

"""The GCS datasource: a prefix of a bucket, and an access that is granted just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

import pulumi
import pulumi_gcp as gcp
import pulumi_random as random

from lightly_infra import paths, retention
from lightly_infra.clouds.gcp import policy, roles
from lightly_infra.clouds.gcp.failures import FAILURES
from lightly_infra.clouds.gcp.storage import Bucket
from lightly_infra.clouds.interface import CloudDatasource
from lightly_infra.located import located

if TYPE_CHECKING:
    from lightly_infra.clouds.gcp.access import Access
    from lightly_infra.permissions import Purpose

GRANT_SETTLES = 600.0
"""Seconds that a grant may take: "typically 2 minutes, potentially 7 minutes or longer" (IAM, "Access change
propagation")."""

_MAX_ROLE_TITLE = 100  # bytes ("Quotas and limits" of IAM)


class GCSDatasourceArgs(TypedDict):
    """Where the data is, and how Lightly gets in."""

    purpose: Purpose
    """Decides what Lightly may do: see `lightly_infra.permissions`."""

    bucket: Bucket | pulumi.Input[str]
    """The name of a bucket of yours, which is not changed but for who may use it, or one made with `Bucket`. For a
    prefix it needs uniform bucket-level access."""

    prefix: str
    """The directory in the bucket, such as `street-scenes/`; empty for the whole bucket."""

    project: pulumi.Input[str]
    """The id of the project that the bucket lies in; the custom role is made in it."""

    access: Access
    """How Lightly gets in. It is granted the prefix."""

    bucket_wide_listing: NotRequired[bool]
    """Let Lightly list the names of all objects in the bucket, as in Lightly's own docs. Default: no, those under the
    prefix only; who lists without a prefix is refused then, also when a client looks for objects that are not there."""


class GCSDatasource(CloudDatasource):
    """Grants an access the operations of a purpose under one prefix of one bucket.

    It adds one member with one condition to the bucket's IAM policy and leaves all others as they are. Nothing else is
    written on a bucket of the user's own.
    """

    failures = FAILURES

    def __init__(self, name: str, args: GCSDatasourceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("gcp:GCSDatasource", name, opts)
        bucket, access, self.purpose = args["bucket"], args["access"], args["purpose"]
        prefix = policy.normalise_prefix(args["prefix"])
        bucket_wide_listing = args.get("bucket_wide_listing", False)
        owned = bucket if isinstance(bucket, Bucket) else None
        if isinstance(project := args["project"], str):  # what is known is refused here, and not later in a task
            policy.check_project(project)
        if isinstance(bucket, Bucket):
            with located(name):
                retention.check_kept(bucket.expiries, self.purpose, prefix)
            bucket_name = bucket.bucket
        else:
            if isinstance(bucket, str):
                policy.check_bucket(bucket)
            bucket_name = pulumi.Output.from_input(bucket).apply(policy.check_bucket)

        self.granted = bucket_name.apply(
            lambda it: policy.to_json(
                policy.grant(purpose=self.purpose, bucket=it, prefix=prefix, bucket_wide_listing=bucket_wide_listing)
            )
        )
        if access.member is not None:
            self.settles = GRANT_SETTLES
            gcp.storage.BucketIAMMember(
                name,
                bucket=bucket_name,
                role=self._role(name, project),
                member=access.member,
                condition={
                    "title": policy.CONDITION_TITLE,
                    "description": policy.CONDITION_DESCRIPTION,
                    "expression": bucket_name.apply(
                        lambda it: policy.expression(it, prefix, bucket_wide_listing=bucket_wide_listing)
                    ),
                }
                if prefix
                else None,
                opts=self.child(depends_on=[owned] if owned else []),
            )
        if owned and prefix:
            # Lightly wants the directory to exist; it may be empty.
            gcp.storage.BucketObject(
                name,
                bucket=bucket_name,
                name=prefix,
                content=" ",  # the provider takes no empty object
                content_type="application/x-directory",
                opts=self.child(depends_on=[owned], deleted_with=owned.resource),
            )

        self.path = bucket_name.apply(lambda it: paths.resource_path("gs", it, prefix))
        self.config = {**access.config, "full_path": self.path, "gcs_project_id": project}
        self.identity, self.secrets, self.credential = access.identity, access.secrets, access.credential
        self.verifiable = True
        self.register_outputs({"path": self.path, **self.identity})

    def _role(self, name: str, project: pulumi.Input[str]) -> pulumi.Output[str]:
        """A custom role of this datasource alone: no other's purpose changes what it may do.

        IAM also takes 20 conditions only for the same role and member on a bucket, and 300 roles in a project.
        """
        # The id of a deleted role stays reserved for 37 days, in its project: a suffix that is drawn once keeps
        # `destroy` and the next `up` apart, and another project is another draw, so that there is a way back.
        suffix = random.RandomString(
            name,
            length=policy.SUFFIX_CHARACTERS,
            special=False,
            upper=False,
            keepers={"project": project},
            opts=self.child(),
        )
        role = gcp.projects.IAMCustomRole(
            name,
            role_id=suffix.result.apply(lambda it: policy.role_id(name, it)),
            title=f"Lightly {self.purpose}: {name}".encode()[:_MAX_ROLE_TITLE].decode(errors="ignore"),
            description=self.owner.describe("What Lightly may do in one directory of one bucket."),
            permissions=policy.permissions(self.purpose),
            project=project,
            opts=self.child(),
        )
        return pulumi.Output.all(role.name, role.deleted).apply(lambda known: _granting(*known))


def _granting(role: str, deleted: bool | None) -> str:  # noqa: FBT001 - as the provider tells it
    """The role, unless somebody has deleted it: Google and its provider keep it, and it grants nothing."""
    if deleted:
        raise pulumi.RunError(roles.how_to_undelete(role))
    return role

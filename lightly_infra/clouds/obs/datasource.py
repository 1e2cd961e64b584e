"""The OBS datasource: a prefix of a bucket, and an access that is granted just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict
from urllib.parse import urlsplit

import pulumi

from lightly_infra import paths, retention
from lightly_infra.clouds.interface import CloudDatasource
from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.resources.grant import Grant
from lightly_infra.clouds.obs.resources.marker import Marker
from lightly_infra.clouds.obs.storage import Bucket
from lightly_infra.located import located

if TYPE_CHECKING:
    from lightly_infra.clouds.obs.access import AccessKeys
    from lightly_infra.clouds.obs.resources.session import ServerArgs
    from lightly_infra.permissions import Purpose

POLICY_SETTLES = 330.0
"""Seconds until a bucket's policy works: "about 5 minutes" (OBS permission guide of Huawei and OTC)."""


class OBSDatasourceArgs(TypedDict):
    """Where the data is, and how Lightly gets in."""

    purpose: Purpose
    """Decides what Lightly may do: see `lightly_infra.permissions`."""

    bucket: Bucket | pulumi.Input[str]
    """The name of a bucket of yours, which is not changed, or one made with `Bucket`."""

    prefix: str
    """The directory in the bucket, such as `street-scenes/`; empty for the whole bucket."""

    endpoint: str
    """The endpoint that Lightly is told, such as `https://obs.eu-de.otc.t-systems.com`."""

    access: AccessKeys
    """How Lightly gets in. On a `Bucket`, its user is granted the prefix."""

    granted_by: NotRequired[ServerArgs]
    """Of a bucket that was made here and has left the program: how it is reached. Its policy goes on to grant the user
    the prefix. Default: the user of a bucket that is given by its name has its permissions already."""


class OBSDatasource(CloudDatasource):
    """Grants a user the operations of a purpose under one prefix of one bucket.

    On a bucket of the user's own it writes nothing, a policy neither: that is one document per bucket, which is theirs.
    There the user must have the permissions already (`granted` says which), but for `granted_by`.
    """

    def __init__(self, name: str, args: OBSDatasourceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("obs:OBSDatasource", name, opts)
        bucket, access, self.purpose = args["bucket"], args["access"], args["purpose"]
        prefix = paths.normalise_prefix(args["prefix"])
        owned = bucket if isinstance(bucket, Bucket) else None
        if isinstance(bucket, Bucket):
            with located(name):
                retention.check_kept(bucket.expiries, self.purpose, prefix)
            bucket_name = bucket.bucket
        else:
            if isinstance(bucket, str):  # what is known is refused here, and not later in a task
                policy.check_bucket(bucket)
            bucket_name = pulumi.Output.from_input(bucket).apply(policy.check_bucket)
        policy.check_endpoint(args["endpoint"], bucket=bucket if isinstance(bucket, str) else None)

        if urlsplit(args["endpoint"]).scheme == "http":
            pulumi.log.warn(
                f"{name}: endpoint: data and signatures travel in clear to {args['endpoint']!r}: write https:// if "
                "the cloud answers there",
                resource=self,
            )

        sid = policy.sid_of(name, access.user)
        self.granted = bucket_name.apply(
            lambda it: policy.to_json(
                policy.grant(purpose=self.purpose, bucket=it, prefix=prefix, user=access.user, sid=sid)
            )
        )
        server = owned.server if owned else args.get("granted_by")
        if server is not None:
            self.settles = POLICY_SETTLES
            if access.user is None:
                raise ValueError(
                    f"{name}: the access needs its 'user': the policy of a bucket that is made here names whom it "
                    "lets in"
                )
            Grant(
                name,
                {**server, "bucket": bucket_name, "statements": self.granted},
                self.child(depends_on=[owned] if owned else []),
            )
        if owned and prefix:
            # Lightly wants the directory to exist; it may be empty.
            Marker(
                name,
                {**owned.server, "bucket": bucket_name, "key": prefix},
                self.child(depends_on=[owned], deleted_with=owned.resource),
            )

        self.path = bucket_name.apply(lambda it: paths.resource_path("obs", it, prefix))
        self.config = {**access.config, "full_path": self.path, "obs_endpoint": args["endpoint"]}
        self.identity, self.secrets, self.credential = access.identity, access.secrets, access.credential
        self.verifiable = True
        self.register_outputs({"path": self.path, **self.identity})

"""Buckets on OBS that we create. A bucket of the user's own is never touched here: see `datasource`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired

from lightly_infra import retention
from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.resources.bucket import Bucket as BucketResource
from lightly_infra.clouds.obs.resources.bucket import BucketResourceArgs
from lightly_infra.clouds.obs.resources.session import ServerArgs
from lightly_infra.component import Component
from lightly_infra.located import located

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi


class BucketArgs(ServerArgs):
    """A bucket for Lightly: where, and what it is called."""

    bucket: NotRequired[pulumi.Input[str]]
    """The bucket's name. Default: the component's name and a random suffix."""

    expiries: NotRequired[Sequence[retention.Expiry]]
    """What shall be deleted, and at which age: 30 days or more. Default: nothing. Nothing may expire where Lightly
    writes. Unfinished uploads are then aborted there only (`policy.lifecycle`)."""


class Bucket(Component):
    """A private bucket that aborts uploads which nobody finished within seven days.

    Nothing in it expires but what `expiries` say: what Lightly writes must stay. It stays when it leaves the
    program. Encryption and access over TLS only are the cloud's and the endpoint's: not every OBS has
    settings for them.
    """

    bucket: pulumi.Output[str]
    """The bucket's name."""

    resource: BucketResource
    """The bucket itself, for what shall go with it."""

    server: ServerArgs
    """How it is reached."""

    expiries: Sequence[retention.Expiry]
    """What expires in it."""

    def __init__(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("obs:Bucket", name, opts)
        wanted: BucketResourceArgs = {
            "endpoint": args["endpoint"],
            "region": args["region"],
            "addressing": args.get("addressing", "path"),
        }
        self.server = wanted.copy()
        if "bucket" in args:
            wanted["bucket"] = args["bucket"]
        with located(f"{name}: expiries"):
            self.expiries = retention.check_expiries(args.get("expiries", ()))
            wanted["lifecycle"] = policy.to_json(policy.lifecycle(self.expiries))
        wanted["tags"] = self.owner.tags
        # Set as it is made; later they would replace what somebody else has added.
        options = self.child(retain_on_delete=True, ignore_changes=["tags"])
        self.resource = BucketResource(name, wanted, options)
        self.bucket = self.resource.bucket
        self.register_outputs({"bucket": self.bucket})

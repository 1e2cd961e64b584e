"""GCS buckets that we create. A bucket of the user's own is never touched here: see `datasource`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pulumi
import pulumi_gcp as gcp

from lightly_infra import retention
from lightly_infra.clouds.gcp import policy
from lightly_infra.clouds.gcp.failures import FAILURES
from lightly_infra.component import Component, marked
from lightly_infra.located import located

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class BucketArgs(TypedDict):
    """A bucket for Lightly. Only `location` is needed; the defaults are the safe ones."""

    location: str
    """Where the data lies: a region such as `europe-west3`, or `EU`, `US`, `ASIA`. It can't change later."""

    bucket: NotRequired[pulumi.Input[str]]
    """The bucket's name. Default: the component's name and a random suffix."""

    project: NotRequired[pulumi.Input[str]]
    """The id of the project. Default: the provider's."""

    kms_key: NotRequired[pulumi.Input[str]]
    """Encrypt with this KMS key in the bucket's location, `projects/…/cryptoKeys/…`; the project's GCS service agent is
    granted its use. Default: keys that Google manages."""

    versioning: NotRequired[bool]
    """Keep old versions of objects. Default: no. Without a rule that ends them they cost storage for ever, and a bucket
    that has some is not empty."""

    expiries: NotRequired[Sequence[retention.Expiry]]
    """What shall be deleted, and at which age: 30 days or more. Default: nothing. Nothing may expire where Lightly
    writes. With `versioning` it stays as an old version."""

    labels: NotRequired[pulumi.Input[Mapping[str, pulumi.Input[str]]]]
    """More labels of the bucket than those that say who made it (`lightly_infra.ownership`)."""


class Bucket(Component):
    """A private GCS bucket: no public access, and no permissions of single objects, only IAM's on the bucket.

    Nothing in it expires but what `expiries` say: what Lightly writes must stay. What is deleted can be restored for as
    long as GCS's own default says (soft delete). The bucket stays when it leaves the program.
    """

    failures = FAILURES
    identified_by = "name"

    bucket: pulumi.Output[str]
    """The bucket's name."""

    resource: gcp.storage.Bucket
    """The bucket itself, for what shall go with it."""

    expiries: Sequence[retention.Expiry]
    """What expires in it."""

    def __init__(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("gcp:Bucket", name, opts)
        with located(f"{name}: expiries"):
            self.expiries = retention.check_expiries(args.get("expiries", ()))
            rules: list[Any] = policy.lifecycle(self.expiries)  # the policy knows no types of Pulumi's
        given = args.get("bucket")
        if given is None:
            # What Pulumi makes of the component's name, for which GCS has rules, too.
            policy.check_bucket(f"{name.lower()}-0000000")
        elif isinstance(given, str):
            policy.check_bucket(given)
        location, kms_key = policy.normalise_location(args["location"]), args.get("kms_key")
        if isinstance(kms_key, str):
            policy.check_kms_location(policy.check_kms_key(kms_key), location)
        self.resource = gcp.storage.Bucket(
            name,
            name=given,
            location=location,
            project=args.get("project"),
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            # Always said: the provider takes a block that is left out for "as it is", and would never turn it off.
            versioning={"enabled": args.get("versioning", False)},
            encryption={"default_kms_key_name": kms_key} if kms_key is not None else None,
            lifecycle_rules=rules,
            labels=marked(self.owner.labels, args.get("labels")),
            opts=self.child(
                retain_on_delete=True,
                # GCS looks whether it may use the key when the bucket is made.
                depends_on=[self._grant_key(name, kms_key, args.get("project"))] if kms_key is not None else [],
            ),
        )
        self.bucket = self.resource.name
        self.register_outputs({"bucket": self.bucket})

    def _grant_key(
        self, name: str, kms_key: pulumi.Input[str], project: pulumi.Input[str] | None
    ) -> gcp.kms.CryptoKeyIAMMember:
        # Asking for the agent also makes it, should the project have none yet.
        agent = gcp.storage.get_project_service_account_output(
            project=project, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        return gcp.kms.CryptoKeyIAMMember(
            name,
            crypto_key_id=kms_key,
            role=policy.KMS_ROLE,
            member=agent.email_address.apply("serviceAccount:{}".format),
            # There is one such grant for all buckets of the project: taken away with one of them, none could be read.
            opts=self.child(retain_on_delete=True),
        )

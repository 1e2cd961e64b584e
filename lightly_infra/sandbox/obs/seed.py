"""Plays the user's part in the emulated OBS: what a stack takes as given must be there before it runs."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from lightly_infra import ownership
from lightly_infra.clouds.obs import policy
from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.aws.seed import make_bucket, put_images
from lightly_infra.sandbox.cloud import CannotSeed
from lightly_infra.sandbox.obs.ministack import ACCOUNT, REGION, User
from lightly_infra.sandbox.seed import ELSEWHERE
from lightly_infra.spec.obs import ObsSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightly_infra.sandbox.cloud import Source
    from lightly_infra.sandbox.obs.ministack import ObsServer

# ministack takes these for administrators, whose signatures it does not even check.
_ADMINISTRATORS = re.compile(r"test|[0-9]{12}")


def prepare(obs: ObsServer, given: Sequence[Source]) -> None:
    """Makes the users with their keys, and the buckets with images and policies, that datasources take as given.

    Raises:
        CannotSeed: a key is called like one of the emulator's own, or two clouds have something of the same name.
    """
    sources = [(it, it.spec) for it in given if isinstance(it.spec, ObsSpec)]
    _check_one_cloud(sources)
    created = {spec.bucket for _, spec in sources if spec.create}
    obs.brought -= created
    # Where one datasource says whose a key is, the others need not.
    users = {spec.access_key_id: spec.user for _, spec in sources if spec.user is not None}
    make_bucket(obs.buckets(), ELSEWHERE, REGION)
    statements: defaultdict[tuple[str, str], list[policy.Statement]] = defaultdict(list)
    for it, spec in sources:
        if _ADMINISTRATORS.fullmatch(spec.access_key_id):
            raise CannotSeed(
                f"{it.where}.access_key_id: {spec.access_key_id!r} is an administrator of the emulated OBS; write "
                "another one, such as OBSEXAMPLE"
            )
        user = users.get(spec.access_key_id, f"arn:aws:iam::{ACCOUNT}:user/{spec.access_key_id}")
        secret = spec.secret_access_key.get_secret_value()
        obs.let_in(User(user, Credentials(spec.access_key_id, secret)))
        if spec.bucket is None or spec.bucket in created:
            continue
        region = spec.region or REGION
        if spec.bucket not in obs.brought:
            if _is_made(obs, spec.bucket, region):  # its policy is what the stack has written
                continue
            obs.brought.add(spec.bucket)
        put_images(obs.buckets(region), spec.bucket, region, spec.prefix, it.files)
        known = statements[spec.bucket, region]
        known += policy.grant(
            purpose=it.purpose,
            bucket=spec.bucket,
            prefix=spec.prefix,
            user=user,
            sid=policy.sid_of(f"{it.where}-{len(known)}"),
        )
    for (bucket, region), known in statements.items():
        document = policy.to_json(policy.document(known))
        obs.buckets(region).put_bucket_policy(Bucket=bucket, Policy=document)


def _is_made(obs: ObsServer, bucket: str, region: str) -> bool:
    """Whether a stack has made the bucket: its tags say so."""
    try:
        tags = obs.buckets(region).get_bucket_tagging(Bucket=bucket)["TagSet"]
    except ClientError:  # there is no such bucket, or it has no tags
        return False
    return any(it["Key"] == ownership.STACK_TAG for it in tags)


def _check_one_cloud(sources: Sequence[tuple[Source, ObsSpec]]) -> None:
    """Refuses what only real clouds tell apart: here is one OBS for all of them."""
    clouds: dict[tuple[str, str], str] = {}
    for it, spec in sources:
        cloud = policy.cloud_of(spec.endpoint)
        for field, name in (("bucket", spec.bucket), ("access_key_id", spec.access_key_id)):
            if name and (other := clouds.setdefault((field, name), cloud)) != cloud:
                raise CannotSeed(
                    f"{it.where}.{field}: {name!r} stands for one at {other} too, and the sandbox has one OBS for all "
                    "clouds; give it another name here"
                )

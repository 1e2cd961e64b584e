"""What the datasets of one stack must agree on: a part of `spec`, which checks each for itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from lightly_infra import paths
from lightly_infra.clouds.aws import policy
from lightly_infra.lightly import models
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from lightly_infra.spec import AccessSpec, DatasetSpec, S3Spec


def check(datasets: Mapping[str, DatasetSpec]) -> None:
    """Checks the datasets of a stack, by their keys in the YAML, against each other.

    Raises:
        ValueError: two of them do not go together; the message names both, and no secret.
    """
    _names_differ(datasets)
    datasources = [
        _Datasource(key, purpose, cloud.s3, spec.on_destroy)
        for key, spec in datasets.items()
        for purpose, cloud in ((Purpose.INPUT, spec.input), (Purpose.LIGHTLY, spec.lightly))
    ]
    _accesses_agree(datasources)
    _buckets_agree(datasources)
    _logs_go_elsewhere(datasources)
    _lightly_prefixes_lie_apart(datasources)
    _policies_fit_into_iam(datasources)


@dataclass(frozen=True)
class _Datasource:
    dataset: str
    purpose: Purpose
    s3: S3Spec
    on_destroy: str

    @property
    def where(self) -> str:
        """Its path in the YAML."""
        return f"{self.dataset}.{self.purpose.lower()}.s3"

    def policy_characters(self) -> int:
        """How long its policy is at most: a generated bucket name counts as the longest possible."""
        bucket = self.s3.bucket or "x" * paths.MAX_BUCKET_CHARACTERS
        document = policy.access_policy(
            purpose=self.purpose,
            bucket_arn=f"arn:{policy.partition(self.s3.region)}:s3:::{bucket}",
            prefix=self.s3.prefix,
            kms_key_arn=self.s3.kms_key_arn,
            allowed_source_ips=self.s3.allowed_source_ips,
        )
        return len(policy.to_json(document))


def _names_differ(datasets: Mapping[str, DatasetSpec]) -> None:
    by_slug: dict[str, str] = {}
    by_name: dict[str, str] = {}
    by_id: dict[str, str] = {}
    for key, spec in datasets.items():
        if not paths.slug(key):
            raise ValueError(f"{key!r}: a dataset's key needs a letter or a digit")
        if spec.name is None and spec.id is None:
            models.check_dataset_name(key)
        if (other := by_slug.setdefault(paths.slug(key), key)) != key:
            raise ValueError(f"{key!r} and {other!r} would name cloud resources alike; change one")
        name = spec.name or (key if spec.id is None else None)
        if name is not None and (other := by_name.setdefault(name, key)) != key:
            raise ValueError(f"{key!r} and {other!r} are both called {name!r} at Lightly; change one name")
        if spec.id is not None and (other := by_id.setdefault(spec.id, key)) != key:
            raise ValueError(f"{key!r} and {other!r} are both dataset {spec.id}; remove one")


def _accesses_agree(datasources: Sequence[_Datasource]) -> None:
    shares: dict[str, tuple[str, AccessSpec]] = {}
    roles: dict[str, tuple[str, SecretStr | None]] = {}
    for it in datasources:
        access = it.s3.access
        if access.share is not None:
            first, other = shares.setdefault(access.share, (it.where, access))
            if other != access:
                raise ValueError(f"{it.where}.access: share {access.share!r} is another one in {first}.access")
        if access.role_arn is not None:
            first, external_id = roles.setdefault(access.role_arn, (it.where, access.external_id))
            if external_id != access.external_id:
                raise ValueError(
                    f"{it.where}.access.external_id: role {access.role_arn!r} has another one in {first}.access; "
                    "give both the one that the role's trust policy asks for"
                )


def _buckets_agree(datasources: Sequence[_Datasource]) -> None:
    made_by: dict[str, tuple[str, object]] = {}
    regions: dict[str, tuple[str, str]] = {}
    # What is made first: whoever else uses it must agree with it.
    for it in sorted(datasources, key=lambda it: not it.s3.create):
        s3 = it.s3
        if s3.bucket is None:
            continue
        if s3.create:
            made = (s3.kms_key_arn, s3.versioning, s3.access_logs, it.on_destroy)
            first, other = made_by.setdefault(s3.bucket, (it.where, made))
            if other != made:
                raise ValueError(f"{it.where}: bucket {s3.bucket!r} is made in another way by {first}")
        first, region = regions.setdefault(s3.bucket, (it.where, s3.region))
        if region != s3.region:
            raise ValueError(
                f"{it.where}.region: {s3.region!r}, but for {first} the bucket {s3.bucket!r} is in {region!r}; "
                "a bucket is in one region"
            )


def _logs_go_elsewhere(datasources: Sequence[_Datasource]) -> None:
    users = {it.s3.bucket: it.where for it in datasources}
    for it in datasources:
        logs = it.s3.access_logs
        if logs is not None and logs.bucket in users:
            raise ValueError(
                f"{it.where}.access_logs.bucket: {logs.bucket!r} is the bucket of {users[logs.bucket]}, where logs "
                "would be logged again or come in as Input; name a bucket that only takes logs"
            )


def _lightly_prefixes_lie_apart(datasources: Sequence[_Datasource]) -> None:
    for it, other in permutations(datasources, 2):
        # Within one dataset, `spec` has looked already. A bucket whose name is generated is nobody else's.
        if it.dataset == other.dataset or it.s3.bucket is None or it.s3.bucket != other.s3.bucket:
            continue
        # An Input inside another dataset's Lightly prefix is fine: so the crops of one are the Input of the next.
        if it.purpose is not Purpose.LIGHTLY or not paths.contains(other.s3.prefix, it.s3.prefix):
            continue
        harm = (
            "what Lightly writes would come in as Input; put it beside"
            if other.purpose is Purpose.INPUT
            else "the datasets would overwrite each other's files; give each a directory of its own"
        )
        raise ValueError(
            f"{it.where}.prefix: {it.s3.prefix!r} lies in {other.where}.prefix {other.s3.prefix!r} of the same bucket: "
            f"{harm}"
        )


def _policies_fit_into_iam(datasources: Sequence[_Datasource]) -> None:
    used: Counter[str] = Counter()
    for it in datasources:
        access = it.s3.access
        identity = access.share or it.where
        used[identity] += it.policy_characters()
        limit = policy.INLINE_POLICY_CHARACTERS[access.kind]
        if access.role_arn is None and used[identity] > limit:
            raise ValueError(
                f"{it.where}.access: with this datasource the policies of one identity pass IAM's {limit} "
                "characters; let it get in by a share of its own"
            )

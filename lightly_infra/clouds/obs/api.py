"""What is done with OBS: buckets, statements of their policies, marker objects. Plain Python, free of Pulumi."""

from __future__ import annotations

import json
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.clouds import s3_lifecycle
from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.connection import connect
from lightly_infra.clouds.obs.errors import (
    BucketNotEmpty,
    BucketTaken,
    CallFailed,
    ObsError,
    PolicyTooLong,
    StatementTaken,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lightly_infra.clouds.obs.connection import Server, Settings
    from lightly_infra.clouds.obs.policy import Statement
    from lightly_infra.listing import Page

# A policy is one document for each bucket: whoever changes it reads it first, and nobody else may write in between.
# This holds within a deployment, which runs in one process; two that change one bucket's policy at once may clash.
_POLICIES: Final = Lock()

_GONE: Final = frozenset({"NoSuchBucket"})
# Not every vendor has tags, nor every user the permission; a bucket without them works as well.
_UNTAGGED: Final = frozenset({"AccessDenied", "MethodNotAllowed", "NotImplemented"})


class Obs:
    """One OBS, as one user. Safe to share between threads.

    Every method raises `CallFailed` when OBS refuses or cannot be reached.

    Args:
        server: Where.
        settings: As whom.

    Raises:
        CredentialsMissing: there are no keys.
    """

    def __init__(self, server: Server, settings: Settings) -> None:
        self._server = server
        self._client = connect(server, settings)
        self._secrets = [settings.secret_access_key] if settings.secret_access_key else []

    def close(self) -> None:
        """Lets go of connections."""
        self._client.close()

    # -- buckets

    def make_bucket(self, bucket: str, rules: Sequence[dict[str, Any]], tags: Mapping[str, str] | None = None) -> None:
        """Makes the bucket with these lifecycle rules, and with the tags where the cloud takes them.

        One that is there already is taken if we may have left it behind.
        So a deployment that ended between making a bucket and noting it down goes on where it was. A bucket that this
        call has made is deleted again when its lifecycle is refused.

        Raises:
            BucketTaken: the name is somebody else's, or that of a bucket of ours that something is in or set on.
        """
        known = self._is_ours(bucket)
        created = not known and self._create(bucket)
        # Where the bucket may have been there before, "created" proves nothing: see `_create`.
        made = created and known is False
        if not made:
            self._check_left_behind(bucket, rules)
        try:
            self.put_lifecycle(bucket, rules)
        except CallFailed:
            if made:
                with suppress(ObsError):  # the first error is the one to tell
                    self.delete_bucket(bucket)
            raise
        if tags:
            self._tag(bucket, tags)

    def put_lifecycle(self, bucket: str, rules: Sequence[dict[str, Any]]) -> None:
        """Sets the lifecycle of a bucket that was made here: the whole document."""
        configuration: Any = {"Rules": list(rules)}
        with self._told("set the lifecycle", bucket):
            self._client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=configuration)

    def lifecycle(self, bucket: str) -> list[dict[str, Any]] | None:
        """The lifecycle rules as they are; None where the bucket is gone."""
        try:
            with self._told("read the lifecycle", bucket):
                answer = self._client.get_bucket_lifecycle_configuration(Bucket=bucket)
        except CallFailed as failed:
            if failed.code in _GONE:
                return None
            if failed.code == "NoSuchLifecycleConfiguration":
                return []
            raise
        return [_rule(dict(it)) for it in answer.get("Rules", [])]

    def pages(self, bucket: str, prefix: str) -> Iterator[Page]:
        """The objects under a prefix, page by page. The older listing, which OBS documents for its S3 dialect."""
        with self._told(f"list what lies under {prefix!r}", bucket):
            for answer in self._client.get_paginator("list_objects").paginate(Bucket=bucket, Prefix=prefix):
                yield s3_lifecycle.page(answer)

    def delete_bucket(self, bucket: str) -> None:
        """Deletes the bucket, if it is empty; one that is gone already is fine.

        Raises:
            BucketNotEmpty: it is not.
        """
        try:
            with self._told("delete the bucket", bucket):
                self._client.delete_bucket(Bucket=bucket)
        except CallFailed as failed:
            if failed.code == "BucketNotEmpty":
                raise BucketNotEmpty(bucket) from None
            if failed.code not in _GONE:
                raise

    # -- statements of a bucket's policy

    def put_statements(
        self, bucket: str, statements: Sequence[Statement], *, replacing: Collection[str] = frozenset()
    ) -> None:
        """Adds statements to the bucket's policy, in place of those with the ids in `replacing`. Others stay as is.

        Raises:
            StatementTaken: a statement of the same id, not among `replacing`, says something else.
            PolicyTooLong: there is no room for them.
        """
        wanted = {it["Sid"]: it for it in statements}
        with _POLICIES:
            document = self._policy(bucket)
            known = document["Statement"]
            for it in known:
                sid = it.get("Sid")
                if sid in wanted and sid not in replacing and not policy.same(it, wanted[sid]):
                    raise StatementTaken(bucket, sid)
            kept = [it for it in known if it.get("Sid") not in {*wanted, *replacing}]
            self._put_policy(bucket, document, [*kept, *statements])

    def statements(self, bucket: str, sids: Collection[str]) -> list[Statement]:
        """The statements of these ids as they are; none where the bucket is gone."""
        try:
            known = self._policy(bucket)["Statement"]
        except CallFailed as failed:
            if failed.code in _GONE:
                return []
            raise
        return [it for it in known if it.get("Sid") in sids]

    def remove_statements(self, bucket: str, sids: Collection[str]) -> None:
        """Takes the statements of these ids out of the bucket's policy; what is gone already is fine."""
        with _POLICIES:
            try:
                document = self._policy(bucket)
            except CallFailed as failed:
                if failed.code in _GONE:
                    return
                raise
            self._put_policy(bucket, document, [it for it in document["Statement"] if it.get("Sid") not in sids])

    # -- marker objects

    def put_marker(self, bucket: str, key: str) -> None:
        """Makes an empty object that stands for a directory; leaves what is there already."""
        if not self.has_marker(bucket, key):
            with self._told(f"write {key!r}", bucket):
                self._client.put_object(Bucket=bucket, Key=key, Body=b"", ContentType="application/x-directory")

    def has_marker(self, bucket: str, key: str) -> bool:
        """Whether there is an object of that key."""
        try:
            with self._told(f"look for {key!r}", bucket):
                self._client.head_object(Bucket=bucket, Key=key)
        except CallFailed as failed:
            if failed.code in {"NoSuchKey", *_GONE}:
                return False
            raise
        return True

    def delete_marker(self, bucket: str, key: str) -> None:
        """Deletes the object; one that is gone already is fine."""
        try:
            with self._told(f"delete {key!r}", bucket):
                self._client.delete_object(Bucket=bucket, Key=key)
        except CallFailed as failed:
            if failed.code not in _GONE:
                raise

    # -- parts of these

    def _told(self, what: str, bucket: str) -> AbstractContextManager[None]:
        return told(what, bucket, self._secrets)

    def _is_ours(self, bucket: str) -> bool | None:
        """Whether it is one of the account's buckets already; None where the user may not list them."""
        try:
            with self._told("look for the bucket among yours", bucket):
                return bucket in {it["Name"] for it in self._client.list_buckets()["Buckets"]}
        except CallFailed as failed:
            if failed.code == "AccessDenied":
                return None
            raise

    def _check_left_behind(self, bucket: str, rules: Sequence[dict[str, Any]]) -> None:
        """Refuses a bucket that cannot be one which an earlier deployment has just made."""
        already = f"there is an OBS bucket {bucket!r} of yours already"
        remedy = "leave 'create' out to use it as it is, or choose another name"
        if (region := self._region(bucket)) not in {"", self._server.region}:
            raise BucketTaken(
                f"{already}, in region {region!r} and not {self._server.region!r}: delete it, or choose another name"
            )
        if self._holds_something(bucket):
            raise BucketTaken(f"{already}, and it is not empty: {remedy}")
        if (lifecycle := self.lifecycle(bucket)) and not policy.same(lifecycle, rules):
            raise BucketTaken(f"{already}, with a lifecycle of its own: {remedy}")
        if self._policy(bucket)["Statement"]:
            raise BucketTaken(f"{already}, with a policy of its own: {remedy}")

    def _tag(self, bucket: str, tags: Mapping[str, str]) -> None:
        tagging: Any = {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
        try:
            with self._told("tag the bucket", bucket):
                self._client.put_bucket_tagging(Bucket=bucket, Tagging=tagging)
        except CallFailed as failed:
            if failed.code not in _UNTAGGED:
                raise

    def _create(self, bucket: str) -> bool:
        """Makes the bucket; False where the answer is that it is ours already.

        OBS says so in another region only: a bucket of ours in the same one counts as created once more.
        """
        place: Any = {"LocationConstraint": self._server.region}  # any cloud's regions, where boto3 knows AWS's
        # The one region whose name S3's protocol does not take, in case a vendor has it.
        more: Any = {} if self._server.region == "us-east-1" else {"CreateBucketConfiguration": place}
        try:
            with self._told("create the bucket", bucket):
                self._client.create_bucket(Bucket=bucket, ACL="private", **more)
        except CallFailed as failed:
            if failed.code == "BucketAlreadyExists":
                raise BucketTaken(
                    f"the OBS bucket name {bucket!r} is taken: names are unique among all accounts of a cloud, and a "
                    "deleted one may stay reserved for half an hour. Choose another"
                ) from None
            if failed.code != "BucketAlreadyOwnedByYou":
                raise
            return False
        return True

    def _holds_something(self, bucket: str) -> bool:
        with self._told("look into the bucket", bucket):
            page = self._client.list_object_versions(Bucket=bucket, MaxKeys=1)
        return bool(page.get("Versions") or page.get("DeleteMarkers"))

    def _region(self, bucket: str) -> str:
        with self._told("look where the bucket is", bucket):
            answer: Any = self._client.get_bucket_location(Bucket=bucket)  # the stubs know no bucket without a region
        return str(answer.get("LocationConstraint") or "")

    def _policy(self, bucket: str) -> dict[str, Any]:
        try:
            with self._told("read the bucket's policy", bucket):
                text = self._client.get_bucket_policy(Bucket=bucket)["Policy"]
        except CallFailed as failed:
            if failed.code == "NoSuchBucketPolicy":
                return policy.document([])
            raise
        document: dict[str, Any] = json.loads(text)
        statements = document.get("Statement", [])
        return document | {"Statement": statements if isinstance(statements, list) else [statements]}

    def _put_policy(self, bucket: str, document: dict[str, Any], statements: list[Statement]) -> None:
        if policy.same(statements, document["Statement"]) and len(statements) == len(document["Statement"]):
            return
        if not statements:
            with self._told("delete the bucket's policy", bucket):
                self._client.delete_bucket_policy(Bucket=bucket)
            return
        text = policy.to_json(document | {"Statement": statements})
        if (size := len(text.encode())) > policy.MAX_POLICY_BYTES:
            raise PolicyTooLong(
                f"the policy of OBS bucket {bucket!r} would have {size} bytes, and OBS takes "
                f"{policy.MAX_POLICY_BYTES}: put some of the datasources into another bucket"
            )
        with self._told("write the bucket's policy", bucket):
            self._client.put_bucket_policy(Bucket=bucket, Policy=text)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A lifecycle rule as we write it: some vendors move the prefix into a filter."""
    if set(rule.get("Filter", {})) <= {"Prefix"}:  # one by tags or sizes is another rule than any of ours
        moved = rule.pop("Filter", {})
        rule.setdefault("Prefix", moved.get("Prefix", ""))
    return rule

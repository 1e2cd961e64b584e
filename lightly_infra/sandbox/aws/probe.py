"""Tries S3 datasources as Lightly does: with boto3, by a role's session or by an access key."""

from __future__ import annotations

import re
import secrets
from contextlib import closing
from typing import TYPE_CHECKING, ClassVar, Final

from botocore.exceptions import BotoCoreError, ClientError

from lightly_infra.permissions import Operation, Purpose
from lightly_infra.sandbox.aws.clients import Clients
from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.probe import (
    INSIDE,
    Attempt,
    Store,
    attempt,
    directory,
    not_tried,
    try_elsewhere,
    try_objects,
)
from lightly_infra.sandbox.seed import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from types_boto3_s3 import S3Client
    from types_boto3_sts import STSClient

    from lightly_infra.sandbox.aws.ministack import Ministack
    from lightly_infra.sandbox.probe import Outcome

ASSUME: Final = "assume the role"
WRONG_EXTERNAL_ID: Final = "with a wrong external id"
NO_EXTERNAL_ID: Final = "without an external id"

_SESSION_SECONDS: Final = 12 * 60 * 60  # as long as Lightly asks for; a role that allows less can't be used
_PATH = re.compile(r"s3://([^/]+)/?(.*)")
_NO_OBJECT: Final = frozenset({"NoSuchKey", "404"})
_REFUSED: Final = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedAccess", "403", "Forbidden"),
        *("InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
    }
)


class S3Store(Store):
    """A bucket on S3 or on what speaks its protocol."""

    actions: ClassVar[Mapping[Operation, str]] = {
        Operation.LIST: "s3:ListBucket",
        Operation.READ: "s3:GetObject",
        Operation.WRITE: "s3:PutObject",
        Operation.OVERWRITE: "s3:PutObject",
        Operation.DELETE: "s3:DeleteObject",
    }

    def __init__(
        self, client: S3Client, bucket: str, *, secrets: Collection[str] = (), kms_key_arn: str | None = None
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._kms_key_arn = kms_key_arn
        self.secrets = list(secrets)

    def keys(self, prefix: str) -> list[str]:
        """The first ten."""
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=10)
        return [item["Key"] for item in page.get("Contents", [])]

    def read(self, key: str) -> None:
        """Opens the object."""
        self._client.get_object(Bucket=self._bucket, Key=key)["Body"].close()

    def put(self, key: str) -> None:
        """As Lightly does, with the key of KMS that it was told of."""
        if self._kms_key_arn:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=self._kms_key_arn
            )
        else:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=b"")

    def delete(self, key: str) -> None:
        """This version only."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def judge(self, error: Exception) -> tuple[Outcome, str] | None:
        """By the error's code."""
        if isinstance(error, BotoCoreError):
            return "error", str(error)
        if not isinstance(error, ClientError):
            return None
        code = str(error.response.get("Error", {}).get("Code", ""))
        said = f"{code}: {error.response.get('Error', {}).get('Message', '')}"
        if code in _NO_OBJECT:
            return "allowed", said
        return ("refused" if code in _REFUSED else "error"), said

    def close(self) -> None:
        """Closes the client's connections."""
        self._client.close()


def probe(
    datasource: Mapping[str, str],
    others: Collection[Mapping[str, str]],
    aws: Ministack,
    lightly_account_id: str,
) -> list[Attempt]:
    """Tries one datasource.

    Args:
        datasource: What Lightly was told, in the API's names, secrets included.
        others: All other datasources that Lightly knows: where one has the same credentials, its prefix is allowed
            too and is no place to try what must be refused.
        aws: The account.
        lightly_account_id: Who assumes roles.
    """
    purpose = Purpose(datasource["purpose"])
    located = _PATH.fullmatch(datasource["fullPath"])
    if located is None:
        return not_tried(purpose, "error", f"{datasource['fullPath']!r} is no path like s3://bucket/prefix/")
    bucket, prefix = located[1], directory(located[2])
    region = datasource["s3Region"]
    attempts: list[Attempt] = []
    if datasource["type"] == "S3":
        credentials = Credentials(datasource["s3AccessKeyId"], datasource["s3SecretAccessKey"])
    else:
        lightly = Clients(aws.environment(region) | Credentials(lightly_account_id, "test").environment())
        with closing(lightly), S3Store(lightly.get("s3", region), bucket, secrets=_secrets(datasource)) as store:
            roles = _Roles(purpose, datasource, lightly.get("sts", region), store)
            attempts += roles.without_right()
            assumed, how = roles.with_right()
        if assumed is None:
            return [*not_tried(purpose, how.outcome, how.detail), *attempts]
        credentials = assumed
    reaches = [
        directory(path[2])
        for other in others
        if _identity(other) == _identity(datasource)
        and (path := _PATH.fullmatch(other["fullPath"]))
        and path[1] == bucket
    ]
    client = Clients(aws.environment(region) | credentials.environment()).get("s3", region)
    kms_key_arn = datasource.get("s3ServerSideEncryptionKMSKey")
    with S3Store(client, bucket, secrets=_secrets(datasource), kms_key_arn=kms_key_arn) as store:
        return [
            *try_objects(purpose, store, prefix, reaches=reaches),
            *try_elsewhere(purpose, S3Store(client, ELSEWHERE, secrets=store.secrets)),
            *attempts,
        ]


class _Roles:
    """Assumes a datasource's role as Lightly's account."""

    def __init__(self, purpose: Purpose, datasource: Mapping[str, str], sts: STSClient, store: Store) -> None:
        self._purpose = purpose
        self._datasource = datasource
        self._sts = sts
        self._store = store

    def with_right(self) -> tuple[Credentials | None, Attempt]:
        """The role's session; None, and why, where there is none."""
        sessions: list[Credentials] = []
        external_id = self._datasource["s3ExternalId"]
        tried = self._try(INSIDE, lambda: sessions.append(self._assume({"ExternalId": external_id})))
        return (sessions[0] if sessions else None), tried

    def without_right(self) -> list[Attempt]:
        """Tries another external id, and none."""
        return [
            self._try(WRONG_EXTERNAL_ID, lambda: self._assume({"ExternalId": secrets.token_hex(16)})),
            self._try(NO_EXTERNAL_ID, lambda: self._assume({})),
        ]

    def _assume(self, external_id: dict[str, str]) -> Credentials:
        answer = self._sts.assume_role(
            RoleArn=self._datasource["s3ARN"],
            RoleSessionName="lightly",
            DurationSeconds=_SESSION_SECONDS,
            **external_id,  # type: ignore[arg-type]  # the stubs want each keyword spelled out
        )
        session = answer["Credentials"]
        return Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])

    def _try(self, target: str, action: Callable[[], object]) -> Attempt:
        expected: Outcome = "allowed" if target == INSIDE else "refused"
        return attempt(
            self._purpose,
            ASSUME,
            target,
            expected,
            action,
            named="sts:AssumeRole",
            store=self._store,
            hint=": check the external id and the trust policy",
        )


def _secrets(datasource: Mapping[str, str]) -> list[str]:
    return [datasource[key] for key in ("s3ExternalId", "s3SecretAccessKey") if key in datasource]


def _identity(datasource: Mapping[str, str]) -> str | None:
    """Whose permissions a datasource's credentials have."""
    return datasource.get("s3ARN") or datasource.get("s3AccessKeyId")

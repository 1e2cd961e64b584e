"""Tries what Lightly may do with a datasource, and what it must not be able to do, with the credentials it was given.

The emulated Lightly calls this on verify. Nothing that is there already is ever written to or deleted: each object
written has a fresh random name and goes again.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Self

from lightly_infra.lightly.redaction import one_line, redact
from lightly_infra.permissions import Operation, Purpose, is_granted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from types_boto3_s3 import S3Client

Outcome = Literal["allowed", "refused", "error"]

INSIDE: Final = "inside"
BESIDE: Final = "beside the prefix"
WRONG_EXTERNAL_ID: Final = "with a wrong external id"
NO_EXTERNAL_ID: Final = "without an external id"
ASSUME: Final = "assume the role"

LIGHTLY_ACCOUNT: Final = "916419735646"
"""The AWS account that roles trust (Lightly's documentation, "AWS S3 delegated access")."""

_SESSION_SECONDS: Final = 12 * 60 * 60  # as long as Lightly asks for; a role that allows less can't be used
_PATH = re.compile(r"s3://([^/]+)/?(.*)")
_NO_OBJECT: Final = frozenset({"NoSuchKey", "404"})
_REFUSED: Final = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedAccess", "403", "Forbidden"),
        *("InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
    }
)
_ACTIONS: Final = {
    Operation.LIST: "s3:ListBucket",
    Operation.READ: "s3:GetObject",
    Operation.WRITE: "s3:PutObject",
    Operation.OVERWRITE: "s3:PutObject",
    Operation.DELETE: "s3:DeleteObject",
}


@dataclass(frozen=True)
class AwsEndpoint:
    """An emulated AWS, and which of its accounts is Lightly's."""

    url: str
    ca_bundle: str | None = None
    lightly_account: str = LIGHTLY_ACCOUNT


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried, and how it went."""

    purpose: Purpose
    operation: str
    """An `Operation`, or `ASSUME`."""
    target: str
    expected: Outcome
    outcome: Outcome
    detail: str = ""
    """Why it was refused or failed; without secrets."""

    @property
    def holds(self) -> bool:
        """Whether it went as it should."""
        return self.outcome == self.expected


def probe(
    datasource: Mapping[str, str], aws: AwsEndpoint | None, *, others: Collection[Mapping[str, str]] = ()
) -> list[Attempt]:
    """Tries one datasource.

    Args:
        datasource: What Lightly was told, in the API's names, secrets included.
        aws: Where its S3 is; None when no AWS is emulated.
        others: All other datasources that Lightly knows: where one has the same credentials, its prefix is allowed
            too and is no place to try what must be refused.
    """
    purpose = Purpose(datasource["purpose"])
    if aws is None or datasource["type"] not in {"S3", "S3DelegatedAccess"}:
        why = f"the emulated Lightly has no cloud here to try {datasource['type']} on"
        return _all_inside(purpose, "error", why)
    located = _PATH.fullmatch(datasource["fullPath"])
    if located is None:
        return _all_inside(purpose, "error", f"{datasource['fullPath']!r} is no path like s3://bucket/prefix/")
    bucket, prefix = located[1], _directory(located[2])
    attempts: list[Attempt] = []
    if datasource["type"] == "S3":
        client = _client(aws, datasource, datasource["s3AccessKeyId"], datasource["s3SecretAccessKey"])
    else:
        with _Roles(purpose, datasource, aws) as roles:
            attempts += roles.without_right()
            assumed, how = roles.with_right()
        if assumed is None:
            return [*_all_inside(purpose, how.outcome, how.detail), *attempts]
        client = assumed
    try:
        same = [other for other in (datasource, *others) if _identity(other) == _identity(datasource)]
        shared = [_directory(path[2]) for other in same if (path := _located(other)) and path[1] == bucket]
        attempts = [*_Objects(purpose, datasource, client, bucket, prefix).attempts(shared), *attempts]
    finally:
        client.close()
    return attempts


def permissions(datasources: Sequence[Mapping[str, str]], attempts: Sequence[Attempt]) -> dict[str, object]:
    """The API's answer to verify: list and read count on all datasources, write and overwrite on Lightly's own."""
    paths = {Purpose(datasource["purpose"]): datasource["fullPath"] for datasource in datasources}
    answer: dict[str, object] = {}
    errors: dict[str, str] = {}
    for operation in (Operation.LIST, Operation.READ, Operation.WRITE, Operation.OVERWRITE):
        tried = [
            attempt
            for attempt in attempts
            if attempt.target == INSIDE and attempt.operation == operation and attempt.expected == "allowed"
        ]
        failed = [attempt for attempt in tried if not attempt.holds]
        key = f"can{operation.capitalize()}"
        answer[key] = bool(tried) and not failed
        if failed:
            errors[key] = "; ".join(f"{it.purpose} datasource {paths[it.purpose]}: {it.detail}" for it in failed)
        elif not tried:
            errors[key] = "no LIGHTLY datasource is set"
    return answer | ({"errors": errors} if errors else {})


class _Objects:
    """Tries objects in and beside a prefix."""

    def __init__(
        self, purpose: Purpose, datasource: Mapping[str, str], client: S3Client, bucket: str, prefix: str
    ) -> None:
        self._purpose = purpose
        self._datasource = datasource
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._writable = is_granted(purpose, Operation.WRITE)

    def attempts(self, shared: Collection[str]) -> list[Attempt]:
        """What may be done inside and, where there is a beside, what must not be done there."""
        beside = _beside(self._prefix, shared)
        return [
            self._list(INSIDE, self._prefix),
            self._read(INSIDE, self._prefix),
            *(self._write_all() if self._writable else self._write_nothing()),
            *([] if beside is None else self._nothing_in(beside)),
        ]

    def _write_all(self) -> list[Attempt]:
        """Writes, overwrites and deletes one object of our own."""
        key = _fresh(self._prefix)
        return [
            self._try(Operation.WRITE, INSIDE, lambda: self._put(key)),
            self._try(Operation.OVERWRITE, INSIDE, lambda: self._put(key)),
            self._try(Operation.DELETE, INSIDE, lambda: self._delete(key)),
        ]

    def _write_nothing(self) -> list[Attempt]:
        """The same with fresh names for each, so that nothing is lost where it is allowed against all rules."""
        attempts = []
        for operation in (Operation.WRITE, Operation.OVERWRITE):
            key = _fresh(self._prefix)
            attempts.append(self._try(operation, INSIDE, partial(self._put, key)))
            self._clean_up(attempts[-1], key)
        key = _fresh(self._prefix)
        return [*attempts, self._try(Operation.DELETE, INSIDE, lambda: self._delete(key))]

    def _nothing_in(self, beside: str) -> list[Attempt]:
        attempts = [self._list(BESIDE, beside, ""), self._read(BESIDE, beside)]
        if self._writable:
            key = _fresh(beside)
            attempts.append(self._try(Operation.WRITE, BESIDE, lambda: self._put(key)))
            self._clean_up(attempts[-1], key)
        return attempts

    def _list(self, target: str, *prefixes: str) -> Attempt:
        """Lists under each of the prefixes; it is allowed when one of them is."""
        tried = [self._try(Operation.LIST, target, partial(self._keys, prefix)) for prefix in prefixes]
        return next((attempt for attempt in tried if attempt.outcome != "refused"), tried[0])

    def _read(self, target: str, prefix: str) -> Attempt:
        """Reads any object there is; where there is none, being told so is being allowed to read."""

        def read() -> None:
            key = (self._some_key(prefix) if target == INSIDE else None) or _fresh(prefix)
            self._client.get_object(Bucket=self._bucket, Key=key)["Body"].close()

        return self._try(Operation.READ, target, read)

    def _keys(self, prefix: str) -> list[str]:
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=10)
        return [item["Key"] for item in page.get("Contents", [])]

    def _some_key(self, prefix: str) -> str | None:
        """An object under the prefix; no directory's marker, which ministack authorises without its slash."""
        try:
            keys = self._keys(prefix)
        except _client_error():
            return None
        return next((key for key in keys if not key.endswith("/")), None)

    def _put(self, key: str) -> None:
        if key_arn := self._datasource.get("s3ServerSideEncryptionKMSKey"):
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_arn
            )
        else:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=b"")

    def _delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def _clean_up(self, attempt: Attempt, key: str) -> None:
        if attempt.outcome == "allowed":
            self._try(Operation.DELETE, attempt.target, lambda: self._delete(key))

    def _try(self, operation: Operation, target: str, action: Callable[[], object]) -> Attempt:
        allowed = target == INSIDE and is_granted(self._purpose, operation)
        outcome, detail = _outcome(action, _ACTIONS[operation], self._datasource)
        return Attempt(self._purpose, operation, target, _expected(allowed=allowed), outcome, detail)


class _Roles:
    """Assumes a datasource's role as Lightly's account."""

    def __init__(self, purpose: Purpose, datasource: Mapping[str, str], aws: AwsEndpoint) -> None:
        from lightly_infra.sandbox.aws.clients import Clients

        self._purpose = purpose
        self._datasource = datasource
        self._aws = aws
        self._lightly = Clients(_environment(aws, aws.lightly_account, "test"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lightly.close()

    def with_right(self) -> tuple[S3Client | None, Attempt]:
        """A client with the role's session; None, and why, where there is none."""
        sessions: list[tuple[str, str, str]] = []
        external_id = self._datasource["s3ExternalId"]
        attempt = self._try(INSIDE, lambda: sessions.append(self._assume({"ExternalId": external_id})))
        return (_client(self._aws, self._datasource, *sessions[0]) if sessions else None), attempt

    def without_right(self) -> list[Attempt]:
        """Tries another external id, and none."""
        return [
            self._try(WRONG_EXTERNAL_ID, lambda: self._assume({"ExternalId": secrets.token_hex(16)})),
            self._try(NO_EXTERNAL_ID, lambda: self._assume({})),
        ]

    def _assume(self, external_id: dict[str, str]) -> tuple[str, str, str]:
        answer = self._lightly.get("sts", self._datasource["s3Region"]).assume_role(
            RoleArn=self._datasource["s3ARN"],
            RoleSessionName="lightly",
            DurationSeconds=_SESSION_SECONDS,
            **external_id,  # type: ignore[arg-type]  # the stubs want each keyword spelled out
        )
        session = answer["Credentials"]
        return session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]

    def _try(self, target: str, action: Callable[[], object]) -> Attempt:
        outcome, detail = _outcome(action, "sts:AssumeRole", self._datasource)
        return Attempt(self._purpose, ASSUME, target, _expected(allowed=target == INSIDE), outcome, detail)


def _outcome(action: Callable[[], object], name: str, datasource: Mapping[str, str]) -> tuple[Outcome, str]:
    """How `action` goes and, unless it goes well, what to say about it."""
    from botocore.exceptions import BotoCoreError, ClientError

    hidden = [datasource[key] for key in ("s3ExternalId", "s3SecretAccessKey") if key in datasource]
    try:
        action()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        said = one_line(redact(error.response.get("Error", {}).get("Message", ""), hidden))
        if code in _NO_OBJECT:
            return "allowed", ""
        if code not in _REFUSED:
            return "error", f"{name} failed ({code}: {said})"
        hint = {"sts:AssumeRole": ": check the external id and the trust policy"}.get(name, "")
        return "refused", f"{name} was refused{hint} ({code}: {said})"
    except BotoCoreError as error:
        return "error", f"{name} failed ({one_line(redact(str(error), hidden))})"
    return "allowed", ""


def _client_error() -> type[Exception]:
    from botocore.exceptions import ClientError

    return ClientError


def _client(aws: AwsEndpoint, datasource: Mapping[str, str], *credentials: str) -> S3Client:
    from lightly_infra.sandbox.aws.clients import Clients

    return Clients(_environment(aws, *credentials)).get("s3", datasource["s3Region"])


def _environment(aws: AwsEndpoint, *credentials: str) -> dict[str, str]:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_CA_BUNDLE": aws.ca_bundle or "",
        **dict(zip(names, credentials, strict=False)),
    }


def _all_inside(purpose: Purpose, outcome: Outcome, detail: str) -> list[Attempt]:
    """What is granted and could not even be tried."""
    granted = [operation for operation in Operation if is_granted(purpose, operation)]
    return [Attempt(purpose, operation, INSIDE, "allowed", outcome, detail) for operation in granted]


def _expected(*, allowed: bool) -> Outcome:
    return "allowed" if allowed else "refused"


def _identity(datasource: Mapping[str, str]) -> str | None:
    """Whose permissions a datasource's credentials have."""
    return datasource.get("s3ARN") or datasource.get("s3AccessKeyId")


def _located(datasource: Mapping[str, str]) -> re.Match[str] | None:
    return _PATH.fullmatch(datasource["fullPath"])


def _directory(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def _fresh(prefix: str) -> str:
    return f"{prefix}lightly-probe-{secrets.token_hex(8)}"


def _beside(prefix: str, shared: Collection[str]) -> str | None:
    """A prefix that nobody has and that is outside of all in `shared`; None when one of those is the whole bucket.

    Rather one that begins like ours, `raw-1f2e/` beside `raw/`: a policy that forgot the slash is found out.
    """
    name = secrets.token_hex(8)
    candidates = (f"{prefix.removesuffix('/')}-{name}/", f"{name}/")
    return next((it for it in candidates if not any(it.startswith(other) for other in shared)), None)

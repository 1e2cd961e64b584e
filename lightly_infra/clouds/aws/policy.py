"""IAM, S3 and KMS policy documents, as pure functions of purpose, bucket and prefix.

What is granted follows from `lightly_infra.permissions`; this module only spells it in AWS's words.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from lightly_infra.clouds import s3_lifecycle
from lightly_infra.permissions import GRANTED, Operation, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lightly_infra.retention import Expiry, Rule

Document: TypeAlias = dict[str, Any]
"""A policy document, ready for `json.dumps`."""

LIGHTLY_ACCOUNT_ID: Final = "916419735646"
"""Lightly's own AWS account, which assumes the customer's role (Lightly's docs, "S3 delegated access")."""

MAX_SESSION_SECONDS: Final = 12 * 60 * 60
"""How long Lightly's session lasts: its docs ask for the maximum of 12 hours and fail with less."""

MAX_KEYS: Final = 2
"""How many access keys a user may have ("IAM and AWS STS quotas")."""

INLINE_POLICY_CHARACTERS: Final[Mapping[Literal["delegated", "keys"], int]] = {"delegated": 10_240, "keys": 2_048}
"""What all inline policies of one role, or one user, may have together (IAM user guide, "IAM and AWS STS quotas")."""

OBJECT_ACTIONS: Final[Mapping[Operation, str]] = {
    Operation.READ: "s3:GetObject",
    Operation.WRITE: "s3:PutObject",
    Operation.OVERWRITE: "s3:PutObject",  # S3 knows no difference between writing and overwriting
    Operation.DELETE: "s3:DeleteObject",
}
LIST_ACTION: Final = "s3:ListBucket"
READ_LIFECYCLE_ACTION: Final = "s3:GetLifecycleConfiguration"

ABORT_INCOMPLETE_UPLOADS_AFTER_DAYS: Final = 7
"""Parts of an upload that nobody finished cost storage for ever; seven days is AWS's own example."""

_KEY_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+", re.ASCII)

_KMS_OPERATIONS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.READ: ("Decrypt",),
    Operation.WRITE: ("Encrypt", "GenerateDataKey"),
}


def access_policy(
    *,
    purpose: Purpose,
    bucket_arn: str,
    prefix: str,
    kms_key_arn: str | None = None,
    allowed_source_ips: Sequence[str] = (),
) -> Document:
    """What Lightly's identity may do: the operations of `purpose`, under `prefix` of `bucket`, and no more.

    Args:
        purpose: decides the operations (`lightly_infra.permissions.GRANTED`).
        bucket_arn: the bucket's ARN.
        prefix: normalised (`lightly_infra.paths`); empty for the whole bucket.
        kms_key_arn: the key the objects are encrypted with; its use is allowed through S3 only.
        allowed_source_ips: CIDR ranges; when given, S3 refuses calls from anywhere else.
    """
    operations = GRANTED[purpose]
    from_here = {"IpAddress": {"aws:SourceIp": list(allowed_source_ips)}} if allowed_source_ips else {}
    under_prefix = {"StringLike": {"s3:prefix": f"{prefix}*"}} if prefix else {}
    statements = [
        _allow(
            "Objects",
            _unique(OBJECT_ACTIONS[operation] for operation in operations if operation in OBJECT_ACTIONS),
            f"{bucket_arn}/{prefix}*",
            from_here,
        ),
    ]
    if Operation.LIST in operations:
        statements.insert(0, _allow("List", [LIST_ACTION], bucket_arn, under_prefix | from_here))
    if kms_key_arn:
        region = kms_key_arn.split(":")[3]
        # S3 calls KMS from inside AWS, so the source address is no condition here; the service is.
        through_s3 = {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}}
        actions = [f"kms:{operation}" for operation in kms_operations(purpose)]
        statements.append(_allow("Encryption", actions, kms_key_arn, through_s3))
    return _document(statements)


def trust_policy(
    *, external_id: str, previous_external_id: str | None = None, lightly_account_id: str = LIGHTLY_ACCOUNT_ID
) -> Document:
    """Lets Lightly's account assume the role, if it shows the external id (which guards against confused deputies).

    With a previous one either will do: Lightly may show it until it has been told the new one.
    """
    accepted = external_id if previous_external_id in (None, external_id) else [external_id, previous_external_id]
    statement = {
        "Sid": "Lightly",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{lightly_account_id}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": accepted}},
    }
    return _document([statement])


def tls_only_policy(bucket_arn: str) -> Document:
    """A bucket policy that refuses every call that did not come over TLS."""
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return _document([statement])


def lifecycle(expiries: Iterable[Expiry] = ()) -> list[Document]:
    """The rules of a bucket that is made, as S3's API has them: what was not finished goes, and what shall expire.

    Args:
        expiries: as `retention.check_expiries` gives them.
    """
    return [
        {
            "ID": "abort-incomplete-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_INCOMPLETE_UPLOADS_AFTER_DAYS},
        },
        *(
            {
                "ID": it.rule_id,
                "Status": "Enabled",
                "Filter": {"Prefix": it.prefix},
                "Expiration": {"Days": it.days},
            }
            for it in expiries
        ),
    ]


def rules(document: Mapping[str, Any]) -> list[Rule]:
    """What a bucket's lifecycle deletes; the document is as boto3's `get_bucket_lifecycle_configuration` gives it."""
    return s3_lifecycle.rules(document)


def partition(region: str) -> str:
    """The part of AWS that a region lies in; ARNs begin with it."""
    for start, name in (("cn-", "aws-cn"), ("us-gov", "aws-us-gov")):
        if region.startswith(start):
            return name
    return "aws"


def check_kms_key(arn: str) -> str:
    """The ARN itself, when it is one key's: a policy takes a wildcard for all keys, and Lightly would use each.

    Raises:
        ValueError: it is none.
    """
    if not _KEY_ARN.fullmatch(arn):
        raise ValueError(f"{arn!r} is no KMS key's ARN; give arn:aws:kms:REGION:123456789012:key/ID, without wildcards")
    return arn


def kms_operations(purpose: Purpose) -> list[str]:
    """The KMS operations that S3 carries out on Lightly's behalf, as a KMS grant names them."""
    return [kms for operation in GRANTED[purpose] for kms in _KMS_OPERATIONS.get(operation, ())]


def to_json(document: Document) -> str:
    """The document in its shortest form: IAM counts characters, and equal documents must be equal strings."""
    return json.dumps(document, separators=(",", ":"))


def _document(statements: list[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, actions: list[str], resource: str, condition: Document) -> Document:
    statement: Document = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))

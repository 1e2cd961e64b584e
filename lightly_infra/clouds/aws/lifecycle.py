"""What becomes of the objects in an S3 bucket of the user's own: read, and never written. Free of Pulumi."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lightly_infra.clouds import s3_lifecycle
from lightly_infra.clouds.aws import policy
from lightly_infra.lightly.redaction import one_line, redact
from lightly_infra.retention import RulesUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from botocore.exceptions import ClientError

    from lightly_infra.clouds.aws.connection import Settings
    from lightly_infra.listing import Page
    from lightly_infra.retention import Rule

_LOG_IN: Final = "log in as for the AWS CLI, or set aws:profile"
_REMEDIES: Final[Mapping[str, str]] = {
    "NoSuchBucket": "make the bucket, or look whether its name is right",
    "InvalidAccessKeyId": f"the key does not exist: {_LOG_IN}",
    "SignatureDoesNotMatch": f"the key's secret is another one: {_LOG_IN}",
    "InvalidClientTokenId": f"the key does not exist: {_LOG_IN}",
    "ExpiredToken": f"the session is over: {_LOG_IN}",
    "RequestTimeTooSkewed": "set this machine's clock",
}


def read(bucket: str, region: str, settings: Settings) -> list[Rule]:
    """The rules in force on the bucket that delete something; none where it has no lifecycle.

    Args:
        bucket: its name.
        region: its region.
        settings: who asks; needs `s3:GetLifecycleConfiguration` on the bucket.

    Raises:
        RulesUnreadable: the message says why, and what to do.
    """
    with _told(bucket, settings, f"read the lifecycle of bucket {bucket!r}", policy.READ_LIFECYCLE_ACTION):
        from botocore.exceptions import ClientError

        try:
            return policy.rules(settings.client("s3", region).get_bucket_lifecycle_configuration(Bucket=bucket))
        except ClientError as error:
            if _code(error) == "NoSuchLifecycleConfiguration":
                return []
            raise


def pages(bucket: str, region: str, prefix: str, settings: Settings) -> Iterator[Page]:
    """The objects under the prefix, page by page: one call each.

    Args:
        bucket: its name.
        region: its region.
        prefix: normalised (`lightly_infra.paths`); empty for the whole bucket.
        settings: who asks; needs `s3:ListBucket` on the bucket.

    Raises:
        RulesUnreadable: the message says why, and what to do.
    """
    with _told(bucket, settings, f"list bucket {bucket!r} under {prefix!r}", policy.LIST_ACTION):
        listing = settings.client("s3", region).get_paginator("list_objects_v2")
        for answer in listing.paginate(Bucket=bucket, Prefix=prefix):
            yield s3_lifecycle.page(answer)


@contextmanager
def _told(bucket: str, settings: Settings, what: str, action: str) -> Iterator[None]:
    """Turns what goes wrong into a message of one line, without a secret."""
    try:
        from botocore import exceptions
    except ImportError:
        raise RulesUnreadable(f"could not {what}: boto3 is missing: pip install 'lightly-infra[aws]'") from None
    try:
        yield
    except exceptions.ClientError as error:
        # From None, here and below: what botocore says is not redacted, and a traceback would show it.
        raise RulesUnreadable(f"could not {what}: {_refused(error, bucket, action, settings.secrets)}") from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        said = _plain(error, settings.secrets)
        raise RulesUnreadable(f"could not {what}: {said}: look at the network, proxies and AWS_CA_BUNDLE") from None
    except exceptions.BotoCoreError as error:  # of profiles, sign-ons and missing keys
        raise RulesUnreadable(f"could not {what}: {_plain(error, settings.secrets)}: {_LOG_IN}") from None


def _refused(error: ClientError, bucket: str, action: str, secrets: Sequence[str]) -> str:
    code = _code(error)
    said = _plain(str(error.response.get("Error", {}).get("Message", "")), secrets)
    remedy = _REMEDIES.get(code)
    if code in {"AccessDenied", "403"}:
        remedy = f"allow {action} on arn:aws:s3:::{bucket} to whoever runs this"
        if error.operation_name == "AssumeRole":
            remedy = "let whoever runs this assume the role of aws:assumeRoles, with its external id"
    return ": ".join(it for it in (code, said, remedy) if it)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _plain(said: object, secrets: Sequence[str]) -> str:
    return one_line(redact(str(said), secrets)).rstrip(".")

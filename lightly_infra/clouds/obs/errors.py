"""What can go wrong with OBS, each in one line with what the user can do about it, and without a secret."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.lightly.redaction import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ACCESS_KEY_ID: Final = "OBS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY: Final = "OBS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable, not its value

_KEYS: Final = f"check {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY} (or obs:access_key_id and obs:secret_access_key)"
REMEDIES: Final[Mapping[str, str]] = {
    "AccessDenied": "the keys are known but may not do this: give their user the permission in IAM",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": f"{_KEYS}, and the endpoint",
    "RequestTimeTooSkewed": "set this machine's clock",
    "NoSuchBucket": "make the bucket, or look whether name and endpoint are right",
    "InvalidLocationConstraint": "name the region that the endpoint belongs to",
    "IllegalLocationConstraintException": "name the region that the endpoint belongs to",
    "MalformedXML": "this cloud does not take a part of what was sent; make the bucket yourself and leave 'create' out",
    "MalformedPolicy": "this cloud does not take the policy; look whether 'user' is right",
    "TooManyBuckets": "delete buckets, or have the quota raised",
}


class ObsError(Exception):
    """Base of everything this room raises on purpose."""


class CredentialsMissing(ObsError):
    """A call was due and no keys were given."""

    def __init__(self) -> None:
        super().__init__(
            f"no OBS keys to act with: set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY} in the environment, or run "
            "`pulumi config set --secret obs:access_key_id` and `pulumi config set --secret obs:secret_access_key`. "
            "They are the keys of whoever makes buckets, and not those that Lightly gets"
        )


class PackageMissing(ObsError):
    """boto3 is not installed."""

    def __init__(self) -> None:
        super().__init__("OBS needs boto3: pip install 'lightly-infra[obs]'")


class BucketTaken(ObsError):
    """The name belongs to somebody else's bucket, or to one of ours that is in use."""


class BucketNotEmpty(ObsError):
    """The bucket cannot be deleted: it still holds something."""

    def __init__(self, bucket: str) -> None:
        super().__init__(
            f"OBS bucket {bucket!r} still holds objects, old versions or unfinished uploads, and is never emptied "
            "here: empty it first, or keep it (retain_on_delete)"
        )


class StatementTaken(ObsError):
    """The bucket's policy has another statement of the same id, which is not ours to replace."""

    def __init__(self, bucket: str, sid: str) -> None:
        super().__init__(
            f"the policy of OBS bucket {bucket!r} has a statement {sid!r} already that says something else, and is "
            "not replaced: remove that statement, or give the datasource another name"
        )


class PolicyTooLong(ObsError):
    """The bucket's policy would pass OBS's limit."""


class CallFailed(ObsError):
    """OBS refused a call, or could not be reached.

    Attributes:
        code: OBS's own code, such as `AccessDenied`; empty where no answer came.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def told(what: str, bucket: str, secrets: Sequence[str] = ()) -> Iterator[None]:
    """Turns botocore's errors into a `CallFailed` that says what could not be done with which bucket.

    Raises:
        CallFailed: with OBS's code.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        # From None, here and below: what botocore says is not redacted, and a traceback would show it.
        raise _refused(what, bucket, error.response, secrets) from None
    except BotoCoreError as error:
        said = one_line(redact(str(error), secrets)).rstrip(".")
        raise CallFailed(
            f"could not {what} (OBS bucket {bucket!r}): {said}. Look at the endpoint, at the network, and at "
            "OBS_CA_BUNDLE where the cloud has a certificate authority of its own"
        ) from None


def _refused(what: str, bucket: str, response: Mapping[str, Any], secrets: Sequence[str]) -> CallFailed:
    answer = response.get("Error", {})
    code, said = str(answer.get("Code", "")), one_line(redact(str(answer.get("Message", "")), secrets))
    # What a HEAD is refused with has no body, and so no code but the status.
    code = {"403": "AccessDenied", "404": "NoSuchKey"}.get(code, code)
    remedy = f". Remedy: {REMEDIES[code]}" if code in REMEDIES else ""
    words = f"{code}: {said}" if said else code
    return CallFailed(f"could not {what} (OBS bucket {bucket!r}): {words.rstrip('.')}{remedy}", code)

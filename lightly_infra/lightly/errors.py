"""What can go wrong with Lightly, each with what the user can do about it.

No message holds the token, a credential or a URL's query: whatever a server or a library said goes through
`redaction` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from pydantic import ValidationError


class LightlyError(Exception):
    """Base of everything this room raises on purpose."""


class InvalidInput(LightlyError, ValueError):
    """A value was refused before anything was sent; the message names the field, the value and the remedy."""

    @classmethod
    def of(cls, what: str, error: ValidationError) -> InvalidInput:
        """All of pydantic's complaints about `what` in one sentence, without the values that pydantic saw."""
        return cls(f"{what}: {complaints(error)}")


class TokenMissing(LightlyError):
    """A call was due and no token was given."""

    def __init__(self) -> None:
        super().__init__(
            "LIGHTLY_TOKEN is not set: copy the token from Lightly's preferences page and export it, "
            "or set it as a secret in the stack's config"
        )


class Unreachable(LightlyError):
    """No answer arrived.

    Attributes:
        may_have_arrived: The request may have been carried out all the same: not to be repeated blindly.
        passing: Trying again can help; it can't when a certificate is not trusted.
    """

    def __init__(self, message: str, *, may_have_arrived: bool, passing: bool = True) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived
        self.passing = passing


class InvalidAnswer(LightlyError):
    """An answer arrived that is not what the API promises, e.g. from a proxy or a wrong server."""


class ApiError(LightlyError):
    """Lightly refused a request.

    Attributes:
        status: The HTTP status.
        code: Lightly's own code, e.g. DATASET_UNKNOWN, where the answer had one.
        message: What Lightly said, redacted and shortened.
        request_id: To quote to Lightly's support, where the answer had one.
        retry_after: Seconds that the server asked to wait, where it did.
    """

    def __init__(
        self,
        request: str,
        *,
        status: int,
        code: str | None = None,
        message: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
        remedy: str = "",
    ) -> None:
        text = f"Lightly answered {' '.join(filter(None, (str(status), code)))} to {request}"
        text += f": {message}" if message else ""
        text += f" (request id {request_id})" if request_id else ""
        super().__init__(f"{text}. {remedy}" if remedy else text)
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after


class DatasetUnknown(ApiError):
    """There is no dataset of that id, or this token may not see it."""


class DatasetNameExists(ApiError):
    """Dataset names are unique, and this one is taken."""


class TokenRefused(ApiError):
    """Lightly does not accept the token (401), or not for this request (403)."""


class DatasetConflict(LightlyError):
    """A dataset is there already and may not be taken over; the message names the remedy."""


BOTH: Final = frozenset({Purpose.INPUT.value, Purpose.LIGHTLY.value})
"""The purposes of a dataset's two datasources."""


class PermissionsMissing(LightlyError):
    """Lightly still can't do with the storage what it needs to.

    Attributes:
        missing: What it can't do: "list", "read", "write", "overwrite"; empty where Lightly did not say.
        about: The purposes of the datasources that this may be about; both where Lightly did not say.
    """

    def __init__(self, message: str, *, missing: tuple[str, ...], about: frozenset[str] = BOTH) -> None:
        super().__init__(message)
        self.missing = missing
        self.about = about


class HandoverFailed(LightlyError):
    """Other credentials of a datasource do not work; the message says which are registered now."""


def complaints(error: ValidationError) -> str:
    """Pydantic's complaints as "field: what is wrong; …", without the values that it saw."""
    return "; ".join(
        ": ".join(filter(None, (".".join(str(part) for part in item["loc"]), plain(item["msg"]))))
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )


def plain(message: str) -> str:
    """Pydantic's message as the validator wrote it."""
    return message.removeprefix("Value error, ")

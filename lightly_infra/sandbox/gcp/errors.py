"""How Google's APIs refuse: the status, the words and the JSON that official clients understand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox import missing_extra

try:
    from starlette.responses import JSONResponse, PlainTextResponse, Response
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Sequence

# The reasons of the JSON API ("HTTP status and error codes for JSON", Cloud Storage documentation).
_REASONS: Final = {
    400: "invalid",
    401: "required",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
}


class Refusal(Exception):
    """A request that is refused.

    Args:
        status: The HTTP status.
        message: Google's words where we know them.
        reason: The JSON API's reason, such as `failedPrecondition`; by default the usual one of the status.
        code: The canonical code that newer APIs such as IAM add, such as `FAILED_PRECONDITION`.
        details: What newer APIs add to the message.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str | None = None,
        code: str | None = None,
        details: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self._reason = reason or _REASONS[status]
        self._code = code
        self._details = list(details)

    def response(self, *, media: bool) -> Response:
        """The answer; a download's (`media`) is the message alone, as with the real one."""
        if media:
            return PlainTextResponse(self.message, self.status)
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self._reason}],
        }
        if self._code:
            error["status"] = self._code
        if self._details:
            error["details"] = self._details
        return JSONResponse({"error": error}, self.status)


def invalid(message: str) -> Refusal:
    """A request that makes no sense."""
    return Refusal(400, message, code="INVALID_ARGUMENT")


def failed_precondition(message: str, details: Sequence[dict[str, Any]] = ()) -> Refusal:
    """A request that does not go with how things are."""
    return Refusal(400, message, reason="failedPrecondition", code="FAILED_PRECONDITION", details=details)


def not_found(message: str) -> Refusal:
    """What is asked for does not exist."""
    return Refusal(404, message, code="NOT_FOUND")


def already_exists(message: str) -> Refusal:
    """What is to be made exists."""
    return Refusal(409, message, reason="alreadyExists", code="ALREADY_EXISTS")


def unsupported(what: str) -> Refusal:
    """What the real one may take and this one does not."""
    return invalid(f"the emulated Google Cloud does not support {what}")

"""Azure Resource Manager's REST interface over an `Arm`: paths, bearer token, error envelope."""

from __future__ import annotations

import inspect
import json
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lightly_infra.sandbox.azure.arm_model import SUBSCRIPTION
from lightly_infra.sandbox.azure.arm_values import ArmError
from lightly_infra.sandbox.serving import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lightly_infra.sandbox.azure.arm import Arm

_GROUP: Final = "/subscriptions/{subscription}/resourceGroups/{group}"
_ACCOUNT: Final = _GROUP + "/providers/Microsoft.Storage/storageAccounts/{name}"
_BLOBS: Final = _ACCOUNT + "/blobServices/default"
_CONTAINER: Final = _BLOBS + "/containers/{container}"
_POLICY: Final = _ACCOUNT + "/managementPolicies/default"
_ANOTHER_POLICY: Final = _ACCOUNT + "/managementPolicies/{policy}"


class ArmServer(Server):
    """Serves an `Arm` on 127.0.0.1, from a thread. A context manager; `start` and `stop` do the same by hand.

    Attributes:
        token: The one bearer token that it accepts; a new one for each server.
        lock: Held by each request; by whoever else uses the `Arm`, too.
    """

    name = "the emulated Azure Resource Manager"

    def __init__(self, arm: Arm) -> None:
        super().__init__()
        self.token = secrets.token_urlsafe(32)
        self._arm = arm
        self.lock = threading.Lock()

    def app(self) -> Starlette:
        """The routes."""
        arm = self._arm
        methods: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("PUT", _GROUP, arm.put_group),
            ("GET", _GROUP, arm.group),
            ("DELETE", _GROUP, arm.delete_group),
            ("PUT", _ACCOUNT, arm.put_account),
            ("GET", _ACCOUNT, arm.account),
            ("DELETE", _ACCOUNT, arm.delete_account),
            ("POST", _ACCOUNT + "/listKeys", arm.keys),
            ("POST", _ACCOUNT + "/regenerateKey", arm.regenerate_key),
            ("POST", _ACCOUNT + "/listServiceSas", arm.service_sas),
            ("PUT", _BLOBS, arm.put_blob_service),
            ("GET", _BLOBS, arm.blob_service),
            ("PUT", _CONTAINER, arm.put_container),
            ("GET", _CONTAINER, arm.container),
            ("DELETE", _CONTAINER, arm.delete_container),
            ("PUT", _POLICY, arm.put_policy),
            ("GET", _POLICY, arm.policy),
            ("DELETE", _POLICY, arm.delete_policy),
            ("GET", _ANOTHER_POLICY, arm.another_policy),
            ("PUT", _ANOTHER_POLICY, arm.another_policy),
        )
        routes = [Route(path, self._answers(action), methods=[method]) for method, path, action in methods]
        return Starlette(routes=routes, exception_handlers={HTTPException: _no_such_path})

    def _answers(self, action: Callable[..., Any]) -> Callable[[Request], Any]:
        with_body = "body" in inspect.signature(action).parameters

        async def answer(request: Request) -> Response:
            try:
                self._authorise(request)
                names = {key: value for key, value in request.path_params.items() if key != "subscription"}
                arguments = [*names.values(), *([await _body(request)] if with_body else [])]
                result = await run_in_threadpool(self._do, action, *arguments)
            except ArmError as error:
                return _error(error.status, error.code, str(error))
            return Response(status_code=200) if result is None else JSONResponse(result)

        return answer

    def _do(self, action: Callable[..., Any], *arguments: Any) -> Any:
        with self.lock:
            return action(*arguments)

    def _authorise(self, request: Request) -> None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        if kind != "Bearer" or not secrets.compare_digest(token.encode(), self.token.encode()):
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if not request.query_params.get("api-version"):
            raise ArmError(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        subscription = request.path_params["subscription"]
        if subscription != SUBSCRIPTION:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    return body


async def _no_such_path(request: Request, _: Exception) -> Response:
    return _error(404, "NotEmulated", f"the emulator has no {request.method} {request.url.path}")


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)

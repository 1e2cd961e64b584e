"""The emulated Google Cloud: one HTTP server for the APIs of Cloud Storage, IAM, Cloud KMS and OAuth's tokens.

It answers official clients, and enforces what they may do: see `authorise`. State is in memory.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.gcp import tokens
from lightly_infra.sandbox.gcp.authorise import Authoriser
from lightly_infra.sandbox.gcp.buckets import Buckets
from lightly_infra.sandbox.gcp.errors import Refusal, invalid
from lightly_infra.sandbox.gcp.iam import Account, Accounts
from lightly_infra.sandbox.gcp.kms import Keys
from lightly_infra.sandbox.gcp.objects import Objects
from lightly_infra.sandbox.gcp.policies import PolicyReader
from lightly_infra.sandbox.gcp.roles import Roles
from lightly_infra.sandbox.serving import Server

try:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_ADMINISTRATORS: Final = ("/v1/",)  # the APIs of IAM and Cloud KMS
PROJECT: Final = "lightly-sandbox"
"""The project of programs that name none. Any other project is there too."""


class GcpEmulator(Server):
    """The server. A context manager; `start` and `stop` do the same by hand. Stopping forgets nothing.

    Attributes:
        token: The administrator's access token: random, another one for each emulator.
        accounts: Service accounts; `keys_forbidden` switches the organisation's policy against keys on.
        roles: Custom roles; `reserve` takes a role's id as a deletion of long ago does.
        keys: Cloud KMS keys; `put` has one there.
        buckets: Buckets; `domains` are the names with dots that may be taken.
    """

    name = "the emulated Google Cloud"

    def __init__(self) -> None:
        super().__init__()
        self.token = f"ya29.administrator-{secrets.token_urlsafe(24)}"
        self.roles = Roles()
        self.accounts = Accounts(lambda: self.token_uri, self._forget)
        issued = tokens.Tokens(self.accounts, lambda: self.token_uri)
        reader = PolicyReader(self.roles, self.accounts)
        self.keys = Keys(reader)
        self._authoriser = Authoriser(self.token, issued, self.roles)
        self.buckets = Buckets(self._authoriser, reader, self.keys)
        objects = Objects(self.buckets, self._authoriser, self.keys)
        rooms = (issued, self.roles, self.accounts, self.keys, self.buckets, objects)
        self._app = Starlette(
            routes=[route for room in rooms for route in room.routes()],
            exception_handlers={Refusal: _refuse, json.JSONDecodeError: _no_json, 404: _nothing, 405: _nothing},
            middleware=[Middleware(_OnlyAdministrators, self._authoriser)],
        )
        self._app.router.redirect_slashes = False

    def app(self) -> Starlette:
        """All the APIs."""
        return self._app

    @property
    def token_uri(self) -> str:
        """Where keys get access tokens."""
        return f"{self.url}{tokens.PATH}"

    def _forget(self, account: Account) -> None:
        for policy in (*(it.policy for it in self.buckets.all.values()), *self.keys.policies.values()):
            policy.forget(account.email, account.unique_id)


class _OnlyAdministrators:
    """Keeps everybody else from the APIs that no bucket's policy can open."""

    def __init__(self, app: ASGIApp, authoriser: Authoriser) -> None:
        self._app = app
        self._authoriser = authoriser

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_ADMINISTRATORS):
            request = Request(scope, receive)
            try:
                self._authoriser.administrator(request, "iam.serviceAccounts.get")
            except Refusal as refusal:
                await refusal.response(media=False)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise TypeError from error
    return error.response(media=request.query_params.get("alt") == "media")


async def _no_json(_: Request, __: Exception) -> Response:
    return invalid("Invalid JSON payload received.").response(media=False)


async def _nothing(request: Request, _: Exception) -> Response:
    return Refusal(404, f"the emulated Google Cloud has no {request.method} {request.url.path}").response(media=False)

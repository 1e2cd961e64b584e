"""Access tokens for service accounts: OAuth's JWT bearer grant (RFC 7523), as Google's token endpoint does it."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from lightly_infra.sandbox import missing_extra

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lightly_infra.sandbox.gcp.iam import Account, Accounts

PATH: Final = "/token"
_GOOGLE: Final = "https://oauth2.googleapis.com/token"  # what google-auth always addresses, wherever it sends
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE: Final = 3600  # seconds, of tokens and of what asks for them
_SKEW: Final = 60  # seconds by which clocks may differ; Google does not say how many it allows
_NO_TIME: Final = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


class _Denied(Exception):
    """Why there is no token: OAuth's code, and Google's words."""

    def __init__(self, words: str, code: str = "invalid_grant") -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True)
class _Issued:
    account: Account
    expires: float


class Tokens:
    """Issues access tokens and knows whose they are. They are random, and kept in memory only."""

    def __init__(self, accounts: Accounts, audience: Callable[[], str]) -> None:
        self._accounts = accounts
        self._audience = audience
        self._issued: dict[str, _Issued] = {}

    def account(self, token: str) -> Account | None:
        """Whose token it is; None when it is nobody's any more."""
        issued = self._issued.get(token)
        if issued is None or issued.expires < time.time() or issued.account.disabled:
            return None
        # One that was deleted and made again is another account.
        return issued.account if self._accounts.find(issued.account.email) is issued.account else None

    def routes(self) -> list[Route]:
        """The endpoint."""
        return [Route(PATH, self._grant, methods=["POST"])]

    async def _grant(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        kind, assertion = form.get("grant_type", ""), form.get("assertion", "")
        try:
            account = self._verify(kind, assertion)
        except _Denied as denied:
            return JSONResponse({"error": denied.code, "error_description": str(denied)}, 400)
        token = f"ya29.c.{secrets.token_urlsafe(32)}"
        self._issued[token] = _Issued(account, time.time() + _LIFE)
        return JSONResponse({"access_token": token, "expires_in": _LIFE - 1, "token_type": "Bearer"})

    def _verify(self, kind: str, assertion: str) -> Account:
        if kind != _GRANT:
            raise _Denied(f"Invalid grant_type: {kind}", "unsupported_grant_type")
        header, claims, signature = _parse(assertion)
        account = self._accounts.find(str(claims.get("iss", "")))
        if account is None:
            raise _Denied("Invalid grant: account not found")
        key = account.keys.get(str(header.get("kid", "")))
        if key is None or header.get("alg") != "RS256":
            raise _Denied("Invalid JWT Signature.")
        signed = assertion.rpartition(".")[0].encode()
        try:
            key.public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise _Denied("Invalid JWT Signature.") from None
        if account.disabled:
            raise _Denied("Invalid grant: account is disabled")
        self._check_claims(claims)
        return account

    def _check_claims(self, claims: dict[str, Any]) -> None:
        now, issued, expires = time.time(), claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise _Denied(_NO_TIME)
        if issued > now + _SKEW or expires < now - _SKEW or not 0 < expires - issued <= _LIFE + _SKEW:
            raise _Denied(_NO_TIME)
        if claims.get("aud") not in (self._audience(), _GOOGLE):
            raise _Denied("Invalid JWT: Failed audience check.")
        if "sub" in claims and claims["sub"] != claims["iss"]:
            raise _Denied("Client is unauthorized to retrieve access tokens using this method.", "unauthorized_client")
        if not claims.get("scope"):
            raise _Denied("Invalid OAuth scope or ID token audience provided.", "invalid_scope")


def _parse(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, claims and signature of a JWT."""
    try:
        first, second, third = (
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in assertion.split(".")
        )
        header, claims = json.loads(first), json.loads(second)
    except ValueError:
        raise _Denied("Invalid JWT: the assertion is no JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise _Denied("Invalid JWT: the assertion is no JWT")
    return header, claims, third

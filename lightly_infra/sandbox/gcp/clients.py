"""Clients of the emulated Google Cloud: the official one of Cloud Storage, and the administrator's of all its APIs.

Where it is and who the administrator is come from the environment: STORAGE_EMULATOR_HOST, which official clients know,
and GOOGLE_OAUTH_ACCESS_TOKEN, which Pulumi's provider knows.
"""

from __future__ import annotations

import functools
import json
import ssl
import warnings
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx

from lightly_infra.sandbox import missing_extra

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # it asks for grpcio-status, but speaks no gRPC here
        import google.auth.credentials
        import requests
        from google.api_core import exceptions
        from google.auth.transport.requests import AuthorizedSession
        from google.auth.transport.requests import Request as TokenRequest
        from google.cloud import storage  # type: ignore[import-untyped] # ships none
        from google.oauth2 import service_account
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.auth.transport import Request

# The official clients' exceptions are imported from here, where their warning is kept quiet.
__all__ = [
    "ENDPOINT",
    "PROJECT",
    "SECONDS",
    "TOKEN",
    "Administrator",
    "DirectSession",
    "GoogleError",
    "KeyCredentials",
    "StorageClient",
    "TokenCredentials",
    "exceptions",
    "storage_client",
    "unless_there",
]

ENDPOINT: Final = "STORAGE_EMULATOR_HOST"
TOKEN: Final = "GOOGLE_OAUTH_ACCESS_TOKEN"  # noqa: S105 - the variable's name
PROJECT: Final = "GOOGLE_PROJECT"
SECONDS: Final = 30.0
"""For a request; all is on this machine."""

_SCOPES: Final = ["https://www.googleapis.com/auth/cloud-platform"]


StorageClient: TypeAlias = storage.Client
"""The official client of Cloud Storage."""


class GoogleError(Exception):
    """A refusal, in the words of Google's Go client, which are those that users of the real provider see."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.status = status
        message = str(error.get("message", ""))
        said = f"googleapi: Error {status}: {message}"
        if details := error.get("details"):
            said += f"\nDetails:\n{json.dumps(details, indent=2)}\n"
        reasons = [it.get("reason", "") for it in error.get("errors", [])]
        super().__init__(f"{said}, {reasons[0]}" if reasons else said)


class Administrator:
    """Calls the APIs as who may do everything.

    Args:
        env: With `ENDPOINT` and `TOKEN`.

    Attributes:
        token: Who may do everything.

    Raises:
        KeyError: one of them is missing.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        endpoint, self.token = env[ENDPOINT], env[TOKEN]
        self._client = httpx.Client(
            base_url=endpoint,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=SECONDS,
            # No connection stays open: nobody tells a provider when it is no longer needed.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,  # no proxy stands between us and this machine
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # speaks no TLS: no authorities are read
        )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        kind: str | None = None,
    ) -> Any:
        """Makes a request; gives the answer's JSON, or None where there is none.

        Raises:
            GoogleError: it is refused.
            httpx.TransportError: nobody answers.
        """
        headers = {"Content-Type": kind} if kind else None
        answer = self._client.request(method, path, json=body, params=params, content=content, headers=headers)
        if answer.is_success:
            return answer.json() if answer.content else None
        raise GoogleError(answer.status_code, answer.json().get("error", {}))

    def download(self, path: str) -> bytes:
        """An object's content. Raises as `call` does."""
        answer = self._client.get(path, params={"alt": "media"})
        if answer.is_success:
            return answer.content
        raise GoogleError(answer.status_code, {"message": answer.text})

    def close(self) -> None:
        """Lets go of connections."""
        self._client.close()


@contextmanager
def unless_there() -> Iterator[None]:
    """Lets pass that something is there already."""
    try:
        yield
    except GoogleError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise


class KeyCredentials(google.auth.credentials.Credentials):
    """Those of a service account's key: google-auth's own, without its look at the account's allowed regions.

    That look-up would go to Google's own servers, and not to where the key's JSON says.

    Attributes:
        key_json: The key that they are made of.
        project: The account's.

    Raises:
        ValueError: the JSON is no service account's key.
    """

    def __init__(self, key_json: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # partly typed only
        self.key_json = key_json
        self.project = str(json.loads(key_json).get("project_id", ""))
        self._signed = _signed(key_json).with_scopes(_SCOPES)

    def refresh(self, request: Request) -> None:
        """Gets another access token."""
        self._signed.refresh(request)
        self.token, self.expiry = self._signed.token, self._signed.expiry


@functools.cache
def _signed(key_json: str) -> service_account.Credentials:
    """google-auth's own, kept: to read a private key takes as long as to make one."""
    made: service_account.Credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call] # as above
        json.loads(key_json)
    )
    return made


class TokenCredentials(google.auth.credentials.Credentials):
    """An access token that somebody else got."""

    def __init__(self, token: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # partly typed only
        self.token = token

    def refresh(self, request: Request) -> None:
        """There is no other."""


class DirectSession(AuthorizedSession):
    """Adds credentials to requests, which no proxy of the environment stands in the way of.

    Attributes:
        tokens: What makes the requests for access tokens.
    """

    def __init__(self, credentials: google.auth.credentials.Credentials) -> None:
        self._plain = requests.Session()
        self._plain.trust_env = False
        self.tokens = TokenRequest(self._plain)
        super().__init__(credentials, auth_request=self.tokens)  # type: ignore[no-untyped-call] # partly typed only
        self.trust_env = False

    def close(self) -> None:
        """Lets go of connections."""
        super().close()  # type: ignore[no-untyped-call] # partly typed only
        self._plain.close()


def storage_client(endpoint: str, credentials: google.auth.credentials.Credentials, project: str) -> StorageClient:
    """The official client of Cloud Storage, sent to the emulator. To be closed."""
    client = StorageClient(
        project=project,
        credentials=credentials,
        client_options={"api_endpoint": endpoint},
        _http=DirectSession(credentials),
    )
    # For traces that nobody takes, it looks buckets up in threads, which ask on for minutes when the emulator has gone.
    client._bucket_metadata_cache = None  # noqa: SLF001 - the public switch, an environment variable, is the process's
    return client

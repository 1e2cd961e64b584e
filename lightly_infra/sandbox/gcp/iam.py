"""Service accounts and their keys.

An account is there at once: that a fresh one is unknown to the rest of Google Cloud for some seconds is not emulated.
A deleted key gives no more access tokens; those it has given live on for their hour, as with the real one.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.gcp.errors import (
    Refusal,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
    unsupported,
)

try:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

ACCOUNT_ID: Final = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
PROJECT_ID: Final = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
KEYS_PER_ACCOUNT: Final = 10  # "Quotas and limits", IAM documentation
_KEY_BITS: Final = 2048
_FOREVER: Final = "9999-12-31T23:59:59Z"
_CONSTRAINT: Final = "constraints/iam.disableServiceAccountKeyCreation"


@dataclass(frozen=True)
class Key:
    """A key pair of an account; the private half is with whoever asked for it."""

    id: str
    public: rsa.RSAPublicKey
    created: str

    def document(self, account: str) -> dict[str, Any]:
        """What the API says of it, without its private half."""
        return {
            "name": f"{account}/keys/{self.id}",
            "keyAlgorithm": "KEY_ALG_RSA_2048",
            "keyOrigin": "GOOGLE_PROVIDED",
            "keyType": "USER_MANAGED",
            "validAfterTime": self.created,
            "validBeforeTime": _FOREVER,
        }


@dataclass
class Account:
    """A service account."""

    project: str
    email: str
    unique_id: str
    display_name: str = ""
    description: str = ""
    disabled: bool = False
    keys: dict[str, Key] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the API calls it."""
        return f"projects/{self.project}/serviceAccounts/{self.email}"

    def document(self) -> dict[str, Any]:
        """What the API says of it."""
        return {
            "name": self.name,
            "projectId": self.project,
            "uniqueId": self.unique_id,
            "email": self.email,
            "displayName": self.display_name,
            "description": self.description,
            "disabled": self.disabled,
            "oauth2ClientId": self.unique_id,
        }


class Accounts:
    """The service accounts of all projects, and their part of the `iam` API.

    Args:
        token_uri: Where keys are told to get access tokens.
        on_delete: Called with an account that is gone.

    Attributes:
        keys_forbidden: Whether the organisation forbids new keys, by its policy.
    """

    def __init__(self, token_uri: Callable[[], str], on_delete: Callable[[Account], None]) -> None:
        self._token_uri = token_uri
        self._on_delete = on_delete
        self._accounts: dict[str, Account] = {}
        self.keys_forbidden = False

    def find(self, email: str) -> Account | None:
        """The account of this email."""
        return self._accounts.get(email)

    def deleted_key(self, email: str) -> str | None:
        """The JSON of a key of the account that was issued and is deleted; None when there is no such account.

        Neither the most that an account may have nor the organisation's policy forbids it.
        """
        account = self._accounts.get(email)
        if account is None:
            return None
        key, document = self._issue(account)
        del account.keys[key.id]
        return document

    def routes(self) -> list[Route]:
        """Its part of the `iam` API."""
        one = "/v1/projects/{project}/serviceAccounts/{email}"
        return [
            Route("/v1/projects/{project}/serviceAccounts", self._create, methods=["POST"]),
            Route("/v1/projects/{project}/serviceAccounts", self._list, methods=["GET"]),
            Route(f"{one}/keys", self._create_key, methods=["POST"]),
            Route(f"{one}/keys", self._list_keys, methods=["GET"]),
            Route(f"{one}/keys/{{key}}", self._get_key, methods=["GET"]),
            Route(f"{one}/keys/{{key}}", self._delete_key, methods=["DELETE"]),
            Route(f"{one}:disable", self._disable, methods=["POST"]),
            Route(f"{one}:enable", self._enable, methods=["POST"]),
            Route(one, self._get, methods=["GET"]),
            Route(one, self._patch, methods=["PATCH"]),
            Route(one, self._delete, methods=["DELETE"]),
        ]

    async def _create(self, request: Request) -> Response:
        project, body = request.path_params["project"], await request.json()
        account_id, given = str(body.get("accountId", "")), body.get("serviceAccount", {})
        if not ACCOUNT_ID.fullmatch(account_id):
            raise invalid(
                f"The account ID {account_id!r} does not have a length between 6 and 30, or is not lower-case."
            )
        email = f"{account_id}@{project}.iam.gserviceaccount.com"
        if email in self._accounts:
            raise already_exists(f"Service account {account_id} already exists within project projects/{project}.")
        account = Account(project, email, f"1{secrets.randbelow(10**20):020}")
        _fill(account, given)
        self._accounts[email] = account
        return JSONResponse(account.document())

    async def _list(self, request: Request) -> Response:
        """All at once: Google gives pages of 20 to 100."""
        there = [it for it in self._accounts.values() if it.project == request.path_params["project"]]
        return JSONResponse({"accounts": [it.document() for it in there]})

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self._account(request).document())

    async def _patch(self, request: Request) -> Response:
        account, body = self._account(request), await request.json()
        mask = set(body.get("updateMask", "").split(","))
        _fill(account, {key: value for key, value in body.get("serviceAccount", {}).items() if _snake(key) in mask})
        return JSONResponse(account.document())

    async def _delete(self, request: Request) -> Response:
        account = self._account(request)
        del self._accounts[account.email]
        self._on_delete(account)
        return JSONResponse({})

    async def _disable(self, request: Request) -> Response:
        self._account(request).disabled = True
        return JSONResponse({})

    async def _enable(self, request: Request) -> Response:
        self._account(request).disabled = False
        return JSONResponse({})

    async def _create_key(self, request: Request) -> Response:
        account, body = self._account(request), json.loads(await request.body() or b"{}")
        for name, only in (("keyAlgorithm", "KEY_ALG_RSA_2048"), ("privateKeyType", "TYPE_GOOGLE_CREDENTIALS_FILE")):
            if (asked := body.get(name, only)) != only:
                raise unsupported(f"the {name} {asked}")
        if self.keys_forbidden:
            why = "Key creation is not allowed on this service account."
            subject = f"{account.name}?configvalue={account.email.replace('@', '%40')}"
            violation = {"description": why, "subject": subject, "type": _CONSTRAINT}
            kind = "type.googleapis.com/google.rpc.PreconditionFailure"
            raise failed_precondition(why, [{"@type": kind, "violations": [violation]}])
        if len(account.keys) >= KEYS_PER_ACCOUNT:
            # No more than that: https://github.com/googleapis/google-api-dotnet-client/issues/2027
            raise failed_precondition("Precondition check failed.")
        key, document = self._issue(account)
        private = base64.b64encode(document.encode()).decode()
        return JSONResponse(
            key.document(account.name) | {"privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE", "privateKeyData": private}
        )

    async def _list_keys(self, request: Request) -> Response:
        account = self._account(request)
        return JSONResponse({"keys": [key.document(account.name) for key in list(account.keys.values())]})

    async def _get_key(self, request: Request) -> Response:
        account, key = self._key(request)
        return JSONResponse(key.document(account.name))

    async def _delete_key(self, request: Request) -> Response:
        account, key = self._key(request)
        del account.keys[key.id]
        return JSONResponse({})

    def _account(self, request: Request) -> Account:
        """By email or unique id; `-` stands for any project."""
        wanted, project = request.path_params["email"], request.path_params["project"]
        found = next((it for it in self._accounts.values() if wanted in (it.email, it.unique_id)), None)
        if found is None or project not in ("-", found.project):
            raise not_found(f"Unknown service account: {wanted}")
        return found

    def _key(self, request: Request) -> tuple[Account, Key]:
        account, wanted = self._account(request), request.path_params["key"]
        if wanted not in account.keys:
            raise not_found(f"Service account key {wanted} does not exist.")
        return account, account.keys[wanted]

    def _issue(self, account: Account) -> tuple[Key, str]:
        """A new key, and its JSON as Google hands it out."""
        key_id, public, pem = key_pair()
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        account.keys[key_id] = key = Key(key_id, public, now)
        return key, credentials_file(
            project=account.project,
            email=account.email,
            client_id=account.unique_id,
            key_id=key_id,
            private_key=pem,
            token_uri=self._token_uri(),
        )


def key_pair() -> tuple[str, rsa.RSAPublicKey, str]:
    """A fresh key's id, its public half and its private half in PEM."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secrets.token_hex(20), private.public_key(), pem.decode()


def credentials_file(*, project: str, email: str, client_id: str, key_id: str, private_key: str, token_uri: str) -> str:
    """A key's JSON, with the fields that Google's has."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": project,
            "private_key_id": key_id,
            "private_key": private_key,
            "client_email": email,
            "client_id": client_id,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{email.replace('@', '%40')}",
            "universe_domain": "googleapis.com",
        },
        indent=2,
    )


def project_number(project: str) -> str:
    """The number of a project; here it follows from its id."""
    return f"{int(hashlib.sha256(project.encode()).hexdigest(), 16) % 10**12:012}"


def service_agent(project: str) -> str:
    """The account as which Cloud Storage itself uses a project's keys."""
    return f"service-{project_number(project)}@gs-project-accounts.iam.gserviceaccount.com"


def _fill(account: Account, given: dict[str, Any]) -> None:
    for name, limit in (("displayName", 100), ("description", 256)):  # bytes, by the API's reference
        if len(str(given.get(name, "")).encode()) > limit:
            raise Refusal(400, f"The {name} is longer than {limit} bytes.", code="INVALID_ARGUMENT")
    account.display_name = str(given.get("displayName", account.display_name))
    account.description = str(given.get("description", account.description))


def _snake(name: str) -> str:
    """The update mask's spelling of a field: both are taken, but lists of paths are mostly in snake case."""
    return re.sub("[A-Z]", lambda found: f"_{found.group().lower()}", name)

"""Tries a GCS datasource as Lightly would: google-cloud-storage with the key that Lightly was told.

Of an object that is not there Cloud Storage says 403 to who may read but not list, and to who may not read. So before
reading or deleting what is not there, the emulator's administrator puts it there, for the attempt's sake.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lightly_infra.clouds.gcp import policy
from lightly_infra.permissions import Operation, Purpose
from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.gcp.clients import SECONDS, DirectSession, KeyCredentials, exceptions, storage_client
from lightly_infra.sandbox.gcp.iam import credentials_file, key_pair
from lightly_infra.sandbox.probe import Store, attempt, directory, not_tried, try_elsewhere, try_objects
from lightly_infra.sandbox.seed import ELSEWHERE

try:
    from google.auth.exceptions import GoogleAuthError, RefreshError
    from requests.exceptions import RequestException
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lightly_infra.sandbox.gcp.clients import StorageClient
    from lightly_infra.sandbox.gcp.server import GcpEmulator
    from lightly_infra.sandbox.probe import Attempt, Outcome

DELETED_KEY: Final = "with a deleted key"
FOREIGN_KEY: Final = "with a key that was never issued"
AUTHENTICATE: Final = "get an access token"

_PATH: Final = re.compile(r"gs://([^/]+)/?(.*)")
_SOME: Final = 100  # keys that are enough


class GcsStore(Store):
    """A bucket, used with a service account's key.

    Args:
        endpoint: Where Cloud Storage is.
        bucket: Its name.
        credentials: Those that Lightly was told.
        owner: Somebody who may do everything, to put there what shall be read or deleted.
    """

    actions: ClassVar[Mapping[Operation, str]] = {
        operation: " and ".join(names) for operation, names in policy.PERMISSIONS.items()
    }

    def __init__(self, endpoint: str, bucket: str, credentials: KeyCredentials, owner: StorageClient) -> None:
        self.secrets = (credentials.key_json,)
        self._credentials = credentials
        self._client = storage_client(endpoint, credentials, credentials.project)
        self._bucket = self._client.bucket(bucket)
        self._owned = owner.bucket(bucket)

    def authenticate(self) -> None:
        """Gets an access token."""
        session = DirectSession(self._credentials)
        try:
            self._credentials.refresh(session.tokens)
        finally:
            session.close()

    def keys(self, prefix: str) -> list[str]:
        """Lists under the prefix."""
        found = self._client.list_blobs(
            self._bucket, prefix=prefix or None, max_results=_SOME, timeout=SECONDS, retry=None
        )
        return [blob.name for blob in found]

    def read(self, key: str) -> None:
        """Reads an object; one that is not there is there for the moment."""
        with _Present(self._owned.blob(key)):
            self._bucket.blob(key).download_as_bytes(timeout=SECONDS, retry=None)

    def put(self, key: str) -> None:
        """Writes an empty object."""
        self._bucket.blob(key).upload_from_string(b"", timeout=SECONDS, retry=None)

    def delete(self, key: str) -> None:
        """Deletes an object; one that is not there is there for the moment."""
        with _Present(self._owned.blob(key)):
            self._bucket.blob(key).delete(timeout=SECONDS, retry=None)

    def judge(self, error: Exception) -> tuple[Outcome, str] | None:
        """Google's refusals; a missing object is allowed to be read, a missing bucket is an error."""
        match error:
            case exceptions.Forbidden() | exceptions.Unauthorized():
                return "refused", _words(error)
            case exceptions.NotFound() if "bucket does not exist" not in _words(error):
                return "allowed", ""
            case exceptions.GoogleAPICallError():
                return "error", _words(error)
            case RefreshError(args=(str() as said, *_)):
                return ("error" if error.retryable else "refused"), said
            case GoogleAuthError() | RequestException():
                return "error", f"{type(error).__name__}: {error}"
            case _:
                return None

    def close(self) -> None:
        """Lets go of connections."""
        self._client.close()


class _Present:
    """Has an object there while it lasts, where there is none."""

    def __init__(self, blob: Any) -> None:
        self._blob = blob
        self._put = False

    def __enter__(self) -> None:
        if not self._blob.exists(timeout=SECONDS, retry=None):
            self._blob.upload_from_string(b"", timeout=SECONDS, retry=None)
            self._put = True

    def __exit__(self, *_: object) -> None:
        if self._put and self._blob.exists(timeout=SECONDS, retry=None):
            self._blob.delete(timeout=SECONDS, retry=None)


def probe(
    datasource: Mapping[str, str],
    others: Collection[Mapping[str, str]],
    *,
    gcp: GcpEmulator,
    owner: StorageClient,
    lists_all: bool,
) -> list[Attempt]:
    """Tries one datasource.

    Args:
        datasource: What Lightly was told, in the API's names, secrets included.
        others: All other datasources that Lightly knows: where one has the same service account, its prefix is allowed
            too and is no place to try what must be refused.
        gcp: The emulated cloud.
        owner: Its administrator's client.
        lists_all: Whether listing the whole bucket is allowed, by the user's own wish.
    """
    purpose = Purpose(datasource["purpose"])
    place = located(datasource)
    if place is None:
        return not_tried(purpose, "error", f"{datasource['fullPath']!r} is no path like gs://bucket/prefix/")
    bucket, prefix = place
    key_json = datasource["gcsCredentials"]
    if (issuer := _field(key_json, "token_uri")) not in (None, gcp.token_uri):
        # Never asked: it may be Google itself.
        return not_tried(
            purpose, "error", f"the emulated Google Cloud did not issue the key: its token_uri is {issuer}"
        )
    try:
        credentials = KeyCredentials(key_json)
    except (ValueError, TypeError, AttributeError):
        return not_tried(purpose, "error", "gcsCredentials is no JSON of a service account's key")
    with GcsStore(gcp.url, bucket, credentials, owner) as store:
        try:
            store.authenticate()
        except GoogleAuthError as error:
            outcome, said = store.judge(error) or ("error", type(error).__name__)
            return not_tried(purpose, outcome, f"the key gives no access token ({said})")
        reaches = [found[1] for it in neighbours(datasource, others) if (found := located(it))]
        attempts = try_objects(purpose, store, prefix, reaches=reaches, lists_all=lists_all)
    with GcsStore(gcp.url, ELSEWHERE, credentials, owner) as elsewhere:
        attempts += try_elsewhere(purpose, elsewhere)
    return [*attempts, *_with_other_keys(purpose, bucket, key_json, gcp, owner)]


def _words(error: exceptions.GoogleAPICallError) -> str:
    """What the server said, without what the client adds."""
    if error.response is None:
        return str(error.message)
    try:
        return str(error.response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.response.text)


def located(datasource: Mapping[str, str]) -> tuple[str, str] | None:
    """The bucket and the prefix of a datasource on GCS; None when it is none."""
    path = _PATH.fullmatch(datasource.get("fullPath", ""))
    return (path[1], directory(path[2])) if path else None


def identity(datasource: Mapping[str, str]) -> str | None:
    """The service account whose key a datasource has; None when that cannot be told."""
    return _field(datasource.get("gcsCredentials", ""), "client_email")


def neighbours(datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Those of the others that are in the same bucket, with the same service account."""

    def known(it: Mapping[str, str]) -> tuple[str | None, str | None]:
        place = located(it)
        return identity(it), place[0] if place else None

    return [it for it in others if None not in known(it) and known(it) == known(datasource)]


def _field(key_json: str, name: str) -> str | None:
    try:
        document = json.loads(key_json)
    except ValueError:
        return None
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else None


def _with_other_keys(
    purpose: Purpose, bucket: str, key_json: str, gcp: GcpEmulator, owner: StorageClient
) -> list[Attempt]:
    """Tries keys of the same account that give no access: one that is deleted, and one that Google never made."""
    told = json.loads(key_json)
    key_id, pem = _foreign_key()
    foreign = credentials_file(
        project=told["project_id"],
        email=told["client_email"],
        client_id=str(told.get("client_id", "")),
        key_id=key_id,
        private_key=pem,
        token_uri=told["token_uri"],
    )
    attempts = []
    for target, document in ((DELETED_KEY, gcp.accounts.deleted_key(told["client_email"])), (FOREIGN_KEY, foreign)):
        if document is None:  # the account has gone meanwhile
            continue
        with GcsStore(gcp.url, bucket, KeyCredentials(document), owner) as store:
            attempts.append(
                attempt(purpose, AUTHENTICATE, target, "refused", store.authenticate, named="the key", store=store)
            )
    return attempts


@functools.cache
def _foreign_key() -> tuple[str, str]:
    """A key's id and its private half, which no cloud knows. Made once: it takes a while."""
    key_id, _, pem = key_pair()
    return key_id, pem

"""Tries Azure datasources as Lightly does: with azure-storage-blob and the SAS that it was given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import parse_qs, quote

from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import AzureError, HttpResponseError

from lightly_infra.permissions import Operation, Purpose
from lightly_infra.sandbox.azure.blobs import code_of, first_line, mint_sas, service_client
from lightly_infra.sandbox.probe import Attempt, Store, directory, not_tried, try_elsewhere, try_objects
from lightly_infra.sandbox.seed import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lightly_infra.sandbox.azure.arm import Arm
    from lightly_infra.sandbox.probe import Outcome

EXPIRED: Final = "with an expired SAS"
WIDENED: Final = "with a widened SAS"
USE: Final = "use"
FOR_EVER: Final = "for ever"
WITHOUT_TLS: Final = "without TLS"

NO_DIRECTORY_SAS: Final = (
    "a directory SAS is not emulated: Azurite refuses every one (sr=d); leave directory_sas out here, with "
    "container_wide: true"
)

_EVERYTHING: Final = "racwdxltmei"
_NO_OBJECT: Final = "BlobNotFound"
_REFUSED: Final = frozenset({401, 403})  # HTTP
_SOME: Final = 10  # blobs of a listing


class AzureStore(Store):
    """A container, used with a SAS.

    Args:
        arm: Where the account is.
        account: Its name.
        container: The container's.
        sas: With its leading `?`.
    """

    actions: ClassVar[Mapping[Operation, str]] = {
        Operation.LIST: "List Blobs",
        Operation.READ: "Get Blob",
        Operation.WRITE: "Put Blob",
        Operation.OVERWRITE: "Put Blob",
        Operation.DELETE: "Delete Blob",
    }

    def __init__(self, arm: Arm, account: str, container: str, sas: str) -> None:
        self._service = service_client(arm.account_url(account), AzureSasCredential(sas), arm.ca_bundle)
        self._container = self._service.get_container_client(container)
        signature = _fields(sas).get("sig", "")
        self.secrets = [it for it in (sas, sas.removeprefix("?"), signature, quote(signature, safe="")) if it]

    def keys(self, prefix: str) -> list[str]:
        """The first ten."""
        pages = self._container.list_blobs(name_starts_with=prefix, results_per_page=_SOME).by_page()
        return [blob.name for blob in next(pages)]

    def read(self, key: str) -> None:
        """Reads the blob."""
        self._container.download_blob(key).readall()

    def put(self, key: str) -> None:
        """As Lightly does, over whatever is there."""
        self._container.upload_blob(key, b"", overwrite=True)

    def delete(self, key: str) -> None:
        """Deletes the blob."""
        self._container.delete_blob(key)

    def judge(self, error: Exception) -> tuple[Outcome, str] | None:
        """By the error's code and status."""
        if not isinstance(error, AzureError):
            return None
        if not isinstance(error, HttpResponseError):
            return "error", first_line(error)
        code = code_of(error)
        said = f"{code}: {first_line(error.message)}"
        if code == _NO_OBJECT:
            return "allowed", said
        return ("refused" if error.status_code in _REFUSED else "error"), said

    def close(self) -> None:
        """Closes the client's connections."""
        self._service.close()


def probe(datasource: Mapping[str, str], others: Collection[Mapping[str, str]], arm: Arm) -> list[Attempt]:
    """Tries one datasource.

    What lies beside the prefix is no place to try what must be refused: the SAS of a container reaches all of it.

    Args:
        datasource: What Lightly was told, in the API's names, secrets included.
        others: All other datasources that Lightly knows: none of them matters here.
        arm: Where the account is, and its key; nobody else may use it meanwhile.
    """
    del others
    purpose = Purpose(datasource["purpose"])
    account, sas = datasource["accountName"], datasource["accountKey"]
    container, _, path = datasource["fullPath"].partition("/")
    if why := _cannot_try(account, sas, arm):
        return not_tried(purpose, "error", why)
    arm.have_container(account, ELSEWHERE)
    with AzureStore(arm, account, container, sas) as store:
        attempts = try_objects(purpose, store, directory(path), reaches=[""])
    with AzureStore(arm, account, ELSEWHERE, sas) as store:
        attempts += try_elsewhere(purpose, store)
    for target, given in ((EXPIRED, _expired(arm, account, container, sas)), (WIDENED, _widened(sas))):
        with AzureStore(arm, account, container, given) as store:
            attempts += try_elsewhere(purpose, store, target)
    return attempts + _limits(purpose, sas)


def _limits(purpose: Purpose, sas: str) -> list[Attempt]:
    """Whether the SAS itself ends, and is for https alone; that it has not ended yet is proved by its use.

    Both are read off it: nobody waits for its end, and Azurite has TLS only.
    """
    said = _fields(sas)
    held = {FOR_EVER: "se" in said, WITHOUT_TLS: said.get("spr") == "https"}
    return [Attempt(purpose, USE, it, "refused", "refused" if holds else "allowed") for it, holds in held.items()]


def _cannot_try(account: str, sas: str, arm: Arm) -> str:
    """Why the SAS cannot even be tried; empty when it can."""
    if not sas.startswith("?"):
        return "accountKey is no SAS with its leading '?'"
    if _fields(sas).get("sr") == "d":
        return NO_DIRECTORY_SAS
    if account not in arm.accounts:
        return f"the emulated Azure has no storage account {account!r}"
    return ""


def _expired(arm: Arm, account: str, container: str, sas: str) -> str:
    """The same SAS, really signed, as it is when its time is over."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    key = arm.signing_key(account)
    return mint_sas(account, container, key, permissions=_fields(sas).get("sp", "r"), expires=yesterday)


def _widened(sas: str) -> str:
    """The same SAS with all permissions written into it, which its signature does not cover."""
    parts = sas.removeprefix("?").split("&")
    return "?" + "&".join(f"sp={_EVERYTHING}" if it.startswith("sp=") else it for it in parts)


def _fields(sas: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(sas.removeprefix("?")).items()}

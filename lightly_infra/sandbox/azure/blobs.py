"""azure-storage-blob for an emulated Azure, untouched by whatever proxy the machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.storage.blob import BlobServiceClient, generate_container_sas

if TYPE_CHECKING:
    from datetime import datetime

    from azure.core.credentials import AzureSasCredential
    from azure.core.exceptions import HttpResponseError


def service_client(account_url: str, credential: str | AzureSasCredential, ca_bundle: str) -> BlobServiceClient:
    """A client of one account, with its key or a SAS. A context manager, as are the clients that it gives."""
    return BlobServiceClient(
        account_url,
        credential=credential,
        connection_verify=ca_bundle,
        use_env_settings=False,  # the emulator is on this machine
        connection_timeout=5,
        read_timeout=30,
        retry_total=0,
    )


def mint_sas(account: str, container: str, key: str, *, permissions: str, expires: datetime) -> str:
    """A SAS of a container as its owner would sign one, for https only, with its leading `?`."""
    token = generate_container_sas(
        account, container, account_key=key, permission=permissions, expiry=expires, protocol="https"
    )
    return f"?{token}"


def code_of(error: HttpResponseError) -> str:
    """Azure's own name for what went wrong."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or f"HTTP {error.status_code}")


def first_line(message: object) -> str:
    """What Azure says, without the request's id and time that it puts on lines of their own."""
    return str(message or "").partition("\n")[0].strip()

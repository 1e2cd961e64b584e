"""Service SAS tokens as Azure Resource Manager signs them ("Create a service SAS", Azure Storage REST reference)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import quote

# What ARM signs with to this day. It is the version of the signature, not of the requests made with it.
_VERSION: Final = "2015-04-05"

PERMISSIONS: Final = "racwdxltmei"
"""Those of a container. Azure wants them in this order."""


def service_sas(
    account: str, container: str, key: str, *, permissions: str, expiry: str, start: str = "", protocol: str = ""
) -> str:
    """A SAS for a container, without a leading `?`; the same arguments give the same token.

    Args:
        account: The storage account's name.
        container: The container's.
        key: The account's key to sign with, base64.
        permissions: In the order of `PERMISSIONS`.
        expiry: A moment as text, as it will stand in the token.
        start: Likewise.
        protocol: `https` or `https,http`.
    """
    resource = f"/blob/{account}/{container}"
    # Empty are: stored policy, source addresses; and at the end five response headers.
    signed = [permissions, start, expiry, resource, "", "", protocol, _VERSION, *[""] * 5]
    digest = hmac.new(base64.b64decode(key), "\n".join(signed).encode(), hashlib.sha256).digest()
    fields = {
        "sv": _VERSION,
        "sr": "c",
        "spr": protocol,
        "st": start,
        "se": expiry,
        "sp": permissions,
        "sig": base64.b64encode(digest).decode(),
    }
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items() if value)

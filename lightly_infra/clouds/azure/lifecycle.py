"""What becomes of the blobs in a container of the user's own: read, and never written."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from lightly_infra import epochs
from lightly_infra.clouds import rest
from lightly_infra.clouds.azure import policy, sas
from lightly_infra.clouds.azure.failures import FAILURES
from lightly_infra.clouds.functions import Refused, ask, unreadable
from lightly_infra.listing import PAGE, Listing, Page, Stored, collect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lightly_infra.retention import Rule

_ACTION: Final = "Microsoft.Storage/storageAccounts/managementPolicies/read"
_REMEDIES: Final[Mapping[str, str]] = {
    r"AuthorizationFailed": (
        f"allow {_ACTION} on the storage account to whoever runs this (the role 'Reader' has it); a new role takes "
        "some minutes"
    ),
    **FAILURES,
}

_SIGN: Final = "Microsoft.Storage/storageAccounts/listServiceSas/action"
_SIGNED_FOR: Final = timedelta(hours=1)
_VERSION: Final = "2021-12-02"
"""Of the REST API that is spoken ("List Blobs")."""
_CA_BUNDLE: Final = "AZURE_CA_BUNDLE"

_NO_POLICY: Final = "ManagementPolicyNotFound"
"""What Azure answers of an account that has none."""


async def read(account: str, container: str, resource_group: str) -> list[Rule]:
    """The rules in force on the container that delete something; none where its account has no management policy.

    It is asked by the stack's own provider, with all that the stack's config says of that.

    Args:
        account: the storage account.
        container: the container in it, of which an account's policy is one among all.
        resource_group: the account's.

    Raises:
        RulesUnreadable: the message says why, and what to do. It takes
            `Microsoft.Storage/storageAccounts/managementPolicies/read` on the account.
    """
    asked = {"accountName": account, "resourceGroupName": resource_group, "managementPolicyName": "default"}
    found = await ask("azure-native:storage:getManagementPolicy", asked, "pulumi_azure_native")
    if isinstance(found, Refused):
        if _NO_POLICY in found.said:
            return []
        otherwise = f"look whether whoever runs this has {_ACTION}"
        raise unreadable(f"the management policy of storage account {account!r}", found, _REMEDIES, otherwise)
    return policy.rules((found.get("policy") or {}).get("rules") or (), container)


async def objects(
    account: str, container: str, prefix: str, resource_group: str, most: int, own_sas: str | None = None
) -> Listing:
    """The first blobs under the prefix; not those that stand for directories.

    Args:
        account: the storage account.
        container: the container.
        prefix: normalised; empty for the whole container.
        resource_group: the account's.
        most: how many pages are read, one call each.
        own_sas: a SAS of the user's own that may list. Default: one that may do nothing else and lives for an hour is
            signed by the stack's own provider.

    Raises:
        RulesUnreadable: the message says why, and what to do. It takes
            `Microsoft.Storage/storageAccounts/listServiceSas/action` on the account, and one that lets SAS in.
    """
    what = f"what lies under {prefix!r} in container {container!r} of storage account {account!r}"
    where = {"accountName": account, "resourceGroupName": resource_group}
    found = await ask("azure-native:storage:getStorageAccount", where, "pulumi_azure_native")
    if isinstance(found, Refused):
        raise unreadable(what, found, _REMEDIES, "look whether whoever runs this may read the storage account")
    token = own_sas
    if token is None:
        wanted = where | {
            "canonicalizedResource": policy.canonical_resource(account, container),
            "resource": "c",
            "permissions": "l",
            "protocols": "https",
            "sharedAccessExpiryTime": epochs.text(epochs.now() + _SIGNED_FOR),
        }
        signed = await ask("azure-native:storage:listStorageAccountServiceSAS", wanted, "pulumi_azure_native")
        if isinstance(signed, Refused):
            raise unreadable(what, signed, _REMEDIES, f"look whether whoever runs this has {_SIGN}")
        token = str(signed["serviceSasToken"])
    endpoint = str((found.get("primaryEndpoints") or {}).get("blob") or f"https://{account}.blob.core.windows.net/")
    token = sas.with_question_mark(token)
    url = f"{endpoint.rstrip('/')}/{container}{token}"
    try:
        return await asyncio.to_thread(lambda: collect(_pages(url, prefix), most))
    except rest.Unanswered as error:
        said = Refused(str(error))
    otherwise = "look whether the account's firewall lets this machine in, and whether it lets SAS in"
    raise unreadable(what, said, _REMEDIES, otherwise, [token])


def _pages(url: str, prefix: str) -> Iterator[Page]:
    url = f"{url}&restype=container&comp=list&maxresults={PAGE}&prefix={quote(prefix, safe='')}"
    marker = ""
    with rest.Rest(url, os.environ.get(_CA_BUNDLE, "")) as api:
        while True:
            answer = _document(api.get(f"{url}{marker}", {"x-ms-version": _VERSION}))
            following = answer.findtext("NextMarker")
            yield Page(tuple(_stored(answer)), bool(following))
            if not following:
                return
            marker = f"&marker={quote(following, safe='')}"


def _document(body: bytes) -> ET.Element:
    try:
        return ET.fromstring(body)  # noqa: S314 - expat of Python 3.11+ stops entities that blow up
    except ET.ParseError:
        raise rest.Unanswered("what came back is no listing of blobs") from None


def _stored(answer: ET.Element) -> Iterator[Stored]:
    for blob in answer.iterfind("Blobs/Blob"):
        name = blob.findtext("Name") or ""
        said = blob.find("Properties")
        if said is None or name.endswith(("/", f"/{policy.MARKER}")) or said.findtext("ResourceType") == "directory":
            continue
        yield Stored(
            name,
            parsedate_to_datetime(said.findtext("Last-Modified") or ""),
            int(said.findtext("Content-Length") or 0),
            said.findtext("AccessTier") == "Archive",
        )

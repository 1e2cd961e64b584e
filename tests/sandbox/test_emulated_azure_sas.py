from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import HttpResponseError

from lightly_infra.sandbox.azure import sas as signing
from lightly_infra.sandbox.azure.blobs import code_of, service_client
from lightly_infra.sandbox.resource_type import ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.storage.blob import ContainerClient

    from tests.sandbox.emulated_azure import Azure

pytest_plugins = ("tests.sandbox.emulated_azure",)

HERE = "here.png"
ACTIONS: dict[str, Callable[[ContainerClient], object]] = {
    "list": lambda client: list(client.list_blobs()),
    "read": lambda client: client.download_blob(HERE).readall(),
    "create": lambda client: client.upload_blob("new.png", b""),
    "overwrite": lambda client: client.upload_blob(HERE, b"", overwrite=True),
    "delete": lambda client: client.delete_blob(HERE),
}


@pytest.fixture
def container(azure: Azure) -> dict[str, str]:
    """A container with one blob, in an account of its own."""
    made = azure.new_container(azure.new_account())
    with azure.cloud.container_client(made["accountName"], "raw") as client:
        client.upload_blob(HERE, b"")
    return made


def _try(
    azure: Azure, container: dict[str, str], sas: str, action: Callable[[ContainerClient], object], name: str = "raw"
) -> str:
    """Azure's code for how it went; empty when it went well."""
    url = azure.cloud._azurite.account_url(container["accountName"])
    with service_client(url, AzureSasCredential(sas), azure.cloud.environment()["AZURE_CA_BUNDLE"]) as service:
        try:
            action(service.get_container_client(name))
        except HttpResponseError as error:
            return code_of(error) if error.status_code == HTTPStatus.FORBIDDEN else f"not refused: {error}"
    return ""


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        ("l", {"list"}),
        ("r", {"read"}),
        ("c", {"create"}),
        ("w", {"create", "overwrite"}),
        ("d", {"delete"}),
        ("rl", {"list", "read"}),
        ("rcwdl", set(ACTIONS)),
    ],
)
def test_a_permission_allows_what_it_says_and_nothing_else(
    azure: Azure, container: dict[str, str], permission: str, allowed: set[str]
) -> None:
    sas = azure.sas(container, permissions=permission)
    went = {name: _try(azure, container, sas, action) for name, action in ACTIONS.items()}
    assert {name for name, code in went.items() if not code} == allowed
    assert {code for code in went.values() if code} <= {"AuthorizationPermissionMismatch"}


@pytest.mark.parametrize("key", ["key1", "key2"])
def test_a_new_key_ends_what_was_signed_with_the_old_one_and_nothing_else(
    azure: Azure, container: dict[str, str], key: str
) -> None:
    signed = {one: azure.sas(container, keyToSign=one) for one in ("key1", "key2")}
    azure.cloud.regenerate_key(container["accountName"], key)
    for one, sas in signed.items():
        assert _try(azure, container, sas, ACTIONS["list"]) == ("AuthorizationFailure" if one == key else "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sp", "racwdl"),
        ("se", "2099-01-01T00%3A00%3A00.0000000Z"),
        ("st", "2020-01-01T00%3A00%3A00.0000000Z"),
        ("spr", "https,http"),
        ("sr", "d"),
        ("sv", "2024-11-04"),
        ("sig", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D"),
    ],
)
def test_a_sas_that_was_tampered_with_opens_nothing(
    azure: Azure, container: dict[str, str], field: str, value: str
) -> None:
    sas = azure.sas(container)
    parts = sas.removeprefix("?").split("&")
    tampered = "?" + "&".join(f"{field}={value}" if it.startswith(f"{field}=") else it for it in parts)
    assert tampered != sas
    assert _try(azure, container, tampered, ACTIONS["list"]).startswith("Auth")


def test_a_sas_opens_its_own_container_only(azure: Azure, container: dict[str, str]) -> None:
    azure.new_container({key: container[key] for key in ("accountName", "resourceGroupName")}, "other")
    assert not _try(azure, container, azure.sas(container), ACTIONS["list"])
    assert _try(azure, container, azure.sas(container), ACTIONS["list"], name="other") == "AuthorizationFailure"


def test_a_sas_has_its_time(azure: Azure, container: dict[str, str]) -> None:
    assert not _try(azure, container, azure.sas(container), ACTIONS["list"])
    over = azure.sas(container, sharedAccessExpiryTime="2026-01-02T00:00:00Z")
    assert _try(azure, container, over, ACTIONS["list"]) == "AuthorizationFailure"
    early = azure.sas(container, sharedAccessStartTime="2099-01-01", sharedAccessExpiryTime="2099-01-02")
    assert _try(azure, container, early, ACTIONS["list"]) == "AuthorizationFailure"


def test_a_sas_that_its_owner_signs_opens_what_it_says(azure: Azure, container: dict[str, str]) -> None:
    now, name = datetime.now(UTC), container["accountName"]
    for expires, allowed in ((now + timedelta(hours=1), True), (now - timedelta(hours=1), False)):
        sas = azure.cloud.mint_sas(name, "raw", permissions="rl", expires=expires, key="key2")
        assert sas.startswith("?")
        assert (_try(azure, container, sas, ACTIONS["list"]) == "") is allowed


def test_the_same_request_gives_the_same_token_and_says_all_that_was_asked(
    azure: Azure, container: dict[str, str]
) -> None:
    asked = {"sharedAccessExpiryTime": "2099-03-01T00:00:00Z", "sharedAccessStartTime": "2026-01-01T00:00:00Z"}
    sas = azure.sas(container, **asked)
    assert sas == azure.sas(container, **asked)
    said = {name: values[0] for name, values in parse_qs(sas.removeprefix("?")).items()}
    assert len(said.pop("sig")) == 44
    assert said == {
        "sv": "2015-04-05",
        "sr": "c",
        "spr": "https",
        "st": "2026-01-01T00:00:00.0000000Z",
        "se": "2099-03-01T00:00:00.0000000Z",
        "sp": "rl",
    }


def test_without_a_start_azure_writes_the_present_moment_so_that_each_token_is_another(
    azure: Azure, container: dict[str, str]
) -> None:
    asked = {"sharedAccessExpiryTime": "2099-03-01T00:00:00Z", "sharedAccessStartTime": None}
    first, second = azure.sas(container, **asked), azure.sas(container, **asked)
    assert first != second
    started = datetime.fromisoformat(parse_qs(first)["st"][0])
    assert abs(datetime.now(UTC) - started) < timedelta(minutes=1)


def test_the_signature_is_that_of_azures_own_example_of_a_string_to_sign() -> None:
    # By hand from "Create a service SAS": the fields one under the other, signed with the decoded key.
    import base64
    import hashlib
    import hmac

    key = base64.b64encode(b"secret").decode()
    text = "rl\n\n2027-01-01\n/blob/acme/raw\n\n\nhttps\n2015-04-05\n\n\n\n\n"
    digest = base64.b64encode(hmac.new(b"secret", text.encode(), hashlib.sha256).digest()).decode()
    token = signing.service_sas("acme", "raw", key, permissions="rl", expiry="2027-01-01", protocol="https")
    assert parse_qs(token)["sig"] == [digest]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"resource": "d"}, "signedResource"),
        ({"resource": "b"}, "signedResource"),
        ({"canonicalizedResource": "/blob/somebody/raw"}, "canonicalizedResource"),
        ({"canonicalizedResource": "/blob/raw"}, "canonicalizedResource"),
        ({"permissions": "lr"}, "signedPermission"),
        ({"permissions": "rlz"}, "signedPermission"),
        ({"permissions": None}, "signedPermission"),
        ({"protocols": "http"}, "signedProtocol"),
        ({"keyToSign": "key3"}, "keyToSign"),
        ({"sharedAccessExpiryTime": None}, "signedExpiry"),
        ({"sharedAccessExpiryTime": "tomorrow"}, "signedExpiry"),
        ({"sharedAccessExpiryTime": "2027-13-01"}, "signedExpiry"),
        ({"sharedAccessStartTime": "now"}, "signedStart"),
    ],
)
def test_what_azure_does_not_sign_is_refused_by_name(
    azure: Azure, container: dict[str, str], change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ResourceError, match=rf"Values for request parameters are invalid: {named}\.") as raised:
        azure.sas(container, **change)
    assert str(raised.value).startswith('Status=400 Code="InvalidValuesForRequestParameters" Message="')


def test_an_account_without_shared_keys_signs_nothing(azure: Azure) -> None:
    container = azure.new_container(azure.new_account(allowSharedKeyAccess=False))
    with pytest.raises(ResourceError, match=r'Code="KeyBasedAuthenticationNotPermitted" Message="Key based auth'):
        azure.sas(container)


def test_an_account_that_stops_letting_shared_keys_in_ends_what_was_signed(
    azure: Azure, container: dict[str, str]
) -> None:
    sas = azure.sas(container)
    assert not _try(azure, container, sas, ACTIONS["list"])
    group, name = container["resourceGroupName"], container["accountName"]
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    path = f"/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    azure.arm.put(path, json=body | {"properties": {"allowSharedKeyAccess": False}})
    assert _try(azure, container, sas, ACTIONS["list"]) == "AuthorizationFailure"

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError

from lightly_infra.sandbox.azure.blobs import service_client

if TYPE_CHECKING:
    import httpx

    from tests.sandbox.emulated_azure import Azure

pytest_plugins = ("tests.sandbox.emulated_azure",)

ACCOUNT: dict[str, Any] = {"location": "West Europe", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}


def _refused(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


@pytest.fixture
def group(azure: Azure) -> str:
    """The path of a new resource group."""
    path = f"/resourceGroups/{azure.new_name()}"
    assert azure.arm.put(path, json={"location": "westeurope"}).status_code == 200
    return path


def _account(group: str, name: str) -> str:
    return f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"


@pytest.fixture
def account(azure: Azure, group: str) -> str:
    """The path of a new storage account."""
    path = _account(group, azure.new_name())
    assert azure.arm.put(path, json=ACCOUNT).status_code == 200
    return path


def test_nothing_is_told_without_the_token(azure: Azure, group: str) -> None:
    for headers, code in (({"Authorization": ""}, "AuthenticationFailed"), ({"Authorization": "Bearer x"}, "InvalidA")):
        status, said, _ = _refused(azure.arm.get(group, headers=headers))
        assert status == 401
        assert said.startswith(code)


def test_requests_name_a_version_and_the_one_subscription(azure: Azure, group: str) -> None:
    assert _refused(azure.arm.get(group, params={"api-version": ""}))[:2] == (400, "MissingApiVersionParameter")
    base = azure.arm.base_url.copy_with(path="/subscriptions/11111111-1111-1111-1111-111111111111")
    answer = azure.arm.get(f"{base}{group}", params={"api-version": "2024-01-01"})
    assert _refused(answer)[:2] == (404, "SubscriptionNotFound")


def test_what_it_does_not_have_it_refuses_by_path(azure: Azure, group: str) -> None:
    status, code, message = _refused(azure.arm.get(f"{group}/providers/Microsoft.Compute/virtualMachines"))
    assert (status, code) == (404, "NotEmulated")
    assert "Microsoft.Compute" in message


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_body_must_be_an_object(azure: Azure, group: str, content: bytes) -> None:
    assert _refused(azure.arm.put(group, content=content))[:2] == (400, "InvalidRequestContent")


def test_a_resource_group_is_made_tagged_and_found_without_case(azure: Azure, group: str) -> None:
    tagged = azure.arm.put(group, json={"location": "West Europe", "tags": {"team": "vision"}}).json()
    assert tagged["id"].endswith(group)
    assert (tagged["location"], tagged["tags"]) == ("westeurope", {"team": "vision"})
    assert azure.arm.get(group.replace("acme", "ACME")).json() == tagged


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("ends-with-a-dot.", {"location": "westeurope"}, "InvalidResourceGroup"),
        ("x" * 91, {"location": "westeurope"}, "InvalidResourceGroup"),
        ("no-location", {}, "LocationRequired"),
        ("no-such-location", {"location": "west-europe!"}, "LocationNotAvailableForResourceType"),
    ],
)
def test_bad_resource_groups_are_refused(azure: Azure, name: str, body: dict[str, str], code: str) -> None:
    assert _refused(azure.arm.put(f"/resourceGroups/{name}", json=body))[:2] == (400, code)


def test_a_resource_group_does_not_move(azure: Azure, group: str) -> None:
    answer = azure.arm.put(group, json={"location": "eastus"})
    assert _refused(answer)[:2] == (409, "InvalidResourceGroupLocation")


def test_deleting_a_resource_group_deletes_all_in_it(azure: Azure) -> None:
    named = azure.new_account()
    azure.new_container(named)
    group = f"/resourceGroups/{named['resourceGroupName']}"
    assert azure.arm.delete(group).status_code == 200
    assert _refused(azure.arm.get(group))[:2] == (404, "ResourceGroupNotFound")
    # The name is free again, and nothing of the old containers is left.
    azure.arm.put(group, json={"location": "westeurope"})
    azure.arm.put(_account(group, named["accountName"]), json=ACCOUNT)
    container = f"{_account(group, named['accountName'])}/blobServices/default/containers/raw"
    assert _refused(azure.arm.get(container))[:2] == (404, "ContainerNotFound")


@pytest.mark.parametrize("name", ["ab", "x" * 25, "acme-raw", "Acme", "acme_raw", "acmé"])
def test_the_names_of_accounts_are_short_lower_case_and_alphanumeric(azure: Azure, group: str, name: str) -> None:
    status, code, message = _refused(azure.arm.put(_account(group, name), json=ACCOUNT))
    assert (status, code) == (400, "AccountNameInvalid")
    assert message.startswith(f"{name} is not a valid storage account name. Storage account name must be between 3 ")


def test_a_name_that_somebody_else_in_the_world_has_is_taken(azure: Azure, group: str) -> None:
    name = azure.new_name()
    azure.cloud.take_account_name(name)
    refused = _refused(azure.arm.put(_account(group, name), json=ACCOUNT))
    assert refused == (409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")


def test_an_account_is_in_one_resource_group(azure: Azure, account: str) -> None:
    other, name = azure.new_account(), account.rpartition("/")[2]
    elsewhere = _account(f"/resourceGroups/{other['resourceGroupName']}", name)
    assert _refused(azure.arm.put(elsewhere, json=ACCOUNT))[:2] == (409, "StorageAccountInAnotherResourceGroup")
    assert _refused(azure.arm.get(elsewhere))[:2] == (404, "ResourceNotFound")
    assert _refused(azure.arm.get(_account("/resourceGroups/none", name)))[:2] == (404, "ResourceGroupNotFound")


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"kind": "StorageV3"}, "InvalidValuesForRequestParameters", "kind"),
        ({"sku": {"name": "Standard_SSD"}}, "InvalidValuesForRequestParameters", "sku"),
        ({"sku": {"name": "Premium_GRS"}}, "InvalidValuesForRequestParameters", "sku"),
        ({"sku": None}, "InvalidValuesForRequestParameters", "sku"),
        ({"properties": {"minimumTlsVersion": "TLS1_9"}}, "InvalidValuesForRequestParameters", "minimumTlsVersion"),
        ({"properties": {"isSftpEnabled": True}}, "NotEmulated", "isSftpEnabled"),
        ({"location": ""}, "LocationRequired", "location"),
    ],
)
def test_bad_accounts_are_refused(azure: Azure, group: str, change: dict[str, Any], code: str, named: str) -> None:
    _, said, message = _refused(azure.arm.put(_account(group, azure.new_name()), json=ACCOUNT | change))
    assert said == code
    assert named in message


def test_what_an_update_does_not_say_stays(azure: Azure, account: str) -> None:
    assert "allowSharedKeyAccess" not in azure.arm.get(account).json()["properties"]
    said = {"minimumTlsVersion": "TLS1_2", "allowSharedKeyAccess": True}
    azure.arm.put(account, json=ACCOUNT | {"properties": said})
    updated = azure.arm.put(account, json=ACCOUNT | {"tags": {"a": "b"}}).json()
    assert updated["tags"] == {"a": "b"}
    assert said.items() <= updated["properties"].items()


def test_an_account_neither_moves_nor_gets_directories_later(azure: Azure, account: str) -> None:
    moved = azure.arm.put(account, json=ACCOUNT | {"location": "eastus"})
    assert _refused(moved)[:2] == (409, "InvalidResourceLocation")
    answer = azure.arm.put(account, json=ACCOUNT | {"properties": {"isHnsEnabled": True}})
    assert _refused(answer)[:2] == (409, "AccountPropertyCannotBeUpdated")


def test_an_account_has_two_keys_and_each_can_be_made_anew(azure: Azure, account: str) -> None:
    before = {key["keyName"]: key["value"] for key in azure.arm.post(f"{account}/listKeys").json()["keys"]}
    answer = azure.arm.post(f"{account}/regenerateKey", json={"keyName": "key2"}).json()
    after = {key["keyName"]: key["value"] for key in answer["keys"]}
    assert before["key1"] == after["key1"]
    assert before["key2"] != after["key2"]
    answer = azure.arm.post(f"{account}/regenerateKey", json={"keyName": "key3"})
    assert _refused(answer)[2] == "Values for request parameters are invalid: keyName."


def test_keys_of_an_account_that_lets_none_in_open_nothing_while_it_goes_on_working(azure: Azure) -> None:
    named = azure.new_account(allowSharedKeyAccess=False)
    account = _account(f"/resourceGroups/{named['resourceGroupName']}", named["accountName"])
    url = azure.arm.get(account).json()["properties"]["primaryEndpoints"]["blob"]
    for key in azure.arm.post(f"{account}/listKeys").json()["keys"]:
        with (
            service_client(url, key["value"], azure.cloud.environment()["AZURE_CA_BUNDLE"]) as service,
            pytest.raises(HttpResponseError),
        ):
            list(service.list_containers())
    container = f"{account}/blobServices/default/containers/raw"
    assert azure.arm.put(container, json={}).status_code == 200
    assert azure.arm.delete(container).status_code == 200
    assert azure.arm.delete(account).status_code == 200
    assert azure.arm.delete(account).status_code == 200, "Azure says nothing of an account that is gone"


@pytest.mark.parametrize("name", ["ab", "x" * 64, "Raw", "raw--x", "-raw", "raw-", "raw_x"])
def test_bad_names_of_containers_are_refused(azure: Azure, account: str, name: str) -> None:
    answer = azure.arm.put(f"{account}/blobServices/default/containers/{name}", json={})
    assert _refused(answer)[:2] == (400, "InvalidResourceName")


def test_a_container_can_not_be_public(azure: Azure, account: str) -> None:
    container = f"{account}/blobServices/default/containers/raw"
    answer = azure.arm.put(container, json={"properties": {"publicAccess": "Blob"}})
    assert _refused(answer)[:2] == (409, "PublicAccessNotPermitted")


def test_a_container_is_there_for_those_with_a_key_and_goes_with_all_its_blobs(azure: Azure, account: str) -> None:
    container, name = f"{account}/blobServices/default/containers/raw", account.rpartition("/")[2]
    made = azure.arm.put(container, json={"properties": {"metadata": {"a": "b"}}}).json()
    assert made["properties"]["metadata"] == {"a": "b"}
    assert azure.arm.put(container, json={}).json()["properties"]["metadata"] == {}
    with azure.cloud.container_client(name, "raw") as client:
        client.upload_blob("precious.png", b"")
    assert azure.arm.delete(container).status_code == 200
    assert _refused(azure.arm.get(container))[:2] == (404, "ContainerNotFound")


@pytest.mark.parametrize("days", [None, 0, 366])
def test_soft_delete_lasts_one_to_365_days(azure: Azure, account: str, days: int | None) -> None:
    body = {"properties": {"deleteRetentionPolicy": {"enabled": True, "days": days}}}
    assert _refused(azure.arm.put(f"{account}/blobServices/default", json=body))[:2] == (400, "InvalidXmlNodeValue")


def test_versions_do_not_go_with_directories(azure: Azure) -> None:
    named = azure.new_account(isHnsEnabled=True)
    account = _account(f"/resourceGroups/{named['resourceGroupName']}", named["accountName"])
    answer = azure.arm.put(f"{account}/blobServices/default", json={"properties": {"isVersioningEnabled": True}})
    assert _refused(answer)[:2] == (409, "FeatureNotSupportedForAccount")


def test_lifecycle_rules_are_one_document_which_may_be_absent(azure: Azure, account: str) -> None:
    path = f"{account}/managementPolicies/default"
    assert _refused(azure.arm.get(path))[:2] == (404, "ManagementPolicyNotFound")
    nothing: tuple[dict[str, Any], ...] = ({}, {"policy": {"rules": []}})
    for empty in nothing:
        assert _refused(azure.arm.put(path, json={"properties": empty}))[:2] == (400, "InvalidRequestPropertyValue")
    definition = {
        "filters": {"blobTypes": ["blockBlob"]},
        "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 30}}},
    }
    policy = {"rules": [{"name": "expire", "type": "Lifecycle", "definition": definition}]}
    azure.arm.put(path, json={"properties": {"policy": policy}})
    assert azure.arm.get(path).json()["properties"]["policy"] == policy
    azure.arm.delete(path)
    assert azure.arm.get(path).status_code == 404


def test_many_may_ask_at_once(azure: Azure, group: str) -> None:
    names = [azure.new_name() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda name: azure.arm.put(_account(group, name), json=ACCOUNT).status_code, names)
        assert set(made) == {200}
        keys = pool.map(lambda name: azure.arm.post(f"{_account(group, name)}/listKeys").json()["keys"], names)
        assert len({key["value"] for pair in keys for key in pair}) == 16

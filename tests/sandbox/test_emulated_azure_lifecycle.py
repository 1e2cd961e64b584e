"""Management policies of emulated storage accounts: what Azure refuses of them, and how its provider tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds.azure import policy
from lightly_infra.retention import Rule
from lightly_infra.sandbox.resource_type import ResourceError

if TYPE_CHECKING:
    from tests.sandbox.emulated_azure import Azure

pytest_plugins = ("tests.sandbox.emulated_azure",)

POLICY, GET_POLICY = "azure-native:storage:ManagementPolicy", "azure-native:storage:getManagementPolicy"
DAYS = "daysAfterModificationGreaterThan"


def rule(name: str = "expire", *, delete: Any = None, prefixes: Any = None, **changes: Any) -> dict[str, Any]:
    actions = {"baseBlob": {"delete": {DAYS: 30} if delete is None else delete}}
    filters = {"blobTypes": ["blockBlob"]} | ({"prefixMatch": prefixes} if prefixes is not None else {})
    return {"name": name, "type": "Lifecycle", "definition": {"actions": actions, "filters": filters}} | changes


def put(azure: Azure, account: dict[str, str], *rules: Any) -> Any:
    group, name = account["resourceGroupName"], account["accountName"]
    path = f"/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}/managementPolicies/default"
    return azure.arm.put(path, json={"properties": {"policy": {"rules": list(rules)}}})


@pytest.fixture
def account(azure: Azure) -> dict[str, str]:
    return azure.new_account()


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([rule(str(number)) for number in range(101)], "100 rules are the most"),
        ([rule(), rule()], "Two are called 'expire'"),
        ([rule("expire_raw")], "A name has 1 to 256 letters, digits and hyphens"),
        ([rule(type="Other")], "The type must be 'Lifecycle'"),
        ([rule(definition={"actions": {"baseBlob": {"delete": {DAYS: 30}}}})], "The blobTypes must be"),
        ([rule(definition={"filters": {"blobTypes": ["blockBlob"]}})], "There must be an action"),
        ([rule(prefixes=[f"raw/{number}/" for number in range(11)])], "10 prefixes are the most"),
        ([rule(prefixes=["/raw"])], "The prefix '/raw' does not begin with a container's name"),
        ([rule(delete={})], "baseBlob is deleted by one of"),
        ([rule(delete={DAYS: 30, "daysAfterCreationGreaterThan": 30})], "baseBlob is deleted by one of"),
        ([rule(delete={DAYS: -1})], "must be a whole number, 0 or more, and is -1"),
        ([rule(delete={DAYS: 1.5})], "must be a whole number, 0 or more, and is 1.5"),
        ([rule(delete={DAYS: "30"})], "must be a whole number, 0 or more, and is '30'"),
    ],
)
def test_what_azure_refuses_is_refused(
    azure: Azure, account: dict[str, str], rules: list[dict[str, Any]], reason: str
) -> None:
    answer = put(azure, account, *rules)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestPropertyValue")
    assert reason in answer.json()["error"]["message"]


def test_what_azure_takes_is_taken(azure: Azure, account: dict[str, str]) -> None:
    older = {"delete": {"daysAfterCreationGreaterThan": 10}}
    cooler = {"tierToCool": {DAYS: 10}, "enableAutoTierToHotFromCool": True}
    filters = {"blobTypes": ["blockBlob", "appendBlob"], "prefixMatch": ["raw", "raw-1/a b/"]}
    definition = {"filters": filters, "actions": {"baseBlob": cooler, "version": older, "snapshot": older}}
    many = [rule(str(number), delete={DAYS: 0}) for number in range(99)]
    assert put(azure, account, rule(definition=definition), *many).status_code == 200


def test_the_document_has_one_name_only(azure: Azure, account: dict[str, str]) -> None:
    group, name = account["resourceGroupName"], account["accountName"]
    path = f"/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}/managementPolicies/mine"
    assert azure.arm.put(path, json={"properties": {"policy": {"rules": [rule()]}}}).status_code == 404


def test_the_provider_looks_up_a_policy_as_it_is_made_and_changed(azure: Azure, account: dict[str, str]) -> None:
    named = account | {"managementPolicyName": "default"}
    inputs = named | {"policy": {"rules": [rule(prefixes=["raw/a/"])]}}
    made = azure.driver.create(POLICY, inputs)
    found = azure.driver.invoke(GET_POLICY, named)
    assert found["name"] == "default"
    assert found["id"] == made.id
    assert policy.rules(found["policy"]["rules"], "raw") == [Rule("expire", "a/", 30)]
    later = named | {"policy": {"rules": [rule(prefixes=["raw/a/"], delete={DAYS: 60})]}}
    changes = azure.driver.diff(made, later)
    assert (list(changes.diffs), list(changes.replaces)) == (["policy"], [])
    azure.driver.update(made, later)
    assert policy.rules(azure.driver.invoke(GET_POLICY, named)["policy"]["rules"], "raw") == [Rule("expire", "a/", 60)]


def test_where_there_is_none_the_look_up_fails_as_the_real_one(azure: Azure, account: dict[str, str]) -> None:
    words = f"ManagementPolicyNotFound.*No ManagementPolicy found for account {account['accountName']}"
    with pytest.raises(ResourceError, match=words):
        azure.driver.invoke(GET_POLICY, account | {"managementPolicyName": "default"})
    with pytest.raises(ResourceError, match="ResourceNotFound"):
        azure.driver.invoke(GET_POLICY, account | {"accountName": "nobodys", "managementPolicyName": "default"})
    with pytest.raises(ResourceError, match="HttpResourceNotFound"):
        azure.driver.invoke(GET_POLICY, account | {"managementPolicyName": "mine"})

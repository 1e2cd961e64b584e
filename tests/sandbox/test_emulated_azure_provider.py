from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as messages

from lightly_infra.sandbox.azure.provider import AzureNativeProvider
from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.engine.values import UNKNOWN, from_struct, to_struct
from lightly_infra.sandbox.process import free_port
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_provider import Driver, Made, Refused

if TYPE_CHECKING:
    from tests.sandbox.emulated_azure import Azure

pytest_plugins = ("tests.sandbox.emulated_azure",)

GROUP = "azure-native:resources:ResourceGroup"
ACCOUNT = "azure-native:storage:StorageAccount"
CONTAINER = "azure-native:storage:BlobContainer"
BLOB = "azure-native:storage:Blob"
SERVICE = "azure-native:storage:BlobServiceProperties"
POLICY = "azure-native:storage:ManagementPolicy"
KEYS = "azure-native:storage:listStorageAccountKeys"
SAS = "azure-native:storage:listStorageAccountServiceSAS"

STRING_ASSET = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": "Hello!", "hash": "1f"}
RULES = {
    "rules": [
        {
            "name": "expire",
            "enabled": True,
            "type": "Lifecycle",
            "definition": {
                "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 30}}},
                "filters": {"blobTypes": ["blockBlob"], "prefixMatch": ["raw/images/"]},
            },
        }
    ]
}


@pytest.fixture
def account(azure: Azure) -> dict[str, str]:
    return azure.new_account()


def _inputs(kind: str, account: dict[str, Any], name: str) -> dict[str, Any]:
    """Inputs as our components write them."""
    return {
        GROUP: {"location": "westeurope", "tags": {"team": "vision"}},
        ACCOUNT: {
            "resourceGroupName": account["resourceGroupName"],
            "accountName": name,
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS"},
            "minimumTlsVersion": "TLS1_2",
            "enableHttpsTrafficOnly": True,
            "allowBlobPublicAccess": False,
            "allowCrossTenantReplication": False,
            "allowSharedKeyAccess": True,
            "isHnsEnabled": False,
            "tags": {"team": "vision"},
        },
        CONTAINER: {**account, "containerName": "raw", "publicAccess": "None", "metadata": {"team": "vision"}},
        BLOB: {
            **account,
            "containerName": "given",
            "blobName": "street-scenes/.lightly-infra",
            "contentType": "text/plain",
            "metadata": {"team": "vision"},
            "source": STRING_ASSET,
        },
        SERVICE: {
            **account,
            "blobServicesName": "default",
            "deleteRetentionPolicy": {"enabled": True, "days": 7},
            "containerDeleteRetentionPolicy": {"enabled": True, "days": 7},
            "isVersioningEnabled": True,
        },
        POLICY: {**account, "managementPolicyName": "default", "policy": RULES},
    }[kind]


@pytest.mark.parametrize("kind", [GROUP, ACCOUNT, CONTAINER, BLOB, SERVICE, POLICY])
def test_each_type_is_made_found_unchanged_imported_and_deleted(
    azure: Azure, account: dict[str, str], kind: str
) -> None:
    azure.new_container(account, "given")
    inputs = _inputs(kind, account, azure.new_name())
    made = azure.driver.create(kind, inputs, name="acme")
    assert made.id.startswith("/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/")
    assert made.outputs["id"] == made.id
    assert not azure.driver.diff(made, inputs).diffs
    refreshed = azure.driver.refresh(made)
    assert refreshed is not None
    assert {key: refreshed.outputs.get(key) for key in made.outputs} == made.outputs
    assert not azure.driver.diff(refreshed, inputs).diffs
    imported = azure.driver.refresh(Made(made.urn, made.id, {}, {}))
    assert imported is not None
    assert {key: value for key, value in inputs.items() if key != "source"}.items() <= imported.outputs.items()
    azure.driver.delete(made)
    if kind == SERVICE:
        reset = azure.driver.refresh(made)
        assert reset is not None
        assert reset.outputs["deleteRetentionPolicy"] == {"enabled": False}
    else:
        assert azure.driver.refresh(made) is None
        azure.driver.delete(made)


@pytest.mark.parametrize("kind", [GROUP, ACCOUNT, CONTAINER, POLICY])
def test_nothing_is_taken_over_that_is_there_already(azure: Azure, account: dict[str, str], kind: str) -> None:
    inputs = _inputs(kind, account, azure.new_name())
    if kind == GROUP:
        inputs["resourceGroupName"] = azure.new_name()
    made = azure.driver.create(kind, inputs)
    with pytest.raises(ResourceError, match=f"cannot create already existing resource '{made.id}'"):
        azure.driver.create(kind, inputs)


@pytest.mark.parametrize(
    ("kind", "changes", "replaces"),
    [
        (GROUP, {"location": "eastus"}, True),
        (GROUP, {"tags": {"team": "other"}}, False),
        (ACCOUNT, {"accountName": "acmeother"}, True),
        (ACCOUNT, {"resourceGroupName": "other"}, True),
        (ACCOUNT, {"location": "eastus"}, True),
        (ACCOUNT, {"isHnsEnabled": True}, True),
        (ACCOUNT, {"allowSharedKeyAccess": False}, False),
        (ACCOUNT, {"sku": {"name": "Standard_ZRS"}}, False),
        (ACCOUNT, {"tags": {}}, False),
        (CONTAINER, {"containerName": "other"}, True),
        (CONTAINER, {"metadata": {"a": "b"}}, False),
        (BLOB, {"blobName": "other"}, True),
        (BLOB, {"source": STRING_ASSET | {"text": "Bye!", "hash": "2e"}}, True),
        (BLOB, {"contentType": "image/png", "metadata": {"a": "b"}}, False),
        (SERVICE, {"deleteRetentionPolicy": {"enabled": True, "days": 30}}, False),
        (POLICY, {"policy": {"rules": [RULES["rules"][0] | {"enabled": False}]}}, False),
    ],
)
def test_a_change_is_made_in_place_or_by_replacing(
    azure: Azure, account: dict[str, str], kind: str, changes: dict[str, Any], replaces: bool
) -> None:
    azure.new_container(account, "given")
    inputs = _inputs(kind, account, azure.new_name())
    made = azure.driver.create(kind, inputs)
    diff = azure.driver.diff(made, inputs | changes)
    assert list(diff.diffs) == list(changes)
    assert list(diff.replaces) == (list(changes) if replaces else [])
    if not replaces:
        updated = azure.driver.update(made, inputs | changes)
        assert not azure.driver.drifted(updated, inputs | changes)
        refreshed = azure.driver.refresh(updated)
        assert refreshed is not None
        assert {key: refreshed.outputs[key] for key in changes} == changes


def test_what_somebody_changed_by_hand_is_found(azure: Azure, account: dict[str, str]) -> None:
    inputs = _inputs(SERVICE, account, "")
    made = azure.driver.create(SERVICE, inputs)
    path = made.id.partition("/resourceGroups/")[2]
    azure.arm.put(f"/resourceGroups/{path}", json={"properties": {}})
    assert azure.driver.drifted(made, inputs) == [
        "containerDeleteRetentionPolicy",
        "deleteRetentionPolicy",
        "isVersioningEnabled",
    ]


def test_names_are_made_as_azure_native_makes_them(azure: Azure, account: dict[str, str]) -> None:
    def name(kind: str, key: str, logical: str = "acme", seed: bytes = b"") -> Any:
        inputs = _inputs(kind, account, "")
        inputs.pop(key, None)
        request = messages.CheckRequest(urn=azure.driver.urn(kind, logical), news=to_struct(inputs), randomSeed=seed)
        return from_struct(azure.driver.provider.Check(request, None).inputs)[key]

    for kind, key in ((GROUP, "resourceGroupName"), (ACCOUNT, "accountName"), (CONTAINER, "containerName")):
        made = name(kind, key)
        assert made[:4] == "acme"
        assert len(made) == 12
        assert set(made[4:]) <= set("0123456789abcdef")
        assert name(kind, key) != made
        assert name(kind, key, seed=b"1") == name(kind, key, seed=b"1") != name(kind, key, seed=b"2")
    assert name(BLOB, "blobName", "a/marker") == "a/marker"


def test_an_automatic_name_of_an_account_is_not_made_to_fit(azure: Azure, account: dict[str, str]) -> None:
    inputs = _inputs(ACCOUNT, account, "")
    del inputs["accountName"]
    with pytest.raises(ResourceError, match=r'Code="AccountNameInvalid" Message="street-scenes[0-9a-f]{8} is not'):
        azure.driver.create(ACCOUNT, inputs, name="street-scenes")
    with pytest.raises(Refused, match=r"accountName: .* has 25 characters; 24 is the most"):
        azure.driver.check(ACCOUNT, inputs, name="x" * 17)


def test_an_account_is_where_its_group_is_unless_the_program_or_the_provider_says(azure: Azure) -> None:
    group = azure.driver.create(GROUP, {"location": "East US", "resourceGroupName": azure.new_name()})
    assert group.outputs["location"] == "eastus"
    inputs = {"resourceGroupName": group.outputs["name"], "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    without = Driver(AzureNativeProvider(azure.cloud.environment()))
    assert without.create(ACCOUNT, inputs, name="acme").outputs["location"] == "eastus"
    assert azure.driver.create(ACCOUNT, inputs, name="acme").outputs["location"] == "westeurope"
    said = azure.driver.create(ACCOUNT, inputs | {"location": "North Europe"}, name="acme")
    assert said.outputs["location"] == "northeurope"
    with pytest.raises(Refused, match="location: is required"):
        without.check(GROUP, {})
    with pytest.raises(ResourceError, match="LocationNotAvailableForResourceType"):
        without.create(GROUP, {"location": "no-such-place!"}, name="acme")


def test_unknowns_pass_the_check(azure: Azure) -> None:
    inputs = {"resourceGroupName": UNKNOWN, "kind": "StorageV2", "sku": {"name": UNKNOWN}, "location": UNKNOWN}
    checked = azure.driver.check(ACCOUNT, inputs, name="acme")
    assert checked["location"] is UNKNOWN
    unknown = {"accountName": UNKNOWN, "resourceGroupName": UNKNOWN}
    assert azure.driver.check(BLOB, _inputs(BLOB, unknown, ""))["accountName"] is UNKNOWN


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (ACCOUNT, {"isSftpEnabled": True}, "isSftpEnabled: the emulated .* does not support this input"),
        (ACCOUNT, {"sku": {"name": "Standard_LRS", "tier": "x"}}, r"sku: .* does not support sku\.tier"),
        (ACCOUNT, {"kind": None}, "kind: is required"),
        (CONTAINER, {"publicAccess": "Blob"}, "publicAccess: 'Blob': the emulated account permits 'None' only"),
        (BLOB, {"type": "Append"}, "type: 'Append': the emulated Blob supports 'Block' only"),
        (BLOB, {"source": "Hello!"}, "source: is no asset"),
        (BLOB, {"source": STRING_ASSET | {"uri": "https://x"}}, "source: .* give a StringAsset or a FileAsset"),
        (BLOB, {"source": STRING_ASSET | {"path": "/nonexistent/blob"}}, "source: .*No such file"),
        (SERVICE, {"blobServicesName": "other"}, "blobServicesName: 'other' is not 'default'"),
        (SERVICE, {"blobServicesName": None}, "blobServicesName: is required"),
        (SERVICE, {"deleteRetentionPolicy": {"allowPermanentDelete": True}}, r"deleteRetentionPolicy\.allowPermanent"),
        (POLICY, {"managementPolicyName": "mine"}, "managementPolicyName: 'mine' is not 'default'"),
        (
            POLICY,
            {"policy": {"rules": [{"definition": {"actions": {"snapshot": {}}}}]}},
            r"policy\.rules\[0\]\.definition\.actions\.snapshot",
        ),
    ],
)
def test_what_is_not_emulated_is_refused_by_name(azure: Azure, kind: str, changes: dict[str, Any], said: str) -> None:
    inputs = _inputs(kind, {"resourceGroupName": "g", "accountName": "acme"}, "acme") | changes
    with pytest.raises(Refused, match=said):
        azure.driver.check(kind, inputs)


def test_a_blob_holds_its_text_or_nothing(azure: Azure, account: dict[str, str]) -> None:
    inputs = _inputs(BLOB, azure.new_container(account, "given"), "")
    azure.driver.create(BLOB, inputs)
    empty = azure.driver.create(BLOB, inputs | {"blobName": "empty", "source": None, "contentType": None})
    assert empty.outputs["contentType"] == "application/octet-stream"
    with azure.cloud.container_client(account["accountName"], "given") as client:
        assert client.download_blob(inputs["blobName"]).readall() == b"Hello!"
        assert client.download_blob("empty").readall() == b""


def test_a_blob_where_there_is_no_container_says_so(azure: Azure, account: dict[str, str]) -> None:
    with pytest.raises(ResourceError, match=r"Blob 'resource': Status=404 Code=\"ContainerNotFound\""):
        azure.driver.create(BLOB, _inputs(BLOB, account, ""))


def test_deleting_a_container_an_account_or_a_group_deletes_what_others_put_there(
    azure: Azure, account: dict[str, str]
) -> None:
    # As in Azure: nothing has to be empty first. Whoever makes these must see to it that they stay.
    container = azure.driver.create(CONTAINER, _inputs(CONTAINER, account, ""))
    with azure.cloud.container_client(account["accountName"], "raw") as client:
        client.upload_blob("precious.png", b"")
    azure.driver.delete(container)
    with azure.cloud.container_client(account["accountName"], "raw") as client:
        assert not client.exists()


def test_an_account_tells_whether_shared_keys_are_let_in(azure: Azure, account: dict[str, str]) -> None:
    token = "azure-native:storage:getStorageAccount"
    assert "allowSharedKeyAccess" not in azure.driver.invoke(token, account)
    closed = azure.new_account(allowSharedKeyAccess=False)
    found = azure.driver.invoke(token, closed)
    assert found["allowSharedKeyAccess"] is False
    assert found["id"].endswith(closed["accountName"])
    with pytest.raises(ResourceError, match=r'Code="ResourceNotFound" Message="The Resource \'Microsoft\.Storage'):
        azure.driver.invoke(token, account | {"accountName": "none"})


@pytest.mark.parametrize("has_directories", [True, False])
def test_an_account_tells_whether_it_has_real_directories(azure: Azure, has_directories: bool) -> None:
    account = azure.new_account(isHnsEnabled=has_directories)
    found = azure.driver.invoke("azure-native:storage:getStorageAccount", account)
    assert found["isHnsEnabled"] is has_directories


def test_keys_and_sas_come_unmarked_as_from_the_real_provider(azure: Azure, account: dict[str, str]) -> None:
    keys = azure.driver.invoke(KEYS, account)["keys"]
    assert [key["keyName"] for key in keys] == ["key1", "key2"]
    assert not any(isinstance(key["value"], Secret) for key in keys)
    assert isinstance(azure.sas(azure.new_container(account)), str)


def test_functions_and_arguments_that_are_not_emulated_are_refused_by_name(azure: Azure) -> None:
    with pytest.raises(ResourceError, match="no function 'azure-native:storage:listStorageAccountSAS'"):
        azure.driver.invoke("azure-native:storage:listStorageAccountSAS")
    with pytest.raises(ResourceError, match="does not support the arguments iPAddressOrRange, identifier"):
        azure.driver.invoke(SAS, {"identifier": "x", "iPAddressOrRange": "1.2.3.4"})
    with pytest.raises(ResourceError, match="has no resource type 'azure-native:storage:Queue'"):
        azure.driver.create("azure-native:storage:Queue", {})


def test_a_real_stacks_configuration_can_stay(azure: Azure) -> None:
    provider = AzureNativeProvider(azure.cloud.environment())

    def failures(config: dict[str, Any]) -> list[str]:
        answer = provider.CheckConfig(messages.CheckRequest(news=to_struct(config)), None)
        return [one.property for one in answer.failures]

    assert not failures({"location": "westeurope", "subscriptionId": "1", "useOidc": "true", "version": "3.29.0"})
    assert failures({"msiEndpoint": "http://x"}) == ["msiEndpoint"]


def test_the_plugin_is_as_new_as_the_sdk(azure: Azure) -> None:
    info = azure.driver.provider.GetPluginInfo(empty_pb2.Empty(), None)
    assert info.version == metadata.version("pulumi-azure-native")


def test_a_provider_without_an_endpoint_never_talks_to_the_real_azure() -> None:
    with pytest.raises(ValueError, match="ARM_ENDPOINT is not set"):
        AzureNativeProvider({})


def test_an_emulator_that_is_gone_is_named_without_a_traceback() -> None:
    driver = Driver(AzureNativeProvider({"ARM_ENDPOINT": f"http://127.0.0.1:{free_port()}"}))
    with pytest.raises(ResourceError, match="the emulated Azure did not take the request: "):
        driver.create(GROUP, {"location": "westeurope"}, name="acme")


def test_the_provider_starts_without_the_clients_and_servers_of_blobs() -> None:
    script = """
        import sys
        import lightly_infra.sandbox.azure.provider
        print(sorted({"azure.storage.blob", "starlette", "uvicorn", "trustme"} & set(sys.modules)))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    script = """
        import importlib.util
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "platformdirs" else found(name, *rest)
        try:
            import lightly_infra.sandbox.azure.provider
        except ImportError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "'platformdirs'" in run.stdout
    assert "pip install 'lightly-infra[sandbox]'" in run.stdout

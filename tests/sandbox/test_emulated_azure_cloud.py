from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.permissions import Operation, Purpose
from lightly_infra.sandbox.azure.cloud import AzureCloud
from lightly_infra.sandbox.azure.probe import EXPIRED, FOR_EVER, USE, WIDENED, WITHOUT_TLS
from lightly_infra.sandbox.cloud import CannotSeed, Source
from lightly_infra.sandbox.probe import ELSEWHERE, INSIDE
from lightly_infra.spec.azure import AzureSpec

if TYPE_CHECKING:
    from lightly_infra.sandbox.probe import Attempt
    from tests.sandbox.emulated_azure import Azure

pytest_plugins = ("tests.sandbox.emulated_azure",)

IMAGES = ["a/image-1.png", "a/image-2.png", "a/image-3.png"]
BESIDE = "not-for-lightly/private.png"
INPUT, LIGHTLY = "rl", "rcwdl"


def _source(purpose: Purpose = Purpose.INPUT, **said: Any) -> Source:
    spec = AzureSpec.model_validate({"prefix": "a/", "container_wide": True} | said)
    return Source(f"street-scenes.{purpose.lower()}.azure", purpose, spec)


def _blobs(azure: Azure, account: str, container: str) -> list[str]:
    with azure.cloud.container_client(account, container) as client:
        return list(client.list_blob_names())


@pytest.fixture
def brought(azure: Azure) -> dict[str, Any]:
    return {"resource_group": azure.new_name(), "account": azure.new_name(), "container": "raw"}


@pytest.fixture
def container(azure: Azure) -> dict[str, str]:
    return azure.new_container(azure.new_account())


def _told(container: dict[str, str], sas: str, purpose: Purpose = Purpose.INPUT) -> dict[str, str]:
    """What Lightly is told of a datasource."""
    return {
        "purpose": purpose,
        "type": "AZURE",
        "fullPath": f"{container['containerName']}/a/",
        "accountName": container["accountName"],
        "accountKey": sas,
    }


def _tried(attempts: list[Attempt]) -> list[tuple[str, str, str]]:
    return [(it.target, it.operation, it.outcome) for it in attempts]


def test_what_a_stack_takes_as_given_is_made_with_images_for_an_input(azure: Azure, brought: dict[str, Any]) -> None:
    sources = [_source(**brought), _source(Purpose.LIGHTLY, **(brought | {"container": "lightly"}))]
    for _ in range(2):  # what is there stays
        azure.cloud.prepare(sources)
    assert sorted(_blobs(azure, brought["account"], "raw")) == [*IMAGES, BESIDE]
    assert _blobs(azure, brought["account"], "lightly") == [BESIDE]
    named = {"resourceGroupName": brought["resource_group"], "accountName": brought["account"]}
    assert azure.driver.invoke("azure-native:storage:getStorageAccount", named)["location"] == "westeurope"


@pytest.mark.parametrize("create", ["container", "account", "resource_group", True])
def test_what_a_stack_makes_is_left_to_it(azure: Azure, brought: dict[str, Any], create: str | bool) -> None:
    where: dict[str, Any] = {"location": "westeurope"} if create in (True, "resource_group") else {}
    azure.cloud.prepare([_source(**brought, **where, create=create), _source(Purpose.LIGHTLY, **brought)])
    group = f"/resourceGroups/{brought['resource_group']}"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{brought['account']}"
    container = f"{account}/blobServices/default/containers/raw"
    there = [azure.arm.get(path).status_code == 200 for path in (group, account, container)]
    assert there == {"container": [True, True, False], "account": [True, False, False]}.get(
        str(create), [False, False, False]
    )


def test_a_sas_of_the_users_own_can_not_be_had_here(azure: Azure) -> None:
    sas = "?sv=2024-11-04&sr=c&se=2099-01-01&sp=rl&spr=https&sig=abcdefgh"
    source = _source(account="acme", container="raw", sas_token=sas)
    with pytest.raises(CannotSeed) as raised:
        azure.cloud.prepare([source])
    assert str(raised.value).startswith("street-scenes.input.azure.sas_token: a SAS is signed with the key of the real")
    assert "abcdefgh" not in str(raised.value)


def test_a_sas_of_one_directory_can_not_be_had_here(azure: Azure, brought: dict[str, Any]) -> None:
    source = _source(**brought, directory_sas=True, container_wide=False)
    with pytest.raises(CannotSeed) as raised:
        azure.cloud.prepare([source])
    assert str(raised.value) == (
        "street-scenes.input.azure.directory_sas: a directory SAS is not emulated: Azurite refuses every one (sr=d); "
        "leave directory_sas out here, with container_wide: true"
    )


def test_images_can_be_put_anywhere_and_what_is_named_later_moves_there(azure: Azure, brought: dict[str, Any]) -> None:
    azure.cloud.put_images(f"{brought['account']}/raw", "a/")
    azure.cloud.put_images(f"{brought['account']}/raw", "b/")
    azure.cloud.prepare([_source(**brought)])
    assert len(_blobs(azure, brought["account"], "raw")) == 7
    named = {"resourceGroupName": brought["resource_group"], "accountName": brought["account"]}
    assert azure.driver.invoke("azure-native:storage:listStorageAccountKeys", named)["keys"]


def test_everything_holds_for_an_input_that_may_list_and_read(azure: Azure, container: dict[str, str]) -> None:
    azure.cloud.put_images(f"{container['accountName']}/raw", "a/")
    attempts = azure.cloud.probe(_told(container, azure.sas(container)), [])
    assert all(it.holds for it in attempts)
    assert _tried(attempts) == [
        (INSIDE, "list", "allowed"),
        (INSIDE, "read", "allowed"),
        (INSIDE, "write", "refused"),
        (INSIDE, "overwrite", "refused"),
        (INSIDE, "delete", "refused"),
        *(
            (target, what, "refused")
            for target in (ELSEWHERE, EXPIRED, WIDENED)
            for what in ("list", "read", "write", "delete")
        ),
        (FOR_EVER, USE, "refused"),
        (WITHOUT_TLS, USE, "refused"),
    ]
    assert len(_blobs(azure, container["accountName"], "raw")) == 4


def test_everything_holds_for_lightlys_own_and_nothing_is_left(azure: Azure, container: dict[str, str]) -> None:
    sas = azure.sas(container, permissions=LIGHTLY)
    attempts = azure.cloud.probe(_told(container, sas, Purpose.LIGHTLY), [])
    assert all(it.holds for it in attempts)
    assert [it.operation for it in attempts if it.target == INSIDE] == list(Operation)
    assert {it.outcome for it in attempts if it.target != INSIDE} == {"refused"}
    assert {it.operation for it in attempts if it.target == EXPIRED} == {"list", "read", "write", "delete"}
    assert _blobs(azure, container["accountName"], "raw") == []


@pytest.mark.parametrize(
    ("permissions", "purpose", "wrong"),
    [
        ("r", Purpose.INPUT, {"list"}),
        ("l", Purpose.INPUT, {"read"}),
        ("rwl", Purpose.INPUT, {"write", "overwrite"}),
        ("rdl", Purpose.INPUT, {"delete"}),
        ("rl", Purpose.LIGHTLY, {"write", "overwrite", "delete"}),
        ("rcwl", Purpose.LIGHTLY, {"delete"}),
        ("rcdl", Purpose.LIGHTLY, {"overwrite"}),
    ],
)
def test_too_few_and_too_many_permissions_are_found_out(
    azure: Azure, container: dict[str, str], permissions: str, purpose: Purpose, wrong: set[str]
) -> None:
    azure.cloud.put_images(f"{container['accountName']}/raw", "a/")
    attempts = azure.cloud.probe(_told(container, azure.sas(container, permissions=permissions), purpose), [])
    assert {it.operation for it in attempts if not it.holds} == wrong
    assert {it.target for it in attempts if not it.holds} == {INSIDE}


def test_a_sas_that_is_over_is_refused_with_azures_words_and_without_the_sas(
    azure: Azure, container: dict[str, str]
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    sas = azure.cloud.mint_sas(container["accountName"], "raw", permissions=INPUT, expires=yesterday)
    attempts = azure.cloud.probe(_told(container, sas), [])
    assert attempts[0].detail.startswith("List Blobs was refused (AuthorizationFailure: ")
    signature = sas.partition("sig=")[2]
    assert len(signature) > 40
    assert not any(signature in it.detail or sas in it.detail for it in attempts)


def test_a_sas_that_goes_without_tls_is_found_out(azure: Azure, container: dict[str, str]) -> None:
    azure.cloud.put_images(f"{container['accountName']}/raw", "a/")
    attempts = azure.cloud.probe(_told(container, azure.sas(container, protocols=None)), [])
    assert [(it.operation, it.target) for it in attempts if not it.holds] == [(USE, WITHOUT_TLS)]


def test_a_sas_that_never_ends_is_found_out(azure: Azure, container: dict[str, str]) -> None:
    endless = "&".join(it for it in azure.sas(container).split("&") if not it.startswith("se="))
    attempts = azure.cloud.probe(_told(container, endless), [])
    assert (USE, FOR_EVER) in [(it.operation, it.target) for it in attempts if not it.holds]


def test_a_container_that_is_not_there_is_no_refusal(azure: Azure, container: dict[str, str]) -> None:
    named = container | {"containerName": "missing"}
    attempts = azure.cloud.probe(_told(named, azure.sas(named)), [])
    assert attempts[0].outcome == "error"
    assert "ContainerNotFound" in attempts[0].detail


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accountKey": "sv=2015-04-05&sig=secret"}, "accountKey is no SAS with its leading '?'"),
        ({"accountKey": "?sr=d&sdd=1&sig=secret"}, "a directory SAS is not emulated: Azurite refuses every one"),
        ({"accountName": "somebodyelses"}, "the emulated Azure has no storage account 'somebodyelses'"),
    ],
)
def test_what_cannot_even_be_tried_says_why(
    azure: Azure, container: dict[str, str], change: dict[str, str], said: str
) -> None:
    attempts = azure.cloud.probe(_told(container, azure.sas(container)) | change, [])
    assert [it.operation for it in attempts] == ["list", "read"]
    for it in attempts:
        assert (it.outcome, it.detail.startswith(said)) == ("error", True)
        assert "secret" not in it.detail


def test_an_emulator_that_is_gone_is_an_error_and_no_refusal(azure: Azure, container: dict[str, str]) -> None:
    from lightly_infra.sandbox.azure.probe import AzureStore
    from lightly_infra.sandbox.process import free_port

    arm, port = azure.cloud._arm, azure.cloud._azurite._port
    azure.cloud._azurite._port = free_port()
    try:
        with AzureStore(arm, container["accountName"], "raw", "?sig=x") as store:
            with pytest.raises(Exception, match="refused") as raised:
                store.keys("")
            judged = store.judge(raised.value)
            assert judged is not None
            assert judged[0] == "error"
            assert store.judge(ValueError()) is None
    finally:
        azure.cloud._azurite._port = port


def test_the_keys_of_all_accounts_are_known_to_whoever_owns_them(azure: Azure) -> None:
    accounts = [azure.new_account(), azure.new_account()]
    named = "azure-native:storage:listStorageAccountKeys"
    told = {key["value"] for it in accounts for key in azure.driver.invoke(named, it)["keys"]}
    assert len(told) == 4
    assert told <= azure.cloud.account_keys()


def test_it_says_only_what_is_azures_own(azure: Azure) -> None:
    environment = azure.cloud.environment()
    assert all(name.startswith(("ARM_", "AZURE_")) for name in environment)
    assert azure.cloud.name == "Azure"


@pytest.mark.usefixtures("azure")
def test_it_starts_once_stops_twice_and_starts_empty_again() -> None:
    cloud = AzureCloud()
    cloud.stop()
    with cloud:
        first, pid = cloud.environment(), cloud.pid
        assert cloud.start().pid == pid
        cloud.put_images("acme/raw", "a/")
    cloud.stop()
    with pytest.raises(RuntimeError, match="is not running"):
        cloud.environment()
    with cloud:
        assert cloud.environment()["ARM_ACCESS_TOKEN"] != first["ARM_ACCESS_TOKEN"]
        assert cloud.pid != pid
        with pytest.raises(KeyError), cloud.container_client("acme", "raw"):
            pass

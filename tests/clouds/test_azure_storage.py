"""Resource groups, accounts and containers that we make: what they are made of, and that nothing of value goes."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from lightly_infra.clouds import azure
from tests.pulumi_mocks import RANDOM_SUFFIX, Recorded, Recording, made_by, run

GROUP, ACCOUNT = "azure-native:resources:ResourceGroup", "azure-native:storage:StorageAccount"
SOFT_DELETE, CONTAINER = "azure-native:storage:BlobServiceProperties", "azure-native:storage:BlobContainer"


def made(
    group: azure.ResourceGroupArgs | None = None,
    account: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    *,
    preview: bool = False,
) -> Recording:
    """All three, each in the other."""

    def program() -> None:
        outer = azure.ResourceGroup("group", group)
        of_account: Any = {"resource_group": outer, **(account or {})}
        of_container: Any = {"account": azure.Account("data", of_account), **(container or {})}
        azure.Container("raw-images", of_container)

    return run(program, preview=preview)


def kept_account(recording: Recording) -> Recorded:
    return recording.one(ACCOUNT)


def test_these_resources_are_made_and_no_others() -> None:
    assert sorted(it.type for it in made().custom) == sorted([GROUP, ACCOUNT, SOFT_DELETE, CONTAINER])


def test_each_lies_under_its_component() -> None:
    recording = made()
    for kind, type_ in (("ResourceGroup", GROUP), ("Account", ACCOUNT), ("Account", SOFT_DELETE)):
        assert recording.one(type_).parent == recording.one(f"lightly-infra:azure:{kind}").urn


def test_an_account_takes_https_with_tls_1_2_only_and_shows_nothing_to_the_public() -> None:
    assert made().one(ACCOUNT).inputs == {
        "resourceGroupName": f"group{RANDOM_SUFFIX}",
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "minimumTlsVersion": "TLS1_2",
        "enableHttpsTrafficOnly": True,
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "allowSharedKeyAccess": True,
        "isHnsEnabled": False,
        "tags": made_by("data").tags,
    }


def test_a_container_is_private() -> None:
    assert made().one(CONTAINER).inputs == {
        "accountName": f"data{RANDOM_SUFFIX}",
        "resourceGroupName": f"group{RANDOM_SUFFIX}",
        "containerName": "raw-images",
        "publicAccess": "None",
        "metadata": made_by("raw-images").metadata,
    }


@pytest.mark.parametrize(("args", "days"), [({}, 7), ({"soft_delete_days": 30}, 30)])
def test_deleted_blobs_and_containers_can_be_brought_back(args: dict[str, Any], days: int) -> None:
    inputs = made(account=args).one(SOFT_DELETE).inputs
    assert inputs["blobServicesName"] == "default"
    assert inputs["deleteRetentionPolicy"] == {"enabled": True, "days": days}
    assert inputs["containerDeleteRetentionPolicy"] == {"enabled": True, "days": days}


@pytest.mark.parametrize("type_", [GROUP, ACCOUNT, CONTAINER])
def test_what_azure_would_delete_with_all_that_is_in_it_always_stays(type_: str) -> None:
    assert made().one(type_).retain_on_delete


def test_soft_delete_goes_with_the_account_and_never_before_it() -> None:
    recording = made()
    soft_delete = recording.one(SOFT_DELETE)
    assert soft_delete.deleted_with == recording.one(ACCOUNT).urn
    assert soft_delete.retain_on_delete, "and is shown as kept"


def test_a_container_waits_until_its_account_is_guarded() -> None:
    recording = made()
    assert recording.one(SOFT_DELETE).urn in recording.waits_for(recording.one(CONTAINER))


def test_names_location_tags_and_kind_are_passed_on() -> None:
    recording = made(
        {"resource_group": "acme-rg", "location": "northeurope", "tags": {"team": "vision"}},
        {"account": "acmedata", "sku": "Standard_ZRS", "hierarchical_namespace": True, "tags": {"team": "vision"}},
        {"container": "raw"},
    )
    group, account = recording.one(GROUP).inputs, recording.one(ACCOUNT).inputs
    tags = made_by("group").tags | {"team": "vision"}
    assert group == {"resourceGroupName": "acme-rg", "location": "northeurope", "tags": tags}
    assert (account["accountName"], account["resourceGroupName"]) == ("acmedata", "acme-rg")
    assert (account["sku"], account["isHnsEnabled"]) == ({"name": "Standard_ZRS"}, True)
    assert (account["location"], account["tags"]) == ("northeurope", made_by("data").tags | {"team": "vision"})
    assert recording.one(CONTAINER).inputs["containerName"] == "raw"


def test_an_account_may_lie_elsewhere_than_its_group() -> None:
    assert made(account={"location": "swedencentral"}).one(ACCOUNT).inputs["location"] == "swedencentral"


def test_names_are_left_to_pulumi_where_none_is_given_but_the_containers() -> None:
    recording = made()
    assert "resourceGroupName" not in recording.one(GROUP).inputs
    assert "accountName" not in recording.one(ACCOUNT).inputs


def test_the_name_that_azure_makes_up_for_an_account_is_one_that_it_allows() -> None:
    recording = run(lambda: azure.Account("lightly-Street_Scenes-input", {"resource_group": "acme-rg"}))
    (account,) = recording.of(ACCOUNT)
    assert account.name.startswith("lightlystr")
    assert len(account.name) == 16
    assert account.name.isalnum()


def test_an_account_in_a_group_of_yours_is_where_the_group_is() -> None:
    inputs = run(lambda: azure.Account("data", {"resource_group": "acme-rg"})).one(ACCOUNT).inputs
    assert inputs["resourceGroupName"] == "acme-rg"
    assert "location" not in inputs


def test_a_container_in_an_account_of_yours_changes_nothing_else_on_it() -> None:
    recording = run(lambda: azure.Container("raw", {"account": "acmedata", "resource_group": "acme-rg"}))
    (container,) = recording.custom
    assert container.inputs == {
        "accountName": "acmedata",
        "resourceGroupName": "acme-rg",
        "containerName": "raw",
        "publicAccess": "None",
        "metadata": made_by("raw").metadata,
    }


def test_a_container_in_an_account_of_yours_needs_to_know_its_group() -> None:
    with pytest.raises(ValueError, match="raw: resource_group is missing"):
        run(lambda: azure.Container("raw", {"account": "acmedata"}))


def test_whatever_is_passed_on_may_be_known_only_later() -> None:
    later = pulumi.Output.from_input

    def program() -> None:
        group = azure.ResourceGroup("group", {"resource_group": later("acme-rg"), "location": later("northeurope")})
        account = azure.Account("data", {"resource_group": group, "account": later("acmedata")})
        azure.Container("raw", {"account": account, "container": later("raw-images")})
        azure.Container("theirs", {"account": later("theirs"), "resource_group": later("their-rg")})

    recording = run(program)
    assert recording.one(GROUP).inputs["resourceGroupName"] == "acme-rg"
    assert recording.one(ACCOUNT).inputs["accountName"] == "acmedata"
    assert recording.one(CONTAINER, "raw").inputs["containerName"] == "raw-images"
    assert recording.one(CONTAINER, "theirs").inputs["accountName"] == "theirs"


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("group", "account", "container", "words"),
    [
        ("bad.", "acmedata", "raw", "is no resource group's name"),
        ("acme-rg", "acme-data", "raw", "is no storage account's name"),
        ("acme-rg", "acmedata", "Raw", "is no container's name"),
    ],
)
def test_bad_names_are_refused(group: str, account: str, container: str, words: str, later: bool) -> None:
    def given(name: str) -> Any:
        return pulumi.Output.from_input(name) if later else name

    with pytest.raises(ValueError, match=words):
        made({"resource_group": given(group)}, {"account": given(account)}, {"container": given(container)})


def test_the_components_give_their_names() -> None:
    recording = made()
    outputs = {it.type: recording.outputs_of(it) for it in recording.of("lightly-infra:azure:")}
    group, account = f"group{RANDOM_SUFFIX}", f"data{RANDOM_SUFFIX}"
    assert outputs == {
        "lightly-infra:azure:ResourceGroup": {"resource_group": group},
        "lightly-infra:azure:Account": {"account": account, "resource_group": group},
        "lightly-infra:azure:Container": {"container": "raw-images", "account": account},
    }


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(made(preview=True).custom) == 4

"""A datasource on Azure: the SAS that Lightly is given, and what is left alone."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pulumi
import pytest

from lightly_infra import epochs
from lightly_infra.clouds import azure
from lightly_infra.clouds.azure import policy, sas
from lightly_infra.lightly import models
from lightly_infra.permissions import Purpose
from tests import pulumi_mocks
from tests.pulumi_mocks import RANDOM_SUFFIX, Recording, Secret, Unknown, in_the_open, run

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK, SIGN = "azure-native:storage:getStorageAccount", "azure-native:storage:listStorageAccountServiceSAS"
KEYS = "azure-native:storage:listStorageAccountKeys"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)  # day 20,779: epoch 230 of 90 days, which began on 2026-09-04
OWN = "sv=2024-11-04&sr=c&se=2027-06-01T00:00:00Z&sp=rl&spr=https&sig=canary0own"


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    on(NOW, monkeypatch)


def on(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "now", lambda: moment)


def args(**more: Any) -> azure.AzureDatasourceArgs:
    given: dict[str, Any] = {
        "purpose": Purpose.INPUT,
        "account": "acmedata",
        "resource_group": "acme-rg",
        "container": "raw",
        "prefix": "",
        "access": azure.ServiceSas(),
    }
    return {name: value for name, value in (given | more).items() if value is not None}  # type: ignore[return-value]  # of any test's choice


def exported(source: azure.AzureDatasource) -> None:
    for name in ("config", "identity", "secrets"):
        pulumi.export(name, dict(getattr(source, name)))
    pulumi.export("credential", {name: it for name, it in vars(source.credential).items() if it is not None})
    pulumi.export("path", source.path)
    pulumi.export("granted", source.granted)


def yours(*, preview: bool = False, **more: Any) -> Recording:
    """On a container of yours."""
    return run(lambda: exported(azure.AzureDatasource("raw", args(**more))), preview=preview)


def ours(*, preview: bool = False, hierarchical_namespace: bool = False, **more: Any) -> Recording:
    """On a container of ours, in an account and a resource group of ours."""

    def program() -> None:
        group = azure.ResourceGroup("group")
        account = azure.Account("data", {"resource_group": group, "hierarchical_namespace": hierarchical_namespace})
        container = azure.Container("images", {"account": account})
        more_ = {"account": None, "resource_group": None, "container": container, "container_wide": True} | more
        exported(azure.AzureDatasource("raw", args(**more_)))

    return run(program, preview=preview)


with_directories = partial(ours, hierarchical_namespace=True)


def token(recording: Recording) -> str:
    secret = recording.stack_outputs["config"]["account_key"]
    assert isinstance(secret, Secret)
    return str(secret.value)


def said(recording: Recording) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(token(recording).removeprefix("?")).items()}


def refused(program: Callable[[], object]) -> str:
    with pytest.raises((ValueError, pulumi.RunError)) as caught:
        program()
    assert "canary" not in str(caught.value)
    return str(caught.value)


# -- what Lightly is told


@pytest.mark.parametrize("purpose", Purpose)
def test_azure_is_asked_for_a_sas_on_the_one_container_with_what_the_purpose_needs(purpose: Purpose) -> None:
    recording = yours(purpose=purpose)
    assert recording.calls == [
        (LOOK, {"accountName": "acmedata", "resourceGroupName": "acme-rg"}),
        (
            SIGN,
            {
                "accountName": "acmedata",
                "resourceGroupName": "acme-rg",
                "canonicalizedResource": "/blob/acmedata/raw",
                "resource": "c",
                "permissions": policy.permissions(purpose),
                "protocols": "https",
                "sharedAccessStartTime": "2026-09-03T00:00:00Z",
                "sharedAccessExpiryTime": "2027-03-03T00:00:00Z",
                "keyToSign": "key1",
            },
        ),
    ]


def test_a_sas_of_an_epochs_first_moment_is_valid_for_a_cloud_whose_clock_is_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(datetime(2026, 9, 4, tzinfo=UTC), monkeypatch)
    asked = yours().calls[1][1]
    assert (asked["sharedAccessStartTime"], asked["keyToSign"]) == ("2026-09-03T00:00:00Z", "key1")
    on(datetime(2026, 9, 3, 23, 59, 59, tzinfo=UTC), monkeypatch)
    asked = yours().calls[1][1]
    assert (asked["sharedAccessStartTime"], asked["keyToSign"]) == ("2026-06-05T00:00:00Z", "key2")


def test_the_day_may_be_given_so_that_all_datasources_of_a_program_are_of_one_epoch() -> None:
    given = azure.ServiceSas(on=datetime(2026, 12, 3, tzinfo=UTC).date())
    assert yours(access=given).calls[1][1]["keyToSign"] == "key2"


def test_lightly_is_told_the_container_the_account_and_the_sas() -> None:
    recording = yours()
    config = recording.stack_outputs["config"]
    assert token(recording).startswith("?sv=")
    assert config | {"account_key": ""} == {
        "type": "AZURE",
        "full_path": "raw/",
        "account_name": "acmedata",
        "account_key": "",
    }
    told = models.parse_config(config | {"purpose": "INPUT", "account_key": token(recording)})
    assert isinstance(told, models.AzureConfig)


def test_people_are_told_which_account_the_path_is_in_and_when_the_sas_expires() -> None:
    recording = yours(prefix="street-scenes", container_wide=True)
    outputs = recording.stack_outputs
    assert outputs["path"] == "azure://acmedata/raw/street-scenes/"
    assert outputs["config"]["full_path"] == "raw/street-scenes/"
    assert outputs["identity"] == {"account": "acmedata", "container": "raw", "expires": "2027-03-03T00:00:00Z"}
    component = recording.one("lightly-infra:azure:AzureDatasource")
    assert recording.outputs_of(component) == {"path": outputs["path"], **outputs["identity"]}


@pytest.mark.parametrize("make", [yours, ours])
def test_the_sas_is_a_secret_wherever_it_goes(make: Callable[..., Recording]) -> None:
    recording = make()
    outputs = recording.stack_outputs
    assert isinstance(outputs["secrets"]["sas_token"], Secret)
    assert outputs["secrets"]["sas_token"] == outputs["config"]["account_key"]
    everything = [outputs, recording.outputs, [it.inputs for it in recording.resources]]
    assert "canary" not in in_the_open(everything).lower()


def test_the_grant_is_told_without_the_signature() -> None:
    assert json.loads(yours().stack_outputs["granted"]) == {
        "permissions": "rl",
        "resource": "/blob/acmedata/raw",
        "expires": "2027-03-03T00:00:00Z",
        "protocol": "https",
        "signed_with": "key1",
    }


def test_lightlys_own_servers_can_always_verify() -> None:
    assert azure.AzureDatasource.verifiable


# -- epochs


def test_the_sas_stays_the_same_all_through_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for moment in (NOW, NOW + timedelta(hours=5), datetime(2026, 12, 2, 23, 59, tzinfo=UTC)):
        on(moment, monkeypatch)
        recording = yours()
        seen.append((token(recording), recording.stack_outputs["granted"]))
    assert len(set(seen)) == 1


def test_the_next_epoch_brings_another_expiry_and_the_other_key(monkeypatch: pytest.MonkeyPatch) -> None:
    on(datetime(2026, 12, 3, tzinfo=UTC), monkeypatch)
    recording = yours()
    (_, signed) = recording.calls[-1]
    assert (signed["keyToSign"], signed["sharedAccessExpiryTime"]) == ("key2", "2027-06-01T00:00:00Z")
    assert said(recording)["se"] == "2027-06-01T00:00:00Z"
    assert json.loads(recording.stack_outputs["granted"])["signed_with"] == "key2"


def test_a_forced_renewal_is_another_sas_of_the_same_epoch_with_the_other_key() -> None:
    recordings = [yours(access=azure.ServiceSas(rotation=it)) for it in range(4)]
    signed = [recording.calls[-1][1] for recording in recordings]
    assert [(it["keyToSign"], it["sharedAccessStartTime"]) for it in signed] == [
        ("key1", "2026-09-03T00:00:00Z"),
        ("key2", "2026-09-02T23:59:59Z"),
        ("key1", "2026-09-02T23:59:58Z"),
        ("key2", "2026-09-02T23:59:57Z"),
    ]
    assert {it["sharedAccessExpiryTime"] for it in signed} == {"2027-03-03T00:00:00Z"}
    assert len({token(it) for it in recordings}) == 4, "none comes back"


def test_what_is_known_of_a_sas_is_told() -> None:
    assert yours(access=azure.ServiceSas(rotation=1)).stack_outputs["credential"] == {
        "kind": "SAS",
        "created": "2026-09-02T23:59:59Z",
        "expires": "2027-03-03T00:00:00Z",
        "epoch": 231,
        "rotate_every_days": 90,
        "signed_with": "key2",
    }


def test_an_epoch_may_be_shorter() -> None:
    expires = datetime.fromisoformat(said(yours(access=azure.ServiceSas(rotate_every_days=7)))["se"])
    assert timedelta(days=7) < expires - NOW <= timedelta(days=14)


def test_an_epoch_lasts_a_day_or_more() -> None:
    with pytest.raises(ValueError, match="rotate_every_days: 0: write 1 or more"):
        azure.ServiceSas(rotate_every_days=0)


# -- a container of ours


def test_in_a_preview_of_what_is_not_there_yet_nothing_is_asked_and_the_sas_is_unknown() -> None:
    recording = ours(preview=True)
    assert recording.calls == []
    assert isinstance(recording.stack_outputs["config"]["account_key"], Secret | Unknown)
    assert "canary" not in str(recording.stack_outputs)


def test_in_a_preview_of_what_is_yours_the_sas_is_signed_already() -> None:
    assert [it for it, _ in yours(preview=True).calls] == [LOOK, SIGN]


def test_a_named_container_that_is_not_there_yet_is_not_asked_for_in_a_preview_either() -> None:
    def program() -> None:
        container = azure.Container(
            "images", {"account": "acmedata", "resource_group": "acme-rg", "container": "images"}
        )
        azure.AzureDatasource("raw", args(container=container))

    assert run(program, preview=True).calls == []


def test_an_account_of_ours_needs_no_look() -> None:
    recording = ours()
    ((asked, given),) = recording.calls
    assert asked == SIGN
    account = f"data{RANDOM_SUFFIX}"
    assert given["canonicalizedResource"] == f"/blob/{account}/images"
    assert recording.stack_outputs["path"] == f"azure://{account}/images/"


def test_the_directory_is_made_in_a_container_of_ours_and_goes_with_it() -> None:
    recording = ours(prefix="street-scenes/")
    marker, container = recording.one("storage:Blob", "raw"), recording.one("storage:BlobContainer")
    assert marker.inputs == {
        "accountName": f"data{RANDOM_SUFFIX}",
        "resourceGroupName": f"group{RANDOM_SUFFIX}",
        "containerName": "images",
        "blobName": "street-scenes/.keep",
        "contentType": "application/octet-stream",
        "type": "Block",
    }
    assert marker.deleted_with == container.urn
    assert not marker.retain_on_delete, "another prefix is another directory: the old one is cleared away"
    assert recording.one("BlobServiceProperties").urn in recording.waits_for(marker)


def test_the_whole_container_needs_no_directory_and_neither_does_one_of_yours() -> None:
    assert "azure-native:storage:Blob" not in {it.type for it in ours(container_wide=False).custom}
    assert yours(prefix="a/", container_wide=True).custom == []


# -- a SAS of one directory


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The keys of an account with real directories."""
    keys = {it: base64.b64encode(f"canary {it}".encode()).decode() for it in ("key1", "key2")}
    listed = [{"keyName": name, "value": value} for name, value in keys.items()]
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, KEYS, {"keys": listed})
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, LOOK, {"isHnsEnabled": True})
    return keys


def in_directory(**more: Any) -> dict[str, Any]:
    return {"access": azure.ServiceSas(directory_sas=True), "prefix": "street-scenes/", "container_wide": None} | more


@pytest.mark.parametrize("purpose", Purpose)
def test_a_sas_of_one_directory_is_signed_here_with_what_the_purpose_needs(
    keys: dict[str, str], purpose: Purpose
) -> None:
    recording = yours(**in_directory(purpose=purpose))
    account = {"accountName": "acmedata", "resourceGroupName": "acme-rg"}
    assert recording.calls == [(LOOK, account), (KEYS, account)]
    assert token(recording) == sas.for_directory(
        account="acmedata",
        container="raw",
        directory="street-scenes/",
        key=keys["key1"],
        permissions=policy.permissions(purpose),
        start=datetime(2026, 9, 3, tzinfo=UTC),
        expires=datetime(2027, 3, 3, tzinfo=UTC),
    )
    granted = json.loads(recording.stack_outputs["granted"])
    assert (granted["resource"], granted["signed_with"]) == ("/blob/acmedata/raw/street-scenes", "key1")
    assert recording.stack_outputs["identity"]["expires"] == "2027-03-03T00:00:00Z"


def test_a_directorys_sas_too_changes_with_the_epoch_only_and_then_takes_the_other_key(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for moment in (NOW, datetime(2026, 12, 2, 23, 59, tzinfo=UTC), datetime(2026, 12, 3, tzinfo=UTC)):
        on(moment, monkeypatch)
        seen.append(token(yours(**in_directory())))
    assert seen[0] == seen[1] != seen[2]
    with_the_other = {"key": keys["key2"], "start": NOW.replace(month=12, day=2, hour=0)}
    expected: Any = {"account": "acmedata", "container": "raw", "directory": "street-scenes/", "permissions": "rl"}
    expected |= with_the_other | {"expires": datetime(2027, 6, 1, tzinfo=UTC)}
    assert seen[2] == sas.for_directory(**expected)


@pytest.mark.parametrize("make", [yours, with_directories])
def test_neither_a_key_nor_a_directorys_sas_shows(keys: dict[str, str], make: Callable[..., Recording]) -> None:
    recording = make(**in_directory())
    outputs = recording.stack_outputs
    assert isinstance(outputs["secrets"]["sas_token"], Secret)
    shown = in_the_open([outputs, recording.outputs, [it.inputs for it in recording.resources]])
    assert not any(it in shown for it in (*keys.values(), token(recording), "sig="))


def test_an_account_of_ours_with_real_directories_needs_no_look_but_its_keys(keys: dict[str, str]) -> None:
    recording = with_directories(**in_directory())
    account = {"accountName": f"data{RANDOM_SUFFIX}", "resourceGroupName": f"group{RANDOM_SUFFIX}"}
    assert recording.calls == [(KEYS, account)]
    assert recording.one("storage:Blob", "raw").inputs["blobName"] == "street-scenes/.keep"
    assert said(recording)["sdd"] == "1"
    assert keys


def test_in_a_preview_of_an_account_that_is_not_there_yet_no_key_is_asked_for() -> None:
    assert with_directories(preview=True, **in_directory()).calls == []


def test_an_account_of_ours_without_real_directories_is_refused() -> None:
    told = refused(lambda: ours(**in_directory()))
    assert told.startswith("raw: directory_sas needs real directories")
    assert "hierarchical_namespace: true" in told


@pytest.mark.parametrize("found", [{}, {"isHnsEnabled": False}])
def test_an_account_of_yours_without_real_directories_is_refused(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]
) -> None:
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, LOOK, found)
    told = refused(lambda: yours(**in_directory()))
    assert told.startswith("raw: storage account 'acmedata': directory_sas needs real directories")
    assert not any(it in told for it in keys.values())


def test_an_account_without_shared_keys_signs_no_directorys_sas_either(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, LOOK, {"isHnsEnabled": True, "allowSharedKeyAccess": False})
    told = refused(lambda: yours(**in_directory()))
    assert "raw: storage account 'acmedata': the storage account has shared key access disabled" in told
    assert not any(it in told for it in keys.values())


# -- a SAS of your own


def test_a_sas_of_yours_is_passed_on_and_azure_is_asked_nothing() -> None:
    recording = yours(access=azure.OwnSas(OWN), resource_group=None)
    assert recording.calls == []
    assert token(recording) == f"?{OWN}"
    assert recording.stack_outputs["identity"]["expires"] == "2027-06-01T00:00:00Z"
    assert json.loads(recording.stack_outputs["granted"])["expires"] == "2027-06-01T00:00:00Z"
    assert "canary" not in in_the_open(recording.stack_outputs)


def test_a_sas_of_yours_may_be_known_only_later() -> None:
    def program() -> None:
        exported(azure.AzureDatasource("raw", args(access=azure.OwnSas(pulumi.Output.from_input(f"?{OWN}")))))

    assert token(run(program)) == f"?{OWN}"


def test_a_sas_of_yours_for_one_directory_needs_no_container_wide() -> None:
    directory = OWN.replace("sr=c", "sr=d&sdd=1")
    recording = yours(access=azure.OwnSas(directory, directory_sas=True), prefix="street-scenes/")
    assert token(recording) == f"?{directory}"


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (OWN.replace("2027", "2025"), "raw: sas_token: it expired on 2025-06-01"),
        (OWN.replace("sp=rl", "sp=rwl"), "raw: sas_token: it permits more than INPUT needs: w (overwrite)"),
        ("canary" * 15, "raw: sas_token: this looks like an account key"),
    ],
)
def test_a_bad_sas_of_yours_is_refused_without_repeating_it(own: str, words: str) -> None:
    assert words in refused(lambda: yours(access=azure.OwnSas(own)))


def test_of_a_sas_of_yours_it_is_known_when_it_expires() -> None:
    recording = yours(access=azure.OwnSas(OWN))
    assert recording.stack_outputs["credential"] == {"kind": "SAS", "expires": "2027-06-01T00:00:00Z"}


# -- what is refused


def test_a_prefix_that_the_sas_is_not_limited_to_is_refused() -> None:
    assert "Three ways out" in refused(lambda: yours(prefix="a/"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prefix": "*"}, "which a policy would read as a pattern"),
        ({"prefix": "a./", "container_wide": True}, "ends with a dot"),
        ({"account": None}, "raw: account is missing"),
        ({"resource_group": None}, "raw: resource_group is missing"),
        ({"account": "acme-data"}, "is no storage account's name"),
        ({"container": "$root"}, "is one of Azure's own containers"),
        ({"resource_group": "bad."}, "is no resource group's name"),
    ],
)
def test_bad_names_are_refused_before_azure_is_asked(given: dict[str, Any], words: str) -> None:
    assert words in refused(lambda: yours(**given))


def test_an_account_without_shared_keys_is_refused_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, LOOK, {"allowSharedKeyAccess": False})
    told = refused(yours)
    assert "raw: storage account 'acmedata': the storage account has shared key access disabled" in told
    assert "--allow-shared-key-access true" in told


def test_an_account_that_never_said_so_allows_shared_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, LOOK, {})
    assert said(yours())["sp"] == "rl"


@pytest.mark.parametrize(
    ("asked", "why", "remedy"),
    [
        (SIGN, "Code=KeyBasedAuthenticationNotPermitted", "shared key access disabled"),
        (LOOK, "Code=AuthorizationFailed: does not have authorization", "have the role 'Storage Account Contributor'"),
        (
            LOOK,
            "The Resource 'Microsoft.Storage/storageAccounts/acmedata' under resource group 'acme-rg' was not found",
            "the resource group holds no such storage account",
        ),
        (LOOK, "Code=AuthorizationFailed", "for a directory's, and to put the empty blob"),
        (SIGN, "something that nobody knows", "something that nobody knows"),
    ],
)
def test_what_azure_says_instead_of_a_sas_is_told_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, asked: str, why: str, remedy: str
) -> None:
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, asked, lambda _: ({}, [("accountName", why)]))
    told = refused(yours)
    assert told.startswith("raw: no SAS can be had: ")
    assert remedy in told
    assert why in told


def test_a_provider_of_the_program_itself_is_asked() -> None:
    def program() -> None:
        import pulumi_azure_native

        provider = pulumi_azure_native.Provider("theirs", subscription_id="s")
        azure.AzureDatasource("raw", args(), pulumi.ResourceOptions(providers=[provider]))

    assert len(run(program).calls) == 2

"""From the YAML to components on Azure: what is made, once, and under which names."""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from lightly_infra import epochs, stack
from lightly_infra.stack.settings import DATASETS_KEY, ROTATION_KEY
from tests import pulumi_mocks
from tests.pulumi_mocks import RANDOM_SUFFIX, Recording, Secret, in_the_open, made_by, run

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP, ACCOUNT = "azure-native:resources:ResourceGroup", "azure-native:storage:StorageAccount"
CONTAINER, SIGN = "azure-native:storage:BlobContainer", "azure-native:storage:listStorageAccountServiceSAS"
KEYS = "azure-native:storage:listStorageAccountKeys"
POLICY, GET_POLICY = "azure-native:storage:ManagementPolicy", "azure-native:storage:getManagementPolicy"
COMPONENT = "lightly-infra:azure:"
YOURS: dict[str, Any] = {"account": "acmedata", "container": "raw", "resource_group": "acme-rg", "prefix": ""}
ALL: dict[str, Any] = {"create": True, "location": "westeurope", "prefix": ""}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "canary-token")


def up(source: Mapping[str, Any], target: Mapping[str, Any], *, rotation: int = 0, **of_the_dataset: Any) -> Recording:
    dataset = {"input": {"azure": source}, "lightly": {"azure": target}} | of_the_dataset
    config = {DATASETS_KEY: json.dumps({"street-scenes": dataset})}
    config |= {ROTATION_KEY: str(rotation)} if rotation else {}
    return run(stack.main, config=config, secret_keys=[DATASETS_KEY])


def signed(recording: Recording) -> dict[str, str]:
    """What Azure was asked to sign: permissions by resource."""
    return {args["canonicalizedResource"]: args["permissions"] for token, args in recording.calls if token == SIGN}


def test_containers_of_yours_are_only_looked_into() -> None:
    recording = up(YOURS, YOURS | {"container": "lightly"})
    assert not recording.of("azure-native:")
    assert signed(recording) == {"/blob/acmedata/raw": "rl", "/blob/acmedata/lightly": "rcwdl"}


def test_all_is_made_and_named_after_the_dataset() -> None:
    recording = up(YOURS, ALL)
    tags = made_by("lightly-street-scenes-lightly").tags
    assert recording.one(GROUP).inputs == {"location": "westeurope", "tags": tags}
    account = recording.one(ACCOUNT)
    assert account.inputs["location"] == "westeurope"
    assert account.inputs["tags"] == tags
    assert account.name.startswith("lightlystr")
    assert recording.one(CONTAINER).inputs["containerName"] == "lightly-street-scenes-lightly"
    assert signed(recording)[f"/blob/{account.name}{RANDOM_SUFFIX}/lightly-street-scenes-lightly"] == "rcwdl"
    assert {it.name for it in recording.of(COMPONENT)} == {
        "lightly-street-scenes-input",
        "lightly-street-scenes-lightly",
    }


def test_settings_are_passed_on() -> None:
    recording = up(
        YOURS,
        ALL
        | {
            "location": "northeurope",
            "sku": "Standard_ZRS",
            "hierarchical_namespace": True,
            "soft_delete_days": 30,
            "tags": {"team": "vision"},
        },
    )
    inputs = recording.one(ACCOUNT).inputs
    assert (inputs["location"], inputs["sku"]["name"]) == ("northeurope", "Standard_ZRS")
    assert inputs["isHnsEnabled"]
    assert inputs["tags"] == made_by("lightly-street-scenes-lightly").tags | {"team": "vision"}
    assert recording.one(GROUP).inputs["location"] == "northeurope"
    assert recording.one("BlobServiceProperties").inputs["deleteRetentionPolicy"]["days"] == 30


def test_what_both_datasources_name_is_made_once_under_its_own_name() -> None:
    named = ALL | {"account": "acmedata", "resource_group": "acme-rg"}
    recording = up(named | {"container": "raw"}, named | {"container": "lightly"})
    assert recording.one(GROUP).inputs["resourceGroupName"] == "acme-rg"
    assert recording.one(ACCOUNT).inputs["accountName"] == "acmedata"
    assert [it.inputs["containerName"] for it in recording.of(CONTAINER)] == ["lightly", "raw"]
    names = {it.type.removeprefix(COMPONENT): it.name for it in recording.of(COMPONENT)}
    assert (names["ResourceGroup"], names["Account"]) == ("acme-rg-group", "acmedata-account")
    assert names["Container"] in {"acmedata-raw-container", "acmedata-lightly-container"}


def test_two_accounts_lie_in_one_resource_group_that_is_made_once() -> None:
    named = ALL | {"resource_group": "acme-rg"}
    recording = up(named | {"account": "acmeraw"}, named | {"account": "acmelightly"})
    group = recording.one(GROUP)
    accounts = recording.of(ACCOUNT)
    assert sorted(it.inputs["accountName"] for it in accounts) == ["acmelightly", "acmeraw"]
    assert all(group.urn in recording.waits_for(it) for it in accounts)


@pytest.mark.parametrize("made_by", ["input", "lightly"])
def test_one_datasource_may_make_what_the_other_uses(made_by: str) -> None:
    maker = ALL | {"account": "acmedata", "resource_group": "acme-rg", "container": "one"}
    user = {"create": "container", "account": "acmedata", "resource_group": "ACME-RG", "container": "two", "prefix": ""}
    recording = up(maker, user) if made_by == "input" else up(user, maker)
    account = recording.one(ACCOUNT)
    assert len(recording.of(GROUP)) == 1
    assert all(account.urn in recording.waits_for(it) for it in recording.of(CONTAINER))
    assert len(recording.of(CONTAINER)) == 2


def test_one_container_may_serve_several_datasets_and_is_made_once() -> None:
    def dataset(create: object, prefix: str) -> dict[str, Any]:
        shared = {"account": "acmedata", "resource_group": "acme-rg", "container": "lightly", "container_wide": True}
        return {"input": {"azure": YOURS}, "lightly": {"azure": shared | {"create": create, "prefix": prefix}}}

    both = {"first": dataset(False, "first/"), "second": dataset("container", "second/")}
    recording = run(stack.main, config={DATASETS_KEY: json.dumps(both)}, secret_keys=[DATASETS_KEY])
    container = recording.one(CONTAINER)
    markers = [it for it in recording.custom if it.type == "azure-native:storage:Blob"]
    assert sorted(it.inputs["blobName"] for it in markers) == ["first/.keep", "second/.keep"]
    assert {it.deleted_with for it in markers} == {container.urn}


def test_a_group_and_an_account_of_yours_are_used_where_only_the_rest_is_made() -> None:
    account = up(YOURS, {"create": "account", "resource_group": "acme-rg", "prefix": ""})
    assert not account.of(GROUP)
    assert account.one(ACCOUNT).inputs["resourceGroupName"] == "acme-rg"
    container = up(YOURS, {"create": "container", "resource_group": "acme-rg", "account": "acmedata", "prefix": ""})
    assert not container.of(ACCOUNT)
    assert container.one(CONTAINER).inputs["accountName"] == "acmedata"


def test_nothing_is_made_before_lightly_knows_the_dataset() -> None:
    recording = up(YOURS, ALL)
    registration = recording.one("pulumi-python:dynamic/lightly:Dataset")
    assert all(registration.urn in recording.waits_for(it) for it in recording.of("azure-native:"))


@pytest.mark.parametrize("on_destroy", ["keep", "delete"])
def test_what_azure_would_delete_with_all_that_is_in_it_is_kept_whatever_on_destroy_says(on_destroy: str) -> None:
    recording = up(YOURS, ALL, on_destroy=on_destroy)
    kept = {it.type for it in recording.of("azure-native:") if it.retain_on_delete}
    # What guards the account shows as kept, too.
    assert kept == {GROUP, ACCOUNT, CONTAINER, "azure-native:storage:BlobServiceProperties"}


def test_a_sas_of_yours_is_given_to_lightly_and_shows_nowhere() -> None:
    expires = epochs.expiry(epochs.today(), days=90).date()
    sas = f"?sv=2024-11-04&sr=c&se={expires}&sp=rl&spr=https&sig=canary0own"
    own = {"account": "theirs", "container": "raw", "prefix": "", "sas_token": sas}
    recording = up(own, YOURS | {"container": "lightly"})
    assert signed(recording) == {"/blob/acmedata/lightly": "rcwdl"}
    source = recording.one("dynamic/lightly:Datasource", "street-scenes-input")
    assert Secret(sas) in source.inputs.values()
    everything = [recording.stack_outputs, recording.outputs, [it.inputs for it in recording.resources]]
    assert "canary" not in in_the_open(everything)


def test_the_epoch_is_as_long_as_the_yaml_says() -> None:
    recording = up(YOURS | {"rotate_every_days": 30}, YOURS | {"container": "lightly"})
    expiries = {
        args["canonicalizedResource"]: args["sharedAccessExpiryTime"]
        for token, args in recording.calls
        if token == SIGN
    }
    assert expiries["/blob/acmedata/raw"] == f"{epochs.expiry(epochs.today(), days=30):%Y-%m-%dT%H:%M:%SZ}"
    assert expiries["/blob/acmedata/lightly"] == f"{epochs.expiry(epochs.today(), days=90):%Y-%m-%dT%H:%M:%SZ}"


def test_a_renewal_is_forced_for_all_datasources_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "now", lambda: datetime(2026, 11, 22, tzinfo=UTC))  # epoch 230 of 90 days
    for rotation, key in enumerate(["key1", "key2", "key1"]):
        recording = up(YOURS, YOURS | {"container": "lightly"}, rotation=rotation)
        assert [args["keyToSign"] for token, args in recording.calls if token == SIGN] == [key, key]
        known = recording.stack_outputs["credentials"]["street-scenes"]
        assert {(it["epoch"], it["signed_with"]) for it in known.values()} == {(230 + rotation, key)}


def test_all_datasources_of_a_run_are_of_one_epoch_also_over_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    last = datetime(2026, 12, 2, 23, 59, 59, tzinfo=UTC)  # of epoch 230 of 90 days
    moments = itertools.chain([last], itertools.repeat(last + timedelta(seconds=1)))
    monkeypatch.setattr(epochs, "now", lambda: next(moments))
    recording = up(YOURS, YOURS | {"container": "lightly"})
    assert [args["keyToSign"] for token, args in recording.calls if token == SIGN] == ["key1", "key1"]


def test_directories_of_one_container_that_is_made_each_have_a_sas_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = {"keys": [{"keyName": it, "value": base64.b64encode(it.encode()).decode()} for it in ("key1", "key2")]}
    monkeypatch.setitem(pulumi_mocks.LOOKED_UP, KEYS, keys)
    container = {"account": "acmedata", "resource_group": "acme-rg", "container": "data", "directory_sas": True}
    recording = up(
        ALL | container | {"hierarchical_namespace": True, "prefix": "raw/"},
        container | {"create": "container", "prefix": "lightly/"},
    )
    assert len(recording.of(CONTAINER)) == 1
    assert [token for token, _ in recording.calls] == [KEYS, KEYS]
    granted = {
        it.inputs["full_path"]: parse_qs(it.inputs["account_key"].value.removeprefix("?"))
        for it in recording.of("dynamic/lightly:Datasource")
    }
    assert {path: (sas["sp"], sas["sdd"]) for path, sas in granted.items()} == {
        "data/raw/": (["rl"], ["1"]),
        "data/lightly/": (["rcwdl"], ["1"]),
    }


# -- what expires


def expires(recording: Recording, account: str) -> dict[str, float]:
    """What the policy of an account deletes, and after how many days."""
    rules = recording.one(POLICY, account).inputs["policy"]["rules"]
    definitions = [it["definition"] for it in rules]
    return {
        prefix: it["actions"]["baseBlob"]["delete"]["daysAfterModificationGreaterThan"]
        for it in definitions
        for prefix in it["filters"]["prefixMatch"]
    }


def test_an_input_in_a_container_with_a_generated_name_expires_and_nothing_else() -> None:
    recording = up(ALL | {"prefix": "raw/", "container_wide": True, "retention_days": 30}, ALL)
    name = "lightly-street-scenes-input"
    assert expires(recording, name) == {f"{recording.one(CONTAINER, name).inputs['containerName']}/raw/": 30}
    assert len(recording.of(POLICY)) == 1, "the account that Lightly writes to has none"


def test_all_inputs_of_an_account_expire_by_its_one_policy_whichever_dataset_makes_it() -> None:
    named = ALL | {"account": "acmedata", "resource_group": "acme-rg", "container_wide": True}

    def dataset(prefix: str, days: int, lightly: str) -> dict[str, Any]:
        source = named | {"container": "raw", "prefix": prefix, "retention_days": days}
        return {"input": {"azure": source}, "lightly": {"azure": YOURS | {"account": "theirs", "container": lightly}}}

    first, second = dataset("first/", 30, "one"), dataset("second/", 60, "two")
    for both in ({"first": first, "second": second}, {"second": second, "first": first}):
        recording = run(stack.main, config={DATASETS_KEY: json.dumps(both)}, secret_keys=[DATASETS_KEY])
        assert expires(recording, "acmedata-account") == {"raw/first/": 30, "raw/second/": 60}
        assert len(recording.of(POLICY)) == 1


def test_without_a_retention_no_policy_is_made() -> None:
    assert not up(YOURS, ALL).of(POLICY)


def test_the_policy_of_an_account_of_yours_is_read_and_not_written() -> None:
    recording = up(YOURS, ALL)
    asked = {"accountName": "acmedata", "resourceGroupName": "acme-rg", "managementPolicyName": "default"}
    assert [args for token, args in recording.calls if token == GET_POLICY] == [asked]

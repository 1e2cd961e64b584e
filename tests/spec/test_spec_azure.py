"""What the YAML may say of Azure, and what everything else is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import epochs, spec

if TYPE_CHECKING:
    from lightly_infra.spec.azure import AzureSpec

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
YOURS = {"account": "acmedata", "container": "raw", "resource_group": "acme-rg", "prefix": ""}
PREFIX = {"prefix": ""}
SAS = "?sv=2024-11-04&sr=c&se=2027-06-01T00:00:00Z&sp=rl&spr=https&sig=canary0own"
LOCATION: dict[str, str | None] = {"azure_location": "West Europe"}
OWN = {"account": "acmedata", "container": "raw", "prefix": "", "sas_token": SAS}


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "now", lambda: NOW)


def datasets(source: object, target: object | None = None) -> dict[str, Any]:
    return {"street-scenes": {"input": {"azure": source}, "lightly": {"azure": target or {"create": True} | PREFIX}}}


def parse(source: object, target: object | None = None) -> AzureSpec:
    """What is said of the Input."""
    found = spec.parse(datasets(source, target), LOCATION)["street-scenes"].input.azure
    assert found is not None
    return found


def problem(source: object, target: object | None = None, defaults: dict[str, str | None] = LOCATION) -> str:
    with pytest.raises(spec.SpecError) as error:
        spec.parse(datasets(source, target), defaults)
    assert error.value.__context__ is None, "pydantic's error holds the values"
    assert "canary" not in str(error.value)
    (only,) = error.value.problems
    return only


# -- what is accepted


def test_a_container_of_yours_needs_its_account_and_resource_group() -> None:
    wanted = parse(YOURS)
    assert (wanted.account, wanted.container, wanted.resource_group) == ("acmedata", "raw", "acme-rg")
    assert (wanted.place, wanted.creates, wanted.reach) == ("azure://acmedata/raw", False, "")
    assert not any(wanted.makes(it) for it in ("container", "account", "resource_group"))


@pytest.mark.parametrize(
    ("create", "makes"),
    [
        (True, ["resource_group", "account", "container"]),
        ("resource_group", ["resource_group", "account", "container"]),
        ("account", ["account", "container"]),
        ("container", ["container"]),
        (False, []),
    ],
)
def test_what_is_made_makes_all_that_lies_in_it_too(create: object, makes: list[str]) -> None:
    wanted = parse(YOURS | {"create": create})
    assert [it for it in ("resource_group", "account", "container") if wanted.makes(it)] == makes
    assert wanted.creates == bool(makes)


@pytest.mark.parametrize(
    "given",
    [
        {"create": True},
        {"create": "account", "resource_group": "acme-rg"},
        {"create": "container", "resource_group": "acme-rg", "account": "acmedata"},
    ],
)
def test_what_is_made_needs_no_name(given: dict[str, object]) -> None:
    assert parse(given | PREFIX).place is None


def test_the_defaults_are_the_safe_ones() -> None:
    wanted = parse({"create": True} | PREFIX)
    assert (wanted.rotate_every_days, wanted.soft_delete_days, wanted.sku) == (90, 7, "Standard_LRS")
    assert not (wanted.hierarchical_namespace)
    assert not (wanted.container_wide)
    assert not (wanted.directory_sas)


def test_settings_of_an_account_that_is_made_are_taken() -> None:
    settings = {"location": "northeurope", "sku": "Standard_ZRS", "hierarchical_namespace": True}
    wanted = parse({"create": True, "soft_delete_days": 30, "tags": {"team": "vision"}} | settings | PREFIX)
    assert (wanted.location, wanted.sku, wanted.hierarchical_namespace) == ("northeurope", "Standard_ZRS", True)
    assert (wanted.soft_delete_days, wanted.tags) == (30, {"team": "vision"})


def test_a_location_is_the_stacks_where_a_resource_group_is_made_and_azures_where_only_the_rest_is() -> None:
    assert parse({"create": True} | PREFIX).location == "westeurope"
    assert parse({"create": True, "location": "North Europe"} | PREFIX).location == "northeurope"
    assert parse({"create": "account", "resource_group": "acme-rg"} | PREFIX).location is None
    assert parse(YOURS).location is None


def test_a_resource_group_is_made_nowhere_unless_somebody_says_where() -> None:
    told = problem({"create": True} | PREFIX, YOURS, {})
    assert told.startswith("street-scenes.input.azure: location is missing: say where the resource group is made")
    assert "or set azure-native:location for the stack" in told


def test_a_sas_of_yours_needs_no_resource_group_and_shows_nowhere() -> None:
    wanted = parse(OWN)
    assert wanted.sas_token is not None
    assert wanted.sas_token.get_secret_value() == SAS
    assert "canary" not in repr(wanted)


def test_the_sas_of_a_directory_reaches_no_more_than_the_directory() -> None:
    directory = OWN | {
        "prefix": "a/b",
        "directory_sas": True,
        "sas_token": SAS.replace("sr=c", "sr=d&sdd=2"),
    }
    assert parse(directory).reach == "a/b/"
    assert parse(YOURS | {"prefix": "a", "container_wide": True}).reach == ""
    assert parse(YOURS | {"prefix": "a", "directory_sas": True}).reach == "a/"
    namespace = {"hierarchical_namespace": True}
    assert parse({"create": True, "prefix": "a", "directory_sas": True} | namespace).reach == "a/"


def test_directories_of_one_container_lie_apart_where_each_sas_is_limited_to_its_own() -> None:
    def directory(prefix: str) -> dict[str, object]:
        return YOURS | {"prefix": prefix, "directory_sas": True}

    assert parse(directory("raw"), directory("lightly")).directory_sas
    assert "lies in input.azure.prefix 'raw/'" in problem(directory("raw"), directory("raw/lightly"))


def test_a_sas_is_a_secret_that_may_not_stand_in_clear() -> None:
    found = [path for path, _ in spec.secrets_of(spec.parse(datasets(OWN), LOCATION))]
    assert found == ["street-scenes.input.azure.sas_token"]


# -- what is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account": "acme-data"}, ".account: 'acme-data' is no storage account's name: 3 to 24"),
        ({"container": "Raw"}, ".container: 'Raw' is no container's name: 3 to 63"),
        ({"container": "$web"}, ".container: '$web' is one of Azure's own containers"),
        ({"resource_group": "rg."}, ".resource_group: 'rg.' is no resource group's name"),
        ({"prefix": "/a"}, ".prefix: '/a' starts with a slash"),
        ({"prefix": "a./", "container_wide": True}, ": 'a./': the directory 'a.' ends with a dot"),
        ({"prefix": "a%/", "container_wide": True, "create": "container"}, ": 'a%/' holds '%'"),
        ({"create": "bucket"}, ".create: 'bucket': use true, false, 'container', 'account' or 'resource_group'"),
        ({"create": 1}, ".create: 1: use true, false,"),
        ({"create": ["container"]}, ".create: a list: use true, false,"),
        ({"account": None}, ": account is missing: name your account, or write 'create: account'"),
        ({"container": None}, ": container is missing: name your container, or write 'create: container'"),
        ({"resource_group": None}, ": resource_group is missing: name your resource group, or write 'create: res"),
        ({"create": "container", "account": None}, ": account is missing"),
        ({"create": "account", "resource_group": None}, ": resource_group is missing"),
        ({"location": "westeurope"}, ": location is for accounts that are made here; yours is not changed"),
        ({"create": "container", "tags": {"a": "b"}}, ": tags is for accounts that are made here"),
        ({"hierarchical_namespace": True}, ": hierarchical_namespace is for accounts that are made here"),
        ({"soft_delete_days": 7}, ": soft_delete_days is for accounts that are made here"),
        ({"sku": "Standard_ZRS"}, ": sku is for accounts that are made here"),
        (
            {"create": True, "location": "west-europe"},
            ".location: 'west-europe' is not a location's name; it looks like",
        ),
        ({"create": True, "location": ""}, ".location: '' is not a location's name; it looks like 'westeurope'"),
        ({"create": True, "sku": "Premium_LRS"}, ".sku: 'Premium_LRS': use 'Standard_LRS', 'Standard_ZRS'"),
        ({"create": True, "soft_delete_days": 0}, ".soft_delete_days: 0: write a number of 1 or more"),
        ({"create": True, "soft_delete_days": 366}, ".soft_delete_days: 366: write a number of 365 or less"),
        ({"rotate_every_days": 0}, ".rotate_every_days: 0: write a number of 1 or more"),
        ({"rotate_every_days": 1.5}, ".rotate_every_days: 1.5: write a whole number"),
        ({"create": True, "tags": {"a/b": "c"}}, ".tags: 'a/b': Azure allows no '/' in a key"),
        ({"create": True, "tags": {"": "c"}}, ".tags: '': Azure allows 1 to 128 characters in a key; this has 0"),
        ({"create": True, "tags": {"a": "b" * 257}}, ".tags: 'a': Azure allows 256 characters in a value"),
        ({"create": True, "tags": {str(it): "" for it in range(13)}}, ".tags: 13 tags; Azure has room for 12"),
        ({"acount": "x"}, ".acount: unknown key; did you mean 'account'?"),
        ({"directory_sas": True}, ": directory_sas is for a directory, and the prefix is the whole container"),
        (
            {"directory_sas": True, "prefix": "a/", "create": "account"},
            ": directory_sas needs 'hierarchical_namespace: true' beside it",
        ),
        ({"prefix": "a/"}, ": prefix: the SAS of a container reaches all of it, not only 'a/'. Three ways out"),
    ],
)
def test_bad_input_is_refused_with_field_and_remedy(changes: dict[str, object], words: str) -> None:
    told = problem(YOURS | changes)
    assert told.startswith("street-scenes.input.azure")
    assert f"street-scenes.input.azure{words}" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"create": True}, ": create: a SAS of your own (sas_token) is for a container of yours"),
        ({"rotate_every_days": 90}, ": rotate_every_days: a SAS of your own (sas_token) is not signed anew"),
        ({"directory_sas": True}, ": directory_sas is for a directory, and the prefix is the whole container"),
        ({"directory_sas": True, "prefix": "a", "container_wide": True}, ": container_wide: a directory's SAS"),
        ({"sas_token": 7}, ".sas_token: "),
    ],
)
def test_what_does_not_go_with_a_sas_of_yours_is_refused(changes: dict[str, object], words: str) -> None:
    assert f"street-scenes.input.azure{words}" in problem(OWN | changes)


@pytest.mark.parametrize(
    ("sas", "words"),
    [
        (SAS.replace("2027", "2026-01-01&x="), "it expired on 2026-01-01"),
        (SAS.replace("sp=rl", "sp=rwl"), "it permits more than INPUT needs: w (overwrite)"),
        (SAS.replace("sp=rl", "sp=r"), "it permits too little for INPUT: l (list) missing"),
        (SAS.replace("https", "https,http"), "it may be used without TLS"),
        (SAS.replace("sr=c", "sr=d&sdd=1"), "write 'directory_sas: true' beside it"),
        ("canary" * 15, "this looks like an account key"),
        ("", "this is no SAS"),
    ],
)
def test_a_sas_must_open_just_what_its_purpose_needs(sas: str, words: str) -> None:
    told = problem(OWN | {"sas_token": sas})
    assert "input.azure.sas_token: " in told
    assert words in told


def test_a_sas_for_an_input_is_too_little_for_lightly() -> None:
    told = problem(YOURS, OWN | {"container": "lightly"})
    assert "lightly.azure.sas_token: it permits too little for LIGHTLY: c (write), w (overwrite), d (delete)" in told


# -- what several datasources say


def test_lightly_may_not_reach_the_input_through_the_containers_sas() -> None:
    told = problem(
        YOURS | {"prefix": "raw/", "container_wide": True}, YOURS | {"prefix": "lightly/", "container_wide": True}
    )
    assert "give each a container of its own" in told


def test_two_containers_of_one_account_are_fine() -> None:
    both = spec.parse(datasets(YOURS, YOURS | {"container": "lightly", "create": "container"}), LOCATION)
    assert both["street-scenes"].lightly.datasource.place == "azure://acmedata/lightly"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            {"create": True, "account": "acmedata", "soft_delete_days": 9},
            {"create": True, "account": "acmedata"},
            "lightly.azure: account 'acmedata' is made in another way by street-scenes.input.azure",
        ),
        (
            {"create": "account", "account": "acmedata", "resource_group": "acme-rg", "tags": {"team": "vision"}},
            {"create": "account", "account": "acmedata", "resource_group": "acme-rg"},
            "lightly.azure: account 'acmedata' is made in another way by street-scenes.input.azure",
        ),
        (
            {"create": True, "resource_group": "acme-rg", "tags": {"team": "vision"}},
            {"create": True, "resource_group": "acme-rg", "tags": {"team": "ops"}},
            "lightly.azure.tags: resource group 'acme-rg' is made with other tags by street-scenes.input.azure",
        ),
        (
            {"create": "account", "account": "acmedata", "resource_group": "acme-rg"},
            {"create": "container", "account": "acmedata", "resource_group": "other-rg"},
            "lightly.azure.resource_group: account 'acmedata' is in another one in street-scenes.input.azure",
        ),
        (
            {"create": True, "account": "acmedata"},
            {"create": "container", "account": "acmedata", "resource_group": "acme-rg"},
            "lightly.azure.resource_group: account 'acmedata' is in another one in street-scenes.input.azure",
        ),
        (
            {"create": True, "resource_group": "acme-rg", "location": "westeurope"},
            {"create": True, "resource_group": "Acme-RG", "location": "northeurope"},
            "lightly.azure.location: resource group 'Acme-RG' is made elsewhere by street-scenes.input.azure",
        ),
        (
            {"create": True, "account": "acmedata", "resource_group": "acme-rg"},
            {"account": "acmedata", "resource_group": "acme-rg", "container": "lightly"},
            "azure.create: account 'acmedata' is made by street-scenes.input.azure, and so are all its",
        ),
        (
            {"account": "acmedata", "resource_group": "acme-rg", "container": "raw"},
            {"create": True, "account": "acmedata", "resource_group": "acme-rg"},
            "input.azure.create: account 'acmedata' is made by street-scenes.lightly.azure, and so are all its",
        ),
        (
            {"create": True, "account": "acmedata", "resource_group": "acme-rg"},
            {"create": "container", "account": "acmedata", "resource_group": "acme-rg", "directory_sas": True}
            | {"prefix": "lightly/"},
            "lightly.azure.directory_sas: the SAS of a directory needs 'hierarchical_namespace: true' where account",
        ),
        (
            {"create": "container", "account": "acmedata", "resource_group": "acme-rg", "directory_sas": True}
            | {"prefix": "raw/"},
            {"create": True, "account": "acmedata", "resource_group": "acme-rg"},
            "lightly.azure.hierarchical_namespace: the SAS of a directory needs 'hierarchical_namespace: true' where",
        ),
    ],
)
def test_what_is_shared_must_be_made_in_one_way(first: dict[str, Any], second: dict[str, Any], words: str) -> None:
    assert words in problem(PREFIX | first, PREFIX | second)


def test_all_that_lies_in_an_account_that_is_made_is_made() -> None:
    account = {"account": "acmedata", "resource_group": "acme-rg"}
    made = {"create": True, "hierarchical_namespace": True, "directory_sas": True, "prefix": "raw/"} | account
    into = {"create": "container", "directory_sas": True, "prefix": "lightly/"} | account
    for container in ("one", "two"):
        assert parse(made | {"container": "one"}, into | {"container": container}).creates


def test_the_case_of_a_resource_group_makes_no_other_group() -> None:
    spec.parse(datasets(YOURS, YOURS | {"container": "lightly", "resource_group": "ACME-rg"}))

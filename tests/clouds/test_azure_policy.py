"""Grants and names on Azure: what a SAS may, and which names are refused with which words."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import epochs
from lightly_infra.clouds.azure import policy
from lightly_infra.permissions import GRANTED, Purpose

INPUT, LIGHTLY = Purpose.INPUT, Purpose.LIGHTLY


# -- what is granted


def test_input_may_list_and_read_and_lightly_may_write_overwrite_and_delete_too() -> None:
    assert policy.permissions(INPUT) == "rl"
    assert policy.permissions(LIGHTLY) == policy.permissions(Purpose.INPUT_OUTPUT) == "rcwdl"


@pytest.mark.parametrize("purpose", Purpose)
def test_the_letters_are_those_of_the_one_table_in_the_order_of_azures_own_library(purpose: Purpose) -> None:
    letters = policy.permissions(purpose)
    assert set(letters) == {policy.LETTERS[operation] for operation in GRANTED[purpose]}
    assert str(ContainerSasPermissions.from_string(letters)) == letters


def test_the_grant_tells_all_but_the_signature_and_equal_grants_are_equal_strings() -> None:
    given: dict[str, Any] = {
        "purpose": INPUT,
        "resource": "/blob/acmedata/raw",
        "expires": datetime(2027, 1, 1, tzinfo=UTC),
        "signed_with": "key1",
    }
    assert json.loads(policy.granted(**given)) == {
        "permissions": "rl",
        "resource": "/blob/acmedata/raw",
        "expires": "2027-01-01T00:00:00Z",
        "protocol": "https",
        "signed_with": "key1",
    }
    assert policy.granted(**given) == policy.granted(**given)
    assert policy.granted(**given) != policy.granted(**given | {"signed_with": "key2"})


def test_what_a_sas_is_signed_for_is_a_container_or_one_directory_of_it() -> None:
    assert policy.canonical_resource("acmedata", "raw") == "/blob/acmedata/raw"
    assert policy.canonical_resource("acmedata", "raw", "a/b/") == "/blob/acmedata/raw/a/b"


def test_moments_are_told_in_utc_to_the_second() -> None:
    assert epochs.text(datetime.fromisoformat("2027-01-01T01:30:00.5+01:00")) == "2027-01-01T00:30:00Z"


# -- names


@pytest.mark.parametrize("name", ["abc", "acmedata2026", "a" * 24, "123"])
def test_account_names_that_azure_allows(name: str) -> None:
    assert policy.check_account(name) == name


@pytest.mark.parametrize("name", ["", "ab", "a" * 25, "acme-data", "Acme", "acme.data", "acmé", "abc\n"])
def test_account_names_that_azure_refuses(name: str) -> None:
    with pytest.raises(ValueError, match="3 to 24 lower-case letters and digits, no hyphens"):
        policy.check_account(name)


@pytest.mark.parametrize("name", ["raw", "acme-raw-2026", "0-0", "a" * 63])
def test_container_names_that_azure_allows(name: str) -> None:
    assert policy.check_container(name) == name


@pytest.mark.parametrize("name", ["", "ab", "a" * 64, "a--b", "-ab", "ab-", "Raw", "a_b", "a.b", "raw/x", "raw\n"])
def test_container_names_that_azure_refuses(name: str) -> None:
    with pytest.raises(ValueError, match="is no container's name: 3 to 63 lower-case"):
        policy.check_container(name)


@pytest.mark.parametrize("name", ["$root", "$web", "$logs"])
def test_azures_own_containers_are_left_alone(name: str) -> None:
    with pytest.raises(ValueError, match="is one of Azure's own containers"):
        policy.check_container(name)


@pytest.mark.parametrize("name", ["rg", "Acme_(Vision).1-x", "x" * 90, "Größe"])
def test_resource_group_names_that_azure_allows(name: str) -> None:
    assert policy.check_resource_group(name) == name


@pytest.mark.parametrize("name", ["", "x" * 91, "rg.", "a b", "a/b", "a&b", "rg\n"])
def test_resource_group_names_that_azure_refuses(name: str) -> None:
    with pytest.raises(ValueError, match="is no resource group's name"):
        policy.check_resource_group(name)


@pytest.mark.parametrize("prefix", ["", "street-scenes/", "a/b c/ü/", "a/" * 253, "x" * 1018 + "/"])
def test_prefixes_that_blobs_can_lie_under(prefix: str) -> None:
    assert policy.check_prefix(prefix, made=True) == prefix


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("x" * 1019 + "/", "has 1020 characters; Azure has room for 1019"),
        ("a/" * 254, "lies 254 deep; Azure allows 253 directories"),
        ("a./", "the directory 'a.' ends with a dot"),
        ("a/b.../c/", "the directory 'b...' ends with a dot"),
    ],
)
def test_prefixes_that_blobs_cannot_lie_under(prefix: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        policy.check_prefix(prefix, made=False)


def test_a_directory_that_is_made_must_be_the_same_in_a_url() -> None:
    for prefix in ("100%/", "a/#1/"):
        assert policy.check_prefix(prefix, made=False) == prefix
        with pytest.raises(ValueError, match="means something else in a blob's URL"):
            policy.check_prefix(prefix, made=True)


def test_a_prefix_that_the_sas_is_not_limited_to_is_refused_with_three_ways_out() -> None:
    with pytest.raises(ValueError, match="reaches all of it, not only 'a/'") as caught:
        policy.check_reach("a/", directory_sas=False, container_wide=False)
    for way in ("prefix: ''", "container_wide: true", "directory_sas: true"):
        assert way in str(caught.value)
    policy.check_reach("", directory_sas=False, container_wide=False)
    policy.check_reach("a/", directory_sas=False, container_wide=True)
    policy.check_reach("a/", directory_sas=True, container_wide=False)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="the prefix is the whole container"):
        policy.check_reach("", directory_sas=True, container_wide=False)
    with pytest.raises(ValueError, match="does not reach the whole container"):
        policy.check_reach("a/", directory_sas=True, container_wide=True)


@given(st.text(), st.text("0123456789abcdef", min_size=8, max_size=8))
def test_a_derived_account_name_is_allowed_with_pulumis_suffix(name: str, suffix: str) -> None:
    assert policy.check_account(policy.derived_account_name(name) + suffix)


def test_derived_account_names_stay_readable_and_apart() -> None:
    assert policy.derived_account_name("acmedata") == "acmedata"
    names = [policy.derived_account_name(f"lightly-street-scenes-{it}") for it in ("input", "lightly", "inpu-t")]
    assert len(set(names)) == 3
    assert {it[:10] for it in names} == {"lightlystr"}
    assert {len(it) for it in names} == {16}


@given(st.text())
def test_a_derived_container_name_is_always_allowed(name: str) -> None:
    assert policy.check_container(policy.derived_container_name(name))


def test_derived_container_names_stay_readable() -> None:
    assert policy.derived_container_name("lightly-street-scenes-input") == "lightly-street-scenes-input"
    assert policy.derived_container_name("X") == "lightly-x"

"""What is made says which stack and which component made it, in the form that each cloud allows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import ownership
from lightly_infra.ownership import Owner

SCENES = Owner("acme/vision/prod", "lightly-street-scenes-input")
# Of organization, project and stack; "Naming" in Pulumi's docs, which allows 100 characters in each.
PARTS = st.text("abcxyzABCXYZ0123456789_.-", min_size=1, max_size=100)
OWNERS = st.builds(
    lambda parts, name: Owner("/".join(parts), name), st.tuples(PARTS, PARTS, PARTS), st.text(min_size=1, max_size=300)
)


def test_tags_name_the_package_the_stack_and_the_component() -> None:
    assert SCENES.tags == {
        "managed-by": "lightly-infra",
        "lightly-infra:stack": "acme/vision/prod",
        "lightly-infra:name": "lightly-street-scenes-input",
    }


def test_labels_say_the_same_where_no_slash_is_allowed() -> None:
    assert SCENES.labels == {
        "managed-by": "lightly-infra",
        "lightly-infra-stack": "acme-vision-prod-d4e02b45",
        "lightly-infra-name": "lightly-street-scenes-input",
    }


def test_metadata_has_names_that_are_identifiers() -> None:
    assert SCENES.metadata == {
        "managed_by": "lightly-infra",
        "lightly_infra_stack": "acme/vision/prod",
        "lightly_infra_name": "lightly-street-scenes-input",
    }


def test_a_description_says_it_in_a_sentence() -> None:
    assert SCENES.describe("Reads.") == (
        "Reads. Made by lightly-infra for lightly-street-scenes-input of stack acme-vision-prod-d4e02b45."
    )


@given(OWNERS)
def test_every_form_is_one_that_its_cloud_takes(owner: Owner) -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9_.:/=+@ -]{1,256}", it) for it in owner.tags.values()), "AWS"
    assert all(re.fullmatch(r"[a-z0-9_-]{1,63}", it) for it in owner.labels.values()), "Google Cloud"
    assert all(re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", it) for it in owner.labels), "Google Cloud"
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", it) for it in owner.metadata), "Azure"
    assert all(it.isascii() and it.isprintable() for it in owner.metadata.values()), "Azure"
    assert len(owner.describe("x" * 64).encode()) <= 256, "Google Cloud"


@given(OWNERS, OWNERS)
def test_a_stack_finds_what_it_has_made_and_nobody_elses(one: Owner, other: Owner) -> None:
    for stack in {one.stack, other.stack}:
        found = [ownership.name_in(it, stack) for it in (one.tags, one.labels, one.metadata)]
        found.append(ownership.name_in_description(one.describe("Reads."), stack))
        assert [it is not None for it in found] == [stack == one.stack] * 4


def test_the_component_is_told_from_its_marks() -> None:
    for marks in (SCENES.tags, SCENES.labels, SCENES.metadata):
        assert ownership.name_in(marks | {"team": "vision"}, SCENES.stack) == SCENES.name
    assert ownership.name_in_description(SCENES.describe("Reads."), SCENES.stack) == SCENES.name


@pytest.mark.parametrize("marks", [{}, {"managed-by": "lightly-infra"}, {"team": "vision"}])
def test_what_names_no_stack_is_nobodys(marks: dict[str, str]) -> None:
    assert ownership.name_in(marks, SCENES.stack) is None
    assert ownership.name_in_description("Made by hand.", SCENES.stack) is None

"""What Pulumi tells of an update, in words of our own."""

from __future__ import annotations

import pytest

from lightly_infra.updates.listener import _top_level
from lightly_infra.updates.messages import Scrubber


@pytest.mark.parametrize(
    ("path", "step"),
    [("tags", "tags"), ("tags.team", "tags"), ("rules[0].days", "rules"), ('["a.b"].c', "a.b"), ("a[*]", "a")],
)
def test_a_property_path_begins_with_its_property(path: str, step: str) -> None:
    assert _top_level([path]) == [step]


@pytest.mark.parametrize("said", ["a secret+/= b", "a secret%2B%2F%3D b", "a secret%2B/%3D b"])
def test_a_secret_is_hidden_in_whatever_form(said: str) -> None:
    scrubber = Scrubber()
    scrubber.hide("secret+/=")

    assert scrubber.scrub(said) == "a [secret] b"

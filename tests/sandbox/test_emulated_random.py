from __future__ import annotations

import base64
import string
from typing import Any

import pytest

from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.random import RandomProvider
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_provider import Driver, Refused

PASSWORD = "random:index/randomPassword:RandomPassword"
STRING = "random:index/randomString:RandomString"
ID = "random:index/randomId:RandomId"


@pytest.fixture
def random() -> Driver:
    driver = Driver(RandomProvider({}))
    driver.configure({})
    return driver


def test_a_password_is_secret_and_its_id_says_nothing(random: Driver) -> None:
    made = random.create(PASSWORD, {"length": 24})
    assert made.id == "none"
    assert isinstance(made.outputs["result"], Secret)
    assert len(made.outputs["result"].value) == 24
    assert "bcryptHash" not in made.outputs


def test_a_string_is_its_own_id_and_no_two_are_alike(random: Driver) -> None:
    made = [random.create(STRING, {"length": 20}) for _ in range(5)]
    assert all(one.id == one.outputs["result"] for one in made)
    assert len({one.id for one in made}) == 5


@pytest.mark.parametrize(
    ("inputs", "allowed"),
    [
        ({}, string.ascii_letters + string.digits + "!@#$%&*()-_=+[]{}<>:?"),
        ({"special": False}, string.ascii_letters + string.digits),
        ({"special": False, "upper": False}, string.ascii_lowercase + string.digits),
        ({"special": False, "upper": False, "lower": False}, string.digits),
        ({"special": False, "number": False}, string.ascii_letters),
        ({"special": False, "numeric": False}, string.ascii_letters),
        ({"upper": False, "lower": False, "numeric": False, "overrideSpecial": "_-"}, "_-"),
    ],
)
def test_only_allowed_characters_are_drawn(random: Driver, inputs: dict[str, Any], allowed: str) -> None:
    result = random.create(STRING, {"length": 500, **inputs}).outputs["result"]
    assert set(result) <= set(allowed)
    assert len(set(result)) >= len(allowed) * 0.8, "and of those nearly all, in so many draws"


def test_minimums_are_met_exactly_when_they_fill_the_length(random: Driver) -> None:
    inputs = {"length": 10, "minLower": 1, "minUpper": 2, "minNumeric": 3, "minSpecial": 4}
    result = random.create(STRING, inputs).outputs["result"]
    counts = [
        sum(c in group for c in result) for group in (string.ascii_lowercase, string.ascii_uppercase, "0123456789")
    ]
    assert counts == [1, 2, 3]
    assert len(result) == 10


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({}, "length: is required"),
        ({"length": 0}, "length: 0 is less than 1"),
        ({"length": 3, "minLower": 2, "minUpper": 2}, "length: 3 is less than the 4 characters"),
        ({"length": 3, "minLower": -1}, "minLower: -1 is less than 0"),
        ({"length": 3, "upper": False, "minUpper": 1}, "minUpper: demands characters that 'upper' forbids"),
        ({"length": 3, **dict.fromkeys(("lower", "upper", "numeric", "special"), False)}, "no characters are left"),
        ({"length": 3, "colour": "red"}, "colour: .*does not support this input"),
    ],
)
def test_what_cannot_be_drawn_is_refused(random: Driver, inputs: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        random.check(STRING, inputs)


def test_bytes_come_in_several_spellings(random: Driver) -> None:
    made = random.create(ID, {"byteLength": 9, "prefix": "acme-"})
    drawn = bytes.fromhex(made.outputs["hex"].removeprefix("acme-"))
    assert len(drawn) == 9
    assert made.id == base64.urlsafe_b64encode(drawn).decode()
    assert made.outputs["b64Url"] == f"acme-{made.id}"
    assert made.outputs["b64Std"] == f"acme-{base64.b64encode(drawn).decode()}"
    assert made.outputs["dec"] == f"acme-{int.from_bytes(drawn, 'big')}"


@pytest.mark.parametrize(
    ("type_name", "inputs", "change"),
    [
        (PASSWORD, {"length": 12}, {"length": 13}),
        (PASSWORD, {"length": 12}, {"keepers": {"epoch": "2"}}),
        (STRING, {"length": 12}, {"special": False}),
        (ID, {"byteLength": 4}, {"keepers": {"epoch": "2"}}),
    ],
)
def test_what_was_drawn_stays_until_an_input_changes_and_then_is_drawn_anew(
    random: Driver, type_name: str, inputs: dict[str, Any], change: dict[str, Any]
) -> None:
    made = random.create(type_name, inputs)
    assert not random.diff(made, inputs).diffs
    refreshed = random.refresh(made)
    assert refreshed is not None
    assert refreshed.outputs == made.outputs
    assert not random.diff(refreshed, inputs).diffs
    changes = random.diff(made, inputs | change)
    assert set(change) <= set(changes.replaces)
    assert set(changes.replaces) == set(changes.diffs)
    random.delete(made)


def test_importing_is_refused(random: Driver) -> None:
    made = random.create(STRING, {"length": 4})
    made.outputs = {}
    with pytest.raises(ResourceError, match="importing is not emulated"):
        random.refresh(made)

"""The one table that all else is derived from."""

from __future__ import annotations

import pytest

from lightly_infra.permissions import GRANTED, Operation, Purpose, is_granted


def test_an_input_is_listed_and_read_and_nothing_else() -> None:
    assert set(GRANTED[Purpose.INPUT]) == {Operation.LIST, Operation.READ}


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
def test_lightly_does_everything_with_its_own_bucket(purpose: Purpose) -> None:
    assert set(GRANTED[purpose]) == set(Operation)


def test_every_purpose_is_in_the_table() -> None:
    assert set(GRANTED) == set(Purpose)


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("operation", Operation)
def test_is_granted_reads_the_table(purpose: Purpose, operation: Operation) -> None:
    assert is_granted(purpose, operation) == (operation in GRANTED[purpose])


def test_the_purposes_are_spelled_as_the_api_spells_them() -> None:
    assert [str(purpose) for purpose in Purpose] == ["INPUT", "LIGHTLY", "INPUT_OUTPUT"]

"""What is installed: the pins of development and CI are among what the package allows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [Requirement(it) for them in (PROJECT["dependencies"], *EXTRAS.values()) for it in them]
PINS = {
    name.lower(): version
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line and not line.startswith("#")
    for name, _, version in [line.strip().partition("==")]
}


@pytest.mark.parametrize("wanted", [it for it in WANTED if it.name != "lightly-infra"], ids=str)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(wanted: Requirement) -> None:
    assert wanted.name.lower() in PINS, "not in constraints.txt"
    assert wanted.specifier.contains(PINS[wanted.name.lower()])


def test_every_extra_that_is_named_exists() -> None:
    named = {extra for it in WANTED if it.name == "lightly-infra" for extra in it.extras}
    assert named <= set(EXTRAS)

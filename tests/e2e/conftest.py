"""End to end: whole programs in the sandbox, on the embedded engine always and on the Pulumi CLI where it is there."""

from __future__ import annotations

import copy
import json
import shutil
from typing import TYPE_CHECKING, Any, cast

import pytest

from lightly_infra import stack
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.environment import EngineName, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REGION = "eu-central-1"

STREET_SCENES: dict[str, Any] = {
    "type": "Images",
    "verify_deadline": 5,
    "input": {"s3": {"bucket": "acme-raw", "prefix": "street-scenes/", "access": "delegated"}},
    "lightly": {"s3": {"create": True, "prefix": "lightly/", "access": "delegated"}},
}


@pytest.fixture(
    params=[
        "embedded",
        pytest.param(
            "pulumi",
            marks=pytest.mark.skipif(
                shutil.which("pulumi") is None,
                reason="the Pulumi CLI is not on PATH: run end to end on the embedded engine only",
            ),
        ),
    ]
)
def engine(request: pytest.FixtureRequest) -> EngineName:
    return cast("EngineName", request.param)


@pytest.fixture
def sandbox(engine: EngineName) -> Iterator[Sandbox]:
    with Sandbox(engine=engine, clouds=["s3"]) as running:
        yield running


@pytest.fixture
def street_scenes() -> dict[str, Any]:
    """The datasets of the README's YAML, to change at will."""
    return {"street-scenes": copy.deepcopy(STREET_SCENES)}


@pytest.fixture
def program() -> Callable[..., Program]:
    """The shipped program, with datasets and further config."""

    def make(datasets: dict[str, Any], **config: str) -> Program:
        settings = {"aws:region": REGION, stack.DATASETS_KEY: json.dumps(datasets), **config}
        # As if each held a secret; without one it makes no difference.
        return Program(stack.main, "lightly-infra", "test", settings, frozenset({stack.DATASETS_KEY}))

    return make

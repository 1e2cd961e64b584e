from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lightly_infra.sandbox.aws.ministack import Ministack
from lightly_infra.sandbox.aws.provider import AwsProvider
from tests.sandbox.emulated_provider import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def ministack() -> Iterator[Ministack]:
    """One emulated AWS account for all tests of a worker: they must use names of their own."""
    with Ministack() as running:
        yield running


@pytest.fixture(scope="session")
def aws(ministack: Ministack) -> Driver:
    """The emulated aws provider, configured for eu-central-1."""
    driver = Driver(AwsProvider(ministack.environment("eu-central-1")))
    driver.configure({"region": "eu-central-1"})
    return driver

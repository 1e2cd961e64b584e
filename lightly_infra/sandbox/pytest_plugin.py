"""Pytest fixtures for programs that use `lightly_infra`.

In a `conftest.py`:

    pytest_plugins = ["lightly_infra.sandbox.pytest_plugin"]

A test then takes `lightly_sandbox` and deploys into it; every test gets a sandbox of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.environment import Sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--lightly-engine`."""
    parser.addoption(
        "--lightly-engine",
        choices=["auto", "embedded", "pulumi"],
        default="embedded",
        help="what runs programs in the Lightly sandbox: the embedded engine (default), or the Pulumi CLI on PATH",
    )


@pytest.fixture
def lightly_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """An empty, running sandbox: see `lightly_infra.sandbox.environment.Sandbox`."""
    # Imported here, so that a plain `pytest --help` needs none of the sandbox's packages.
    from lightly_infra.sandbox.environment import Sandbox

    with Sandbox(engine=request.config.getoption("--lightly-engine")) as sandbox:
        yield sandbox

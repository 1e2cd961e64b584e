"""An emulated Lightly for the dynamic providers, and providers configured as the engine configures them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pulumi.dynamic import Config, ConfigureRequest

from lightly_infra.sandbox import lightly as emulator
from lightly_infra.sandbox.lightly import LightlyServer
from tests.provider.emulated import TOKEN, Configured, P

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.provider.session import LightlyProvider


@pytest.fixture(scope="session")
def _running() -> Iterator[LightlyServer]:
    with LightlyServer(TOKEN) as running:
        yield running


@pytest.fixture
def server(_running: LightlyServer, monkeypatch: pytest.MonkeyPatch) -> LightlyServer:
    """An empty emulated Lightly that the environment names. Storage is not tried: all of it is allowed."""

    def allowed(datasources: list[dict[str, str]], _: object) -> dict[str, bool]:
        assert datasources
        return dict.fromkeys(("canList", "canRead", "canWrite", "canOverwrite"), True)

    monkeypatch.setattr(emulator, "permissions", allowed)
    monkeypatch.setenv("LIGHTLY_SERVER_LOCATION", _running.url)
    monkeypatch.setenv("LIGHTLY_TOKEN", TOKEN)
    _running.datasets.clear()
    _running._log = emulator._Log()
    return _running


@pytest.fixture
def configured() -> Iterator[Configured]:
    """Configures providers, and closes their connections at the end."""
    made: list[LightlyProvider] = []

    def make(provider: type[P], **config: str) -> P:
        it = provider()
        given = {f"lightly-infra:{name}": value for name, value in config.items()}
        it.configure(ConfigureRequest(config=Config(given, "some-project")))
        made.append(it)
        return it

    yield make
    for it in made:
        if it._client is not None:
            it._client.close()

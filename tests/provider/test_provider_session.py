"""Where the providers' token comes from, and what becomes of them in state."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import dill
import pytest
from pulumi.dynamic.dynamic import serialize_provider

from lightly_infra.lightly.errors import TokenMissing, TokenRefused
from lightly_infra.provider import dataset, datasource, session, verification
from tests.provider.emulated import TOKEN, Configured

if TYPE_CHECKING:
    from lightly_infra.sandbox.lightly import LightlyServer

PROVIDERS = [dataset.Provider, datasource.Provider, verification.Provider]
every_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda it: it.__module__.rpartition(".")[2])
PROPS = {"name": "Street scenes", "type": "Images", "on_destroy": "keep"}


def test_the_token_comes_from_the_environment(server: LightlyServer, configured: Configured) -> None:
    created = configured(dataset.Provider).create(dict(PROPS))
    assert created.id in server.datasets


def test_the_token_may_be_a_secret_of_the_stack(
    server: LightlyServer, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIGHTLY_TOKEN")
    created = configured(dataset.Provider, token=TOKEN).create(dict(PROPS))
    assert created.id in server.datasets


def test_the_environments_token_goes_before_the_stacks(server: LightlyServer, configured: Configured) -> None:
    assert configured(dataset.Provider, token="an-old-one").create(dict(PROPS)).id in server.datasets


def test_without_a_token_everything_works_until_a_call_is_due(
    server: LightlyServer, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIGHTLY_TOKEN")
    provider = configured(dataset.Provider)
    assert provider.check({}, dict(PROPS)).failures == []
    assert provider.diff("0" * 24, PROPS, PROPS).replaces == []
    with pytest.raises(TokenMissing, match="LIGHTLY_TOKEN is not set: copy the token from Lightly's preferences page"):
        provider.create(dict(PROPS))
    assert server.requests == []


def test_a_refused_token_is_told_and_not_shown(
    server: LightlyServer, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "canary-of-someone-else")
    with pytest.raises(TokenRefused, match="Check LIGHTLY_TOKEN") as error:
        configured(dataset.Provider).create(dict(PROPS))
    assert "canary" not in str(error.value)
    assert server.datasets == {}


def test_one_client_serves_all_threads(server: LightlyServer, configured: Configured) -> None:
    provider = configured(dataset.Provider)
    with ThreadPoolExecutor(4) as pool:
        clients = set(pool.map(lambda _: id(provider.client), range(16)))
    assert len(clients) == 1
    assert server.requests == []


@every_provider
def test_a_provider_in_state_is_an_import_path_of_less_than_100_characters(
    provider: type[session.LightlyProvider],
) -> None:
    text = serialize_provider(provider())
    assert len(text) < 100
    assert provider.serialize_as_secret_always is False
    plain = base64.b64decode(text)
    assert provider.__module__.encode() in plain
    assert b"site-packages" not in plain


@every_provider
def test_a_provider_in_state_never_holds_the_token(
    provider: type[session.LightlyProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", TOKEN)
    assert vars(provider()) == {}
    assert TOKEN.encode() not in base64.b64decode(serialize_provider(provider()))


def test_state_written_by_earlier_versions_still_loads() -> None:
    """These are in users' state: a provider that moves or is renamed breaks their stacks."""
    written = {
        "gASVMgAAAAAAAACMHmxpZ2h0bHlfaW5mcmEucHJvdmlkZXIuZGF0YXNldJSMCFByb3ZpZGVylJOUKYGULg==": dataset,
        "gASVNQAAAAAAAACMIWxpZ2h0bHlfaW5mcmEucHJvdmlkZXIuZGF0YXNvdXJjZZSMCFByb3ZpZGVylJOUKYGULg==": datasource,
        "gASVNwAAAAAAAACMI2xpZ2h0bHlfaW5mcmEucHJvdmlkZXIudmVyaWZpY2F0aW9ulIwIUHJvdmlkZXKUk5QpgZQu": verification,
    }
    for text, module in written.items():
        assert type(dill.loads(base64.b64decode(text))) is module.Provider  # noqa: S301 - our own
        assert serialize_provider(module.Provider()) == text


@every_provider
def test_a_provider_loads_in_a_fresh_process(provider: type[session.LightlyProvider]) -> None:
    program = (
        "import base64, dill, sys\n"
        "it = dill.loads(base64.b64decode(sys.argv[1]))\n"
        "print(type(it).__module__, type(it).__qualname__, vars(it))\n"
        "assert 'pulumi_aws' not in sys.modules and 'lightly_infra.sandbox' not in sys.modules"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, serialize_provider(provider())],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "LIGHTLY_TOKEN"},
        timeout=60,
    )
    assert finished.stdout.strip() == f"{provider.__module__} Provider {{}}"

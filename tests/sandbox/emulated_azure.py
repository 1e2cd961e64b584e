"""The fixtures of tests on the emulated Azure. Have them with `pytest_plugins = ("tests.sandbox.emulated_azure",)`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lightly_infra.sandbox.azure.cloud import AzureCloud
from lightly_infra.sandbox.azure.provider import AzureNativeProvider
from lightly_infra.sandbox.cloud import CannotStart
from tests.sandbox.emulated_provider import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Azure:
    """An emulated Azure and ways to use it."""

    cloud: AzureCloud
    driver: Driver
    """The emulated azure-native provider, configured for West Europe."""

    arm: httpx.Client
    """Of whoever may do everything."""

    def new_name(self) -> str:
        """A name that nothing has, and everything may have."""
        return f"acme{secrets.token_hex(5)}"

    def new_account(self, **inputs: Any) -> dict[str, str]:
        """A new account in a new group: the properties by which others name it."""
        group = self.driver.create("azure-native:resources:ResourceGroup", {"resourceGroupName": self.new_name()})
        needed = {"resourceGroupName": group.outputs["name"], "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
        named = {"accountName": self.new_name()} | inputs
        account = self.driver.create("azure-native:storage:StorageAccount", needed | named)
        return {"resourceGroupName": group.outputs["name"], "accountName": account.outputs["name"]}

    def new_container(self, account: dict[str, str], name: str = "raw") -> dict[str, str]:
        """A new container in the account: the properties by which blobs name it."""
        self.driver.create("azure-native:storage:BlobContainer", account | {"containerName": name})
        return account | {"containerName": name}

    def sas(self, container: dict[str, str], **changes: Any) -> str:
        """A SAS for the container, for an Input and for an hour if nothing else is said; with its leading `?`."""
        args: dict[str, Any] = {
            **container,
            "canonicalizedResource": f"/blob/{container['accountName']}/{container['containerName']}",
            "keyToSign": "key1",
            "permissions": "rl",
            "protocols": "https",
            "resource": "c",
            "sharedAccessExpiryTime": f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "sharedAccessStartTime": "2026-01-01T00:00:00Z",
        } | changes
        del args["containerName"]
        known = {key: value for key, value in args.items() if value is not None}
        token = self.driver.invoke("azure-native:storage:listStorageAccountServiceSAS", known)["serviceSasToken"]
        return f"?{token}"


@pytest.fixture(scope="session")
def azure() -> Iterator[Azure]:
    """One emulated Azure for all tests of a worker: they must use names of their own."""
    cloud = AzureCloud()
    try:
        cloud.start()
    except CannotStart as error:
        pytest.skip(str(error))
    env = cloud.environment()
    driver = Driver(AzureNativeProvider(env))
    driver.configure({"location": "West Europe"})
    headers = {"Authorization": f"Bearer {env['ARM_ACCESS_TOKEN']}"}
    url, params = f"{env['ARM_ENDPOINT']}/subscriptions/{env['ARM_SUBSCRIPTION_ID']}", {"api-version": "2024-01-01"}
    with cloud, httpx.Client(base_url=url, headers=headers, params=params, trust_env=False) as arm:
        yield Azure(cloud, driver, arm)

"""What the emulated Azure resource types share: the way to Azure Resource Manager, its ids and its refusals."""

from __future__ import annotations

import hashlib
import secrets
import ssl
from typing import TYPE_CHECKING, Any, Final

import httpx

from lightly_infra.sandbox.azure.arm_values import spelled_location
from lightly_infra.sandbox.resource_type import Input, Naming, ResourceError, ResourceType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.sandbox.resource_type import Properties

# The version of each API that pulumi-azure-native 3 uses; the emulator looks at none.
RESOURCES: Final = "2024-03-01"
STORAGE: Final = "2024-01-01"

_SUFFIX: Final = 8  # hex digits after an automatic name, as pulumi-azure-native adds


class Refused(ResourceError):
    """What Azure Resource Manager refuses."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f'Status={status} Code="{code}" Message="{message}"')
        self.status = status


class Session:
    """The configuration of one provider.

    Args:
        env: ARM_ENDPOINT, ARM_ACCESS_TOKEN, ARM_SUBSCRIPTION_ID, and AZURE_CA_BUNDLE for the blob endpoints.

    Raises:
        ValueError: ARM_ENDPOINT is missing: without it we would not know where to go.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        if not env.get("ARM_ENDPOINT"):
            raise ValueError(
                "ARM_ENDPOINT is not set: the emulated azure-native provider never talks to the real Azure"
            )
        self.ca_bundle = env.get("AZURE_CA_BUNDLE", "")
        self.location = ""
        self._subscription = env.get("ARM_SUBSCRIPTION_ID", "")
        self._client = httpx.Client(
            base_url=env["ARM_ENDPOINT"],
            headers={"Authorization": f"Bearer {env.get('ARM_ACCESS_TOKEN', '')}"},
            trust_env=False,  # the emulator is on this machine
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # and speaks no TLS: no authorities are read
            limits=httpx.Limits(max_keepalive_connections=0),  # nobody closes a provider, and so its connections
            timeout=30,
        )

    def group_id(self, name: str) -> str:
        """The id of a resource group."""
        return f"/subscriptions/{self._subscription}/resourceGroups/{name}"

    def account_id(self, inputs: Properties) -> str:
        """The id of the storage account that the inputs name."""
        group = self.group_id(inputs["resourceGroupName"])
        return f"{group}/providers/Microsoft.Storage/storageAccounts/{inputs['accountName']}"

    def call(self, method: str, path: str, body: Properties | None = None, *, version: str = STORAGE) -> Properties:
        """Asks Azure Resource Manager.

        Raises:
            Refused: it answers with an error.
            ResourceError: it does not answer.
        """
        try:
            answer = self._client.request(method, path, params={"api-version": version}, json=body)
        except httpx.HTTPError as error:
            raise ResourceError(f"the emulated Azure did not take the request: {error}") from error
        if answer.is_error:
            said = answer.json()["error"]
            raise Refused(answer.status_code, said["code"], said["message"])
        found: Properties = answer.json() if answer.content else {}
        return found

    def refuse_existing(self, resource_id: str, *, version: str = STORAGE) -> None:
        """As the real provider, refuses to create what is there already: to Azure it would be an update."""
        try:
            self.call("GET", resource_id, version=version)
        except Refused as error:
            if is_gone(error):
                return
            raise
        raise ResourceError(f"cannot create already existing resource {resource_id!r}")


class AzureType(ResourceType):
    """A resource type that acts through a session. One with a `location` gets the provider's, if it has one."""

    stable_outputs = frozenset({"location", "name"})  # `stableOutputs` in Update of azure-native's provider.go

    def __init__(self, session: Session) -> None:
        self.session = session

    def complete(self, inputs: Properties) -> Properties:
        """Adds the provider's location, and spells locations as Azure does."""
        completed = super().complete(inputs)
        if "location" in self.inputs:
            location = completed.get("location", self.session.location)
            if isinstance(location, str) and location:
                completed["location"] = spelled_location(location)
        return completed


class RandomNaming(Naming):
    """The logical name and eight hex digits, with nothing between and nothing left out."""

    def automatic(self, logical_name: str, seed: bytes) -> str:
        """A name for a resource. The same seed, if there is one, gives the same name."""
        digits = hashlib.sha256(seed + logical_name.encode()).hexdigest() if seed else secrets.token_hex(_SUFFIX)
        return f"{logical_name}{digits[:_SUFFIX]}"


class CopiedNaming(Naming):
    """The logical name as it is."""

    def automatic(self, logical_name: str, seed: bytes) -> str:  # noqa: ARG002 - what a naming is called with
        """The name."""
        return logical_name


GROUP: Final = Input(required=True, replaces=True)
ACCOUNT: Final = Input(required=True, replaces=True)
TAGS: Final = Input()


def only(value: Any, why: str) -> Input:
    """An input that has one value, which must be given; `why` ends the refusal of another."""
    return Input(
        required=True,
        replaces=True,
        refuse=lambda given: None if given == value else f"{given!r} is not {value!r}: {why}",
    )


def is_gone(error: Exception) -> bool:
    """Whether the error says that what was asked for does not exist."""
    return isinstance(error, Refused) and error.status == httpx.codes.NOT_FOUND

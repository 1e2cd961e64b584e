"""Emulated containers, the blobs that stand in a program, and what an account says of all its blobs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lightly_infra.sandbox.azure.session import (
    ACCOUNT,
    GROUP,
    STORAGE,
    AzureType,
    CopiedNaming,
    RandomNaming,
    Refused,
    only,
)
from lightly_infra.sandbox.engine.assets import content_of
from lightly_infra.sandbox.engine.values import is_asset
from lightly_infra.sandbox.resource_type import Input, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from azure.storage.blob import BlobClient

    from lightly_infra.sandbox.resource_type import Properties


def _same(*names: str, nested: Mapping[str, Shape] | None = None) -> Shape:
    """A shape whose names are ARM's too."""
    return Shape({name: name for name in names}, nested or {})


def _refuse_source(source: Any) -> str | None:
    if not is_asset(source):
        return "is no asset"
    try:
        content_of(source)
    except (OSError, ValueError) as error:
        return str(error)
    return None


class BlobContainer(AzureType):
    """A container that nobody reads without credentials. Deleting it deletes all its blobs, as in Azure."""

    type_name = "azure-native:storage:BlobContainer"
    naming = RandomNaming(63, name="containerName")
    inputs: ClassVar[Mapping[str, Input]] = {
        "accountName": ACCOUNT,
        "containerName": Input(replaces=True, computed=True),
        "metadata": Input(),
        "publicAccess": Input(
            computed=True,
            refuse=lambda value: None if value == "None" else f"{value!r}: the emulated account permits 'None' only",
        ),
        "resourceGroupName": GROUP,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Make the container."""
        resource_id = f"{self.session.account_id(inputs)}/blobServices/default/containers/{inputs['containerName']}"
        self.session.refuse_existing(resource_id)
        return resource_id, self.update(resource_id, {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id says it all
        """The container as it is."""
        return self._outputs(self.session.call("GET", resource_id))

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Change the metadata."""
        body = {"properties": {"publicAccess": inputs.get("publicAccess"), "metadata": inputs.get("metadata")}}
        return inputs | self._outputs(self.session.call("PUT", resource_id, body))

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Delete the container and all its blobs."""
        self.session.call("DELETE", resource_id)

    @staticmethod
    def _outputs(found: Properties) -> Properties:
        return {
            **found["properties"],
            **_owner(found),
            "containerName": found["name"],
            "etag": found["etag"],
            "metadata": found["properties"]["metadata"] or None,
        }


class Blob(AzureType):
    """A blob whose content stands in the program, written with the account's key as the real provider does."""

    type_name = "azure-native:storage:Blob"
    naming = CopiedNaming(1024, name="blobName")
    inputs: ClassVar[Mapping[str, Input]] = {
        "accountName": ACCOUNT,
        "blobName": Input(replaces=True, computed=True),
        "containerName": Input(required=True, replaces=True),
        "contentType": Input(computed=True),
        "metadata": Input(),
        "resourceGroupName": GROUP,
        "source": Input(replaces=True, refuse=_refuse_source),
        "type": Input(
            default="Block",
            replaces=True,
            refuse=lambda value: None if value == "Block" else f"{value!r}: the emulated Blob supports 'Block' only",
        ),
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Write the blob, over one of this name if there is one, as the real provider does."""
        with self._client(inputs) as client:
            client.upload_blob(
                content_of(inputs["source"]) if inputs.get("source") else b"",
                overwrite=True,
                metadata=inputs.get("metadata"),
                content_settings=self._settings(inputs),
            )
        container = f"{self.session.account_id(inputs)}/blobServices/default/containers/{inputs['containerName']}"
        return f"{container}/blobs/{inputs['blobName']}", inputs | self._live(inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The blob as it is; the real provider does not look at its content either."""
        parts = resource_id.split("/", 14)
        named = {"resourceGroupName": parts[4], "accountName": parts[8], "containerName": parts[12]}
        named["blobName"] = parts[14]
        return {key: olds[key] for key in ("source",) if key in olds} | named | self._live(named)

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Change content type and metadata."""
        with self._client(inputs) as client:
            client.set_http_headers(self._settings(inputs))
            client.set_blob_metadata(inputs.get("metadata"))
        return inputs | self._live(inputs)

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Delete the blob."""
        with self._client(olds) as client:
            client.delete_blob(delete_snapshots="include")

    def _live(self, named: Properties) -> Properties:
        with self._client(named) as client:
            found = client.get_blob_properties()
            return {
                "contentType": found.content_settings.content_type,
                "metadata": dict(found.metadata),
                "name": named["blobName"],
                "type": "Block",
                "url": client.url,
            }

    @staticmethod
    def _settings(inputs: Properties) -> Any:
        from azure.storage.blob import ContentSettings

        return ContentSettings(content_type=inputs.get("contentType") or "application/octet-stream")

    @contextmanager
    def _client(self, named: Properties) -> Iterator[BlobClient]:
        # Here and not above: most programs have no blob, and the package takes its time.
        from azure.core.exceptions import HttpResponseError

        from lightly_infra.sandbox.azure.blobs import code_of, first_line, service_client

        account = self.session.account_id(named)
        endpoint = self.session.call("GET", account)["properties"]["primaryEndpoints"]["blob"]
        key = self.session.call("POST", f"{account}/listKeys")["keys"][0]["value"]
        with service_client(endpoint, key, self.session.ca_bundle) as service:
            try:
                yield service.get_blob_client(named["containerName"], named["blobName"])
            except HttpResponseError as error:
                raise Refused(error.status_code or 500, code_of(error), first_line(error.message)) from error


_RETENTION: Final = Input(computed=True, shape=_same("enabled", "days"))


class BlobServiceProperties(AzureType):
    """Soft delete and versioning. Each account has them; deleting the resource turns all of it off."""

    type_name = "azure-native:storage:BlobServiceProperties"
    inputs: ClassVar[Mapping[str, Input]] = {
        "accountName": ACCOUNT,
        "blobServicesName": only("default", "an account has this one only"),
        "containerDeleteRetentionPolicy": _RETENTION,
        "deleteRetentionPolicy": _RETENTION,
        "isVersioningEnabled": Input(computed=True),
        "resourceGroupName": GROUP,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Set them."""
        resource_id = f"{self.session.account_id(inputs)}/blobServices/default"
        return resource_id, self.update(resource_id, {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id says it all
        """What they are."""
        return self._outputs(self.session.call("GET", resource_id))

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Set them anew."""
        names = ("containerDeleteRetentionPolicy", "deleteRetentionPolicy", "isVersioningEnabled")
        body = {"properties": {name: inputs[name] for name in names if name in inputs}}
        return inputs | self._outputs(self.session.call("PUT", resource_id, body))

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Turn all off."""
        self.session.call("PUT", resource_id, {"properties": {}})

    @staticmethod
    def _outputs(found: Properties) -> Properties:
        return {**found["properties"], **_owner(found), "blobServicesName": "default"}


class ManagementPolicy(AzureType):
    """Lifecycle rules: one document for each account. The emulator keeps them and does not act on them."""

    type_name = "azure-native:storage:ManagementPolicy"
    inputs: ClassVar[Mapping[str, Input]] = {
        "accountName": ACCOUNT,
        "managementPolicyName": only("default", "an account has this one only"),
        "policy": Input(
            required=True,
            shape=_same(
                "rules",
                nested={
                    "rules": _same(
                        *("definition", "enabled", "name", "type"),
                        nested={
                            "definition": _same(
                                *("actions", "filters"),
                                nested={
                                    "actions": _same(
                                        "baseBlob",
                                        nested={
                                            "baseBlob": _same(
                                                "delete", nested={"delete": _same("daysAfterModificationGreaterThan")}
                                            )
                                        },
                                    ),
                                    "filters": _same("blobTypes", "prefixMatch"),
                                },
                            )
                        },
                    )
                },
            ),
        ),
        "resourceGroupName": GROUP,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Set the rules, where there are none."""
        resource_id = f"{self.session.account_id(inputs)}/managementPolicies/default"
        self.session.refuse_existing(resource_id)
        return resource_id, self.update(resource_id, {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id says it all
        """The rules as they are."""
        return self._outputs(self.session.call("GET", resource_id))

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Replace the document."""
        body = {"properties": {"policy": inputs["policy"]}}
        return inputs | self._outputs(self.session.call("PUT", resource_id, body))

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Remove the rules."""
        self.session.call("DELETE", resource_id)

    @staticmethod
    def _outputs(found: Properties) -> Properties:
        return {**found["properties"], **_owner(found), "managementPolicyName": "default"}


def _owner(found: Properties) -> Properties:
    """What every resource below an account has."""
    parts = found["id"].split("/")
    return {
        "accountName": parts[8],
        "azureApiVersion": STORAGE,
        "name": found["name"],
        "resourceGroupName": parts[4],
        "type": found["type"],
    }

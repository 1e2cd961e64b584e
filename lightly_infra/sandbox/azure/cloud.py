"""The emulated Azure subscription, as the sandbox sees every cloud."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from lightly_infra.clouds.azure import policy
from lightly_infra.sandbox.azure import blobs, probe
from lightly_infra.sandbox.azure.arm import Arm
from lightly_infra.sandbox.azure.arm_model import SUBSCRIPTION
from lightly_infra.sandbox.azure.arm_server import ArmServer
from lightly_infra.sandbox.azure.azurite import Azurite
from lightly_infra.sandbox.cloud import CannotSeed, EmulatedCloud
from lightly_infra.sandbox.seed import BESIDE, IMAGES, image
from lightly_infra.spec.azure import AzureSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from azure.storage.blob import ContainerClient

    from lightly_infra.sandbox.cloud import Source
    from lightly_infra.sandbox.probe import Attempt

_LOCATION: Final = "westeurope"
_GROUP: Final = "lightly-infra-sandbox"  # of accounts of which nobody says where they are


class AzureCloud(EmulatedCloud):
    """An emulated Azure Resource Manager, and Azurite for all its storage accounts."""

    name = "Azure"

    def __init__(self) -> None:
        self._azurite = Azurite()
        self._arm = Arm(self._azurite)
        self._server = ArmServer(self._arm)

    @property
    def pid(self) -> int | None:
        """The id of Azurite's process."""
        return self._azurite.pid

    def start(self) -> Self:
        """Starts both."""
        if self._azurite.pid is None:
            self._azurite.start()
            self._arm = Arm(self._azurite)
            self._server = ArmServer(self._arm)
            try:
                self._server.start()
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """Ends both."""
        try:
            self._server.stop()
        finally:
            self._azurite.stop()

    def environment(self) -> dict[str, str]:
        """Where Azure Resource Manager is, and what the certificates of blob endpoints are checked against."""
        return {
            "ARM_ENDPOINT": self._server.url,
            "ARM_ACCESS_TOKEN": self._server.token,
            "ARM_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AZURE_CA_BUNDLE": self._azurite.ca_bundle,
        }

    def prepare(self, sources: Sequence[Source]) -> None:
        """Makes resource groups, storage accounts and containers that are taken as given, with images for an Input.

        Raises:
            CannotSeed: a SAS of the user's own is given, which nobody can sign again, or a directory's is wanted,
                which Azurite refuses.
        """
        given = [(it, it.spec) for it in sources if isinstance(it.spec, AzureSpec)]
        for it, azure in given:
            if azure.sas_token is not None:
                raise CannotSeed(
                    f"{it.where}.sas_token: a SAS is signed with the key of the real account, which the emulated one "
                    "does not have; leave sas_token out here and name the resource_group, so that one is signed"
                )
            if azure.directory_sas:
                raise CannotSeed(f"{it.where}.directory_sas: {probe.NO_DIRECTORY_SAS}")
        # Compared without case, as Azure does.
        made_groups = {str(azure.resource_group).lower() for _, azure in given if azure.makes("resource_group")}
        made_accounts = {azure.account for _, azure in given if azure.makes("account")}
        made_containers = {azure.place for _, azure in given if azure.makes("container")}
        for it, azure in given:
            group = azure.resource_group
            if group is None or group.lower() in made_groups:
                continue
            with self._server.lock:
                self._arm.have_group(group, _LOCATION)
                if azure.account is None or azure.account in made_accounts:
                    continue
                self._arm.have_account(group, azure.account)
            if azure.container is not None and azure.place not in made_containers:
                self._fill(azure.account, azure.container, azure.prefix, it.files)

    def put_images(self, place: str, prefix: str) -> None:
        """Makes `ACCOUNT/CONTAINER` where it is missing, and puts images into it."""
        account, _, container = place.partition("/")
        policy.check_account(account)
        policy.check_container(container)
        if account not in self._arm.accounts:
            self.make_account(_GROUP, account)
        self._fill(account, container, prefix)

    def probe(self, datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
        """Tries a datasource with its SAS."""
        with self._server.lock:
            return probe.probe(datasource, others, self._arm)

    def make_account(self, group: str, account: str) -> None:
        """Makes a storage account, with its resource group where that is missing."""
        with self._server.lock:
            self._arm.have_group(group, _LOCATION)
            self._arm.have_account(group, account)

    @contextmanager
    def container_client(self, account: str, container: str) -> Iterator[ContainerClient]:
        """azure-storage-blob's client of a container, as the account's owner."""
        arm = self._arm
        with blobs.service_client(arm.account_url(account), arm.data_key(account), arm.ca_bundle) as service:
            yield service.get_container_client(container)

    def mint_sas(self, account: str, container: str, *, permissions: str, expires: datetime, key: str = "key1") -> str:
        """A SAS with its leading `?`, as the account's owner would sign one."""
        signing = self._arm.signing_key(account, key)
        return blobs.mint_sas(account, container, signing, permissions=permissions, expires=expires)

    def account_keys(self) -> frozenset[str]:
        """Both keys of every storage account, as their owners know them."""
        with self._server.lock:
            arm = self._arm
            return frozenset(arm.signing_key(name, key) for name in arm.accounts for key in ("key1", "key2"))

    def regenerate_key(self, account: str, key: str) -> None:
        """Does so as the account's owner: what was signed with `key1` or `key2` is void."""
        with self._server.lock:
            self._arm.new_key(account, key)

    def lifecycle(self, account: str) -> list[dict[str, Any]]:
        """The rules of an account's management policy; none where it has none."""
        with self._server.lock:
            return self._arm.rules(account)

    def set_lifecycle(self, account: str, rules: list[dict[str, Any]]) -> None:
        """Sets them as the account's owner."""
        with self._server.lock:
            self._arm.have_rules(account, rules)

    def take_account_name(self, name: str) -> None:
        """Has somebody else in the world own a storage account of this name."""
        with self._server.lock:
            self._arm.taken.add(name)

    def _fill(self, account: str, container: str, prefix: str, files: Iterable[str] = IMAGES) -> None:
        """These files under the prefix, and one blob beside it."""
        with self._server.lock:
            self._arm.have_container(account, container)
        names = [f"{prefix}{name}" for name in files]
        with self.container_client(account, container) as client:
            for name in (*names, BESIDE):
                client.upload_blob(name, image(), overwrite=True)

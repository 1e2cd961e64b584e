"""The emulated OBS, as the sandbox sees every cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from lightly_infra.clouds.obs import policy
from lightly_infra.sandbox.aws.seed import put_images
from lightly_infra.sandbox.cloud import EmulatedCloud
from lightly_infra.sandbox.obs import probe, seed
from lightly_infra.sandbox.obs.ministack import REGION, ObsServer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lightly_infra.sandbox.cloud import Source
    from lightly_infra.sandbox.probe import Attempt


class ObsCloud(EmulatedCloud):
    """ministack as an OBS of one account. It answers for every endpoint that a stack names, whatever its cloud.

    It refuses wrong signatures and what policies do not allow, at once, where the real OBS may take five minutes. What
    it does not tell apart: an OBS of one cloud from one of another, path-style from virtual hosts.

    Attributes:
        client: Makes boto3 clients of who makes buckets: see `ObsServer.buckets`.
        let_in: Adds a user: see `ObsServer.let_in`.
    """

    name = "OBS"

    def __init__(self) -> None:
        self._server = ObsServer()
        self.client = self._server.buckets
        self.let_in = self._server.let_in

    @property
    def endpoint(self) -> str:
        """The URL where it answers."""
        return self._server.endpoint

    @property
    def ca_bundle(self) -> str:
        """The PEM file of the authority that signed the endpoint's certificate."""
        return self._server.ca_bundle

    def start(self) -> Self:
        """Starts ministack."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Ends it."""
        self._server.stop()

    def environment(self) -> dict[str, str]:
        """The variables that send our OBS resources here, as the deployer."""
        return {
            "OBS_ENDPOINT_URL": self.endpoint,
            "OBS_CA_BUNDLE": self.ca_bundle,
            "OBS_ACCESS_KEY_ID": self._server.deployer.access_key,
            "OBS_SECRET_ACCESS_KEY": self._server.deployer.secret_key,
        }

    def prepare(self, sources: Sequence[Source]) -> None:
        """Makes what the sources take as given: see `seed`."""
        seed.prepare(self._server, sources)

    def put_images(self, place: str, prefix: str) -> None:
        """Makes a bucket."""
        policy.check_bucket(place)
        put_images(self.client(), place, REGION, prefix)

    def probe(self, datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
        """Tries a datasource with its own keys, whatever endpoint it names."""
        return probe.probe(datasource, others, self._server.environment(REGION))

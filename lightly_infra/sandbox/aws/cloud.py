"""The emulated AWS account, as the sandbox sees every cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from lightly_infra import paths
from lightly_infra.clouds.aws import policy
from lightly_infra.sandbox.aws import probe, seed
from lightly_infra.sandbox.aws.ministack import Ministack
from lightly_infra.sandbox.cloud import EmulatedCloud

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from lightly_infra.sandbox.cloud import Source
    from lightly_infra.sandbox.probe import Attempt


class AwsCloud(EmulatedCloud):
    """ministack as one AWS account.

    Args:
        region: AWS_REGION of programs and providers.
        lightly_account_id: The AWS account that the emulated Lightly comes from.

    Attributes:
        client: Makes boto3 clients of the account's administrator: see `Ministack.client`.
    """

    name = "AWS"

    def __init__(self, region: str = "eu-central-1", lightly_account_id: str = policy.LIGHTLY_ACCOUNT_ID) -> None:
        self._region = region
        self._lightly_account_id = lightly_account_id
        self._ministack = Ministack()
        self.client = self._ministack.client

    @property
    def endpoint(self) -> str:
        """The URL of every service."""
        return self._ministack.endpoint

    @property
    def ca_bundle(self) -> str:
        """The PEM file of the authority that signed the endpoint's certificate."""
        return self._ministack.ca_bundle

    def start(self) -> Self:
        """Starts ministack."""
        self._ministack.start()
        return self

    def stop(self) -> None:
        """Ends it."""
        self._ministack.stop()

    def environment(self) -> dict[str, str]:
        """The variables that every AWS SDK knows."""
        return self._ministack.environment(self._region)

    def prepare(self, sources: Sequence[Source]) -> None:
        """Makes what the sources take as given: see `seed`."""
        seed.prepare(self._ministack, sources, self._lightly_account_id)

    def put_images(self, place: str, prefix: str) -> None:
        """Makes a bucket in the account's own region."""
        place = paths.check_s3_bucket(place)
        seed.put_images(self.client("s3", self._region), place, self._region, prefix)

    def put_aged_images(self, bucket: str, prefix: str, days_kept: int, now: datetime) -> None:
        """Images of several ages, of which some are soon deleted: see `seed`."""
        seed.put_aged_images(self.client("s3", self._region), bucket, prefix, days_kept, now)

    def probe(self, datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
        """Tries a datasource as Lightly's account."""
        return probe.probe(datasource, others, self._ministack, self._lightly_account_id)

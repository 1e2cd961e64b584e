"""boto3 clients for an emulated AWS, untouched by whatever AWS configuration the machine has."""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_sts import STSClient

# Neither a profile nor a file of the user's may decide where an emulated client goes, or as whom.
_NO_USER_FILES: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@cache
def _models() -> Any:
    """Botocore's models of the services, read once: a client then takes 8 ms and not 50."""
    return botocore.session.Session(session_vars=_NO_USER_FILES).get_component("data_loader")


class Clients:
    """Clients by service and region, made once each; safe to share between threads.

    Args:
        env: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; optionally AWS_SESSION_TOKEN and
            AWS_CA_BUNDLE, the PEM file that the endpoint's certificate is checked against.

    Raises:
        ValueError: AWS_ENDPOINT_URL is missing: without it the clients would talk to the real AWS.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        if not env.get("AWS_ENDPOINT_URL"):
            raise ValueError("AWS_ENDPOINT_URL is not set: emulated AWS clients never talk to the real AWS")
        self._endpoint = env["AWS_ENDPOINT_URL"]
        self._verify = env.get("AWS_CA_BUNDLE") or True
        self._credentials = {
            "aws_access_key_id": env.get("AWS_ACCESS_KEY_ID"),
            "aws_secret_access_key": env.get("AWS_SECRET_ACCESS_KEY"),
            "aws_session_token": env.get("AWS_SESSION_TOKEN"),
        }
        self._core = botocore.session.Session(session_vars=_NO_USER_FILES)
        self._core.register_component("data_loader", _models())
        self._session = boto3.Session(botocore_session=self._core)
        self._made: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()  # a boto3 client is safe to share, making one is not

    @overload
    def get(self, service: Literal["s3"], region: str) -> S3Client: ...
    @overload
    def get(self, service: Literal["iam"], region: str) -> IAMClient: ...
    @overload
    def get(self, service: Literal["kms"], region: str) -> KMSClient: ...
    @overload
    def get(self, service: Literal["sts"], region: str) -> STSClient: ...

    def get(self, service: str, region: str) -> Any:
        """The client of `service` for `region`."""
        with self._lock:
            key = (service, region)
            if key not in self._made:
                self._made[key] = self._make(service, region)
            return self._made[key]

    def _make(self, service: str, region: str) -> Any:
        make: Any = self._session.client  # one overload per service, and the name is only known when running
        return make(
            service,
            region_name=region,
            endpoint_url=self._endpoint,
            verify=self._verify,
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},  # the emulator is on this machine
                connect_timeout=5,
                read_timeout=30,
                retries={"total_max_attempts": 2},
            ),
            **self._credentials,
        )

    def regions(self) -> dict[str, str]:
        """The regions of the partition `aws` that the installed botocore knows, with their descriptions."""
        partitions: Any = self._core.get_component("data_loader").load_data("endpoints")
        found = next(one for one in partitions["partitions"] if one["partition"] == "aws")
        return {name: region["description"] for name, region in found["regions"].items()}

    def close(self) -> None:
        """Close the connections of all clients."""
        with self._lock:
            for client in self._made.values():
                client.close()
            self._made.clear()

"""How OBS is reached, and as whom: the keys of whoever deploys, which are never in the state."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.clouds.obs.errors import ACCESS_KEY_ID, SECRET_ACCESS_KEY, CredentialsMissing, PackageMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_s3 import S3Client

ACCESS_KEY_ID_CONFIG: Final = "obs:access_key_id"
SECRET_ACCESS_KEY_CONFIG: Final = "obs:secret_access_key"  # noqa: S105 - the name of a setting, not its value
ENDPOINT_URL: Final = "OBS_ENDPOINT_URL"
CA_BUNDLE: Final = "OBS_CA_BUNDLE"

_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_ATTEMPTS: Final = 4  # botocore's standard mode waits up to 1, 2 and 4 s in between

# Neither a profile nor a file of the user's AWS account has a say here.
_NO_USER_FILES: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
# OBS wants these with the MD5 of their body, where newer versions of botocore send a checksum that OBS does not know.
_WITH_MD5: Final = ("PutBucketLifecycleConfiguration", "PutBucketPolicy")


@dataclass(frozen=True)
class Server:
    """An OBS of some cloud, as a bucket is reached there."""

    endpoint: str
    """Such as `https://obs.eu-de.otc.t-systems.com`."""

    region: str
    """What calls are signed for, such as `eu-de`."""

    addressing: str = "path"
    """`path`: the bucket stands in the URL's path. `virtual`: in front of the host."""


@dataclass(frozen=True)
class Settings:
    """Who acts, and whether calls go elsewhere than to the endpoint. The secrets are not shown."""

    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    """Takes all calls, whatever their endpoint; always by path."""
    ca_bundle: str | None = None
    """A PEM file; by default the usual authorities are trusted."""

    @classmethod
    def read(cls, environment: Mapping[str, str], config: Callable[[str], str | None]) -> Settings:
        """The keys from the environment or else from the stack's config, and never one from each."""
        key_id, secret = environment.get(ACCESS_KEY_ID), environment.get(SECRET_ACCESS_KEY)
        if not key_id and not secret:
            key_id, secret = config(ACCESS_KEY_ID_CONFIG), config(SECRET_ACCESS_KEY_CONFIG)
        return cls(key_id, secret, environment.get(ENDPOINT_URL) or None, environment.get(CA_BUNDLE) or None)


def connect(server: Server, settings: Settings) -> S3Client:
    """A client of the S3-compatible interface; nothing is called yet. Safe to share between threads.

    Raises:
        CredentialsMissing: there are no keys, or one without the other.
        PackageMissing: boto3 is not installed.
    """
    if not settings.access_key_id or not settings.secret_access_key:
        raise CredentialsMissing
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
    except ImportError:
        raise PackageMissing from None

    redirected = settings.endpoint_url is not None
    core = botocore.session.Session(session_vars=_NO_USER_FILES)
    core.register_component("data_loader", _models())
    session = boto3.Session(botocore_session=core)
    client: S3Client = session.client(
        "s3",
        region_name=server.region,
        endpoint_url=settings.endpoint_url or server.endpoint,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        verify=settings.ca_bundle or True,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if redirected or server.addressing == "path" else "virtual"},
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            # An emulator is on this machine, where no proxy leads.
            proxies={} if redirected else None,
            # Whatever is not needed is a header that another vendor's S3 may not know.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
        ),
    )
    for operation in _WITH_MD5:
        client.meta.events.register(f"before-sign.s3.{operation}", _with_md5)
    return client


@cache
def _models() -> Any:
    """Botocore's model of S3, read once: a further client then takes 8 ms and not 50."""
    import botocore.session

    return botocore.session.Session(session_vars=_NO_USER_FILES).get_component("data_loader")


def _with_md5(request: Any, **_: object) -> None:
    body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
    for name in [it for it in request.headers if it.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-"))]:
        del request.headers[name]
    del request.headers["Content-MD5"]  # no error where there is none
    # The protocol's own choice of a checksum against broken transfers; nothing is kept secret with it.
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()

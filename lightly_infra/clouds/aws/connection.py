"""Who acts on AWS where the library itself asks: whoever the Pulumi provider of the stack acts as. Free of Pulumi."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, overload
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import boto3
    from types_boto3_iam import IAMClient
    from types_boto3_s3 import S3Client

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 20
_ATTEMPTS: Final = 3

_SESSION_NAME: Final = "lightly-infra"


@dataclass(frozen=True)
class Role:
    """A role that is assumed before anything is asked."""

    arn: str
    external_id: str | None = field(default=None, repr=False)
    session_name: str | None = None


@dataclass(frozen=True)
class Settings:
    """What a stack's config says of who acts; what it leaves open, the environment and AWS's own files say.

    The secrets are not shown. Not taken over from the provider's settings: endpoints, files in other places, web
    identities and policies that narrow a role's session.
    """

    profile: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    roles: tuple[Role, ...] = ()
    """Assumed in this order, each by the one before."""

    @classmethod
    def read(cls, config: Mapping[str, str]) -> Settings:
        """What the stack's config says.

        Args:
            config: by key in full, such as `aws:profile`; values as programs get them, objects as JSON.

        Raises:
            ValueError: the roles to assume are none; the message names the key, and no value.
        """
        return cls(
            profile=config.get("aws:profile") or None,
            access_key=config.get("aws:accessKey") or None,
            secret_key=config.get("aws:secretKey") or None,
            token=config.get("aws:token") or None,
            roles=tuple(_roles(config, "aws:assumeRoles")) or tuple(_roles(config, "aws:assumeRole")),
        )

    @property
    def secrets(self) -> list[str]:
        """What no message may repeat."""
        return [it for it in (self.secret_key, self.token, *(role.external_id for role in self.roles)) if it]

    @overload
    def client(self, service: Literal["s3"], region: str) -> S3Client: ...

    @overload
    def client(self, service: Literal["iam"], region: str) -> IAMClient: ...

    def client(self, service: Literal["s3", "iam"], region: str) -> S3Client | IAMClient:
        """A client of a service; roles are assumed now. Not to be shared between threads.

        Raises:
            ImportError: boto3 is not installed.
            BotoCoreError: there are no credentials for a role to be assumed with, or AWS cannot be reached.
            ClientError: a role was refused.
        """
        session = _session(
            profile_name=self.profile,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.token,
        )
        for role in self.roles:
            session = _assumed(session, role, region)
        made: S3Client | IAMClient = _client(session, service, region)
        return made


def _roles(config: Mapping[str, str], key: str) -> Iterator[Role]:
    try:
        given = json.loads(config.get(key) or "[]")
    except ValueError:
        given = [None]
    for it in given if isinstance(given, list) else [given]:
        match it:
            case {"roleArn": str(arn)}:
                yield Role(arn, it.get("externalId"), it.get("sessionName"))
            case _:
                raise ValueError(f"{key}: is not a role to assume: write it as {{roleArn: 'arn:aws:iam::…'}}")


def _assumed(session: boto3.Session, role: Role, region: str) -> boto3.Session:
    external_id = {"ExternalId": role.external_id} if role.external_id else {}
    keys = _client(session, "sts", region).assume_role(
        RoleArn=role.arn, RoleSessionName=role.session_name or _SESSION_NAME, **external_id
    )["Credentials"]
    return _session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def _session(**acting: str | None) -> boto3.Session:
    import boto3
    import botocore.session

    core = botocore.session.Session()
    core.register_component("data_loader", _models())
    return boto3.Session(botocore_session=core, **acting)


@cache
def _models() -> Any:
    """Botocore's models of the services, read once: a further client then takes 8 ms and not 300."""
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


def _client(session: Any, service: str, region: str) -> Any:
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        # An emulator is on this machine, where no proxy leads: Pulumi's provider does not ask one either.
        proxies={} if _is_here(os.environ.get("AWS_ENDPOINT_URL", "")) else None,
    )
    return session.client(service, region_name=region, config=config)


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

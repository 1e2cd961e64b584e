"""ministack as OBS: another account, and users whose keys are given."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from lightly_infra.sandbox.aws.ministack import Credentials, Ministack
from lightly_infra.sandbox.obs import DOOR, DOOR_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_s3 import S3Client

ACCOUNT: Final = "210987654321"
"""Of the buckets' owner; another one than the emulated AWS account's."""

REGION: Final = "eu-de"
"""Where buckets lie that do not say otherwise."""

_SECONDS: Final = 10


@dataclass(frozen=True)
class User:
    """A user with keys that are given."""

    arn: str
    """In any domain: whatever domain a stack names, the user is one of the buckets' owner's account."""

    keys: Credentials

    policy: Mapping[str, Any] | None = None
    """What IAM lets it do; nothing for one that only bucket policies let in."""


class ObsServer(Ministack):
    """An emulated OBS. The signatures of its users' keys are checked, and so their secrets.

    Attributes:
        deployer: The keys of who makes buckets; may do everything with them.
        brought: The buckets that are the user's own, whose policies the sandbox writes.
    """

    application: ClassVar[str] = "lightly_infra.sandbox.obs.server:app"

    def __init__(self) -> None:
        super().__init__(ACCOUNT)
        self.brought: set[str] = set()
        self._password = secrets.token_hex(20)
        self.deployer = Credentials(f"OBS{secrets.token_hex(8).upper()}", secrets.token_hex(20))

    def start(self) -> Self:
        """Starts ministack, with the deployer as its only user."""
        if self.pid is not None:
            return self
        super().start()
        everything = {"Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}]}
        try:
            self.let_in(User(f"arn:aws:iam::{ACCOUNT}:user/deployer", self.deployer, everything))
        except BaseException:
            self.stop()
            raise
        return self

    def buckets(self, region: str = REGION) -> S3Client:
        """The deployer's client."""
        return self.client("s3", region, credentials=self.deployer)

    def let_in(self, user: User) -> None:
        """Adds the user; one that is there already gets these keys, too. A known key gets this secret."""
        record = {"UserName": user.arn, "Arn": user.arn, "UserId": user.arn.rpartition("/")[2], "Path": "/"}
        key = {
            "UserName": user.arn,
            "AccessKeyId": user.keys.access_key,
            "SecretAccessKey": user.keys.secret_key,
            "Status": "Active",
            "CreateDate": "2026-01-01T00:00:00Z",
        }
        self._put(
            {
                "users": {user.arn: record},
                "user_inline_policies": {user.arn: {"given": user.policy} if user.policy else {}},
                "access_keys": {user.keys.access_key: key},
            }
        )

    def _settings(self) -> dict[str, str]:
        return super()._settings() | {DOOR_PASSWORD: self._password}

    def _put(self, state: Mapping[str, Any]) -> None:
        trusted = ssl.create_default_context(cafile=self.ca_bundle)
        at = urlsplit(self.endpoint)
        connection = http.client.HTTPSConnection(at.hostname or "", at.port, timeout=_SECONDS, context=trusted)
        try:
            connection.request("PUT", DOOR, json.dumps(state), {"Authorization": self._password})
            status = connection.getresponse().status
        finally:
            connection.close()
        if status != http.HTTPStatus.NO_CONTENT:
            raise RuntimeError(f"the emulated OBS let no user in: status {status}")

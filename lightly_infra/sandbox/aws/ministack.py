"""ministack: an AWS on this machine whose IAM refuses what the real one refuses.

One process, one TLS port on 127.0.0.1, its own certificate authority, state in memory only. What it does not enforce:
key permissions of KMS, the maximum session duration, malformed trust policies (the emulated provider checks those).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Literal, overload

from lightly_infra.sandbox import process
from lightly_infra.sandbox.aws.clients import Clients
from lightly_infra.sandbox.tls_child import TlsChild

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_sts import STSClient

ACCOUNT: Final = "123456789012"

# All that the process sees of our environment: what Python needs to start, nothing that could configure ministack.
_INHERITED: Final = ("PATH", "PYTHONPATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "LANG")


@dataclass(frozen=True)
class Credentials:
    """Who a client acts as. The secrets are not shown."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def environment(self) -> dict[str, str]:
        """The variables by which every AWS SDK is given them."""
        names = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }
        return {name: value for name, value in names.items() if value is not None}


# ministack's own administrator of the account.
_ADMINISTRATOR: Final = Credentials("test", "test")


class Ministack(TlsChild):
    """An emulated AWS account. A context manager; `start` and `stop` do the same by hand.

    Args:
        account: The account's id, 12 digits. Another one makes an emulator a stranger to the first.
    """

    name = "the emulated AWS"
    stem = "aws"
    health = "/_ministack/health"
    ready = 20.0  # it takes half a second on an idle machine
    application: ClassVar[str] = "lightly_infra.sandbox.aws.server:app"
    """The ASGI application that is served, as `module:name`."""

    def __init__(self, account: str = ACCOUNT) -> None:
        super().__init__()
        self.account = account
        self._clients: dict[Credentials, Clients] = {}

    @property
    def endpoint(self) -> str:
        """The URL of every service."""
        return f"https://127.0.0.1:{self._port}"

    def stop(self) -> None:
        """End the process and remove all it left. May be called again."""
        for clients in self._clients.values():
            clients.close()
        self._clients.clear()
        super().stop()

    def environment(self, region: str) -> dict[str, str]:
        """The variables that send any AWS SDK, and our provider, here as the account's administrator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": self.ca_bundle,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            **_ADMINISTRATOR.environment(),
        }

    @overload
    def client(self, service: Literal["s3"], region: str = ..., *, credentials: Credentials = ...) -> S3Client: ...
    @overload
    def client(self, service: Literal["iam"], region: str = ..., *, credentials: Credentials = ...) -> IAMClient: ...
    @overload
    def client(self, service: Literal["kms"], region: str = ..., *, credentials: Credentials = ...) -> KMSClient: ...
    @overload
    def client(self, service: Literal["sts"], region: str = ..., *, credentials: Credentials = ...) -> STSClient: ...

    def client(
        self,
        service: Literal["s3", "iam", "kms", "sts"],
        region: str = "eu-central-1",
        *,
        credentials: Credentials = _ADMINISTRATOR,
    ) -> S3Client | IAMClient | KMSClient | STSClient:
        """A boto3 client: the administrator's, or that of the credentials given.

        An access key id of 12 digits with the secret `test` is the root user of that account.
        """
        if credentials not in self._clients:
            self._clients[credentials] = Clients(self.environment(region) | credentials.environment())
        return self._clients[credentials].get(service, region)

    def _launch(self, workspace: Path) -> process.Child:
        return process.start(
            self.name,
            # ministack's own entry point would also bind port 443 and write a pid file beside the workspace.
            "hypercorn",
            self.application,
            f"--bind=127.0.0.1:{self._port}",
            f"--certfile={workspace / 'server.pem'}",
            f"--keyfile={workspace / 'server.key'}",
            "--workers=0",  # in this process, not in one of its own
            "--keep-alive=75",
            "--graceful-timeout=0",  # nothing is worth waiting for: all state is thrown away
            env=self._settings(),
            workspace=workspace,
        )

    def _settings(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        directory = str(self._directory)
        return inherited | {
            "AUTH": "true",
            "USE_SSL": "1",  # TLS is hypercorn's business; this makes the URLs in answers say https
            "GATEWAY_PORT": str(self._port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": self.account,
            "SERVICES": "s3,iam,sts,kms",
            "LOG_LEVEL": "WARNING",
            # No listeners beside the one port, and no look at the user's containers.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "DOCKER_HOST": f"unix://{directory}/no-docker",
            # Should it write anything after all, it is inside the directory that goes.
            "HOME": directory,
            "TMPDIR": directory,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

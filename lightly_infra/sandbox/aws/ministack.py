"""ministack: an AWS on this machine whose IAM refuses what the real one refuses.

One process, one TLS port on 127.0.0.1, its own certificate authority, state in memory only. What it does not enforce:
key permissions of KMS, the maximum session duration, malformed trust policies (the emulated provider checks those).
"""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self, overload

from lightly_infra.sandbox import process
from lightly_infra.sandbox.aws.clients import Clients
from lightly_infra.sandbox.certificates import make_certificates

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_sts import STSClient

ACCOUNT: Final = "123456789012"
_READY: Final = 20.0  # seconds; it takes half a second on an idle machine

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


class Ministack:
    """An emulated AWS account. A context manager; `start` and `stop` do the same by hand.

    Args:
        account: The account's id, 12 digits. Another one makes an emulator a stranger to the first.
    """

    application: ClassVar[str] = "ministack.app:app"
    """The ASGI application that is served, as `module:name`."""

    def __init__(self, account: str = ACCOUNT) -> None:
        self.account = account
        self._port = 0
        self._workspace: Path | None = None
        self._child: process.Child | None = None
        self._clients: dict[Credentials, Clients] = {}

    @property
    def endpoint(self) -> str:
        """The URL of every service."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_bundle(self) -> str:
        """The PEM file of the authority that signed the endpoint's certificate."""
        return str(self._directory / "ca.pem")

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self._child.pid if self._child else None

    def start(self) -> Self:
        """Start the process and wait until it answers.

        Raises:
            ChildError: It did not start; the message ends with its last output.
        """
        if self._child is not None:
            return self
        self._workspace = Path(tempfile.mkdtemp(prefix="lightly-infra-aws-"))
        try:
            make_certificates(self._workspace)
            self._port = process.free_port()
            self._child = process.start(
                "the emulated AWS",
                # ministack's own entry point would also bind port 443 and write a pid file beside the workspace.
                "hypercorn",
                self.application,
                f"--bind=127.0.0.1:{self._port}",
                f"--certfile={self._workspace / 'server.pem'}",
                f"--keyfile={self._workspace / 'server.key'}",
                "--workers=0",  # in this process, not in one of its own
                "--keep-alive=75",
                "--graceful-timeout=0",  # nothing is worth waiting for: all state is thrown away
                env=self._settings(),
                workspace=self._workspace,
            )
            context = ssl.create_default_context(cafile=self.ca_bundle)
            process.wait_until_healthy(lambda: self._answers(context), self._child, seconds=_READY)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process and remove all it left. May be called again."""
        child, self._child = self._child, None
        workspace, self._workspace = self._workspace, None
        for clients in self._clients.values():
            clients.close()
        self._clients.clear()
        try:
            if child is not None:
                child.stop()
        finally:
            if workspace is not None:
                shutil.rmtree(workspace, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

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

    @property
    def _directory(self) -> Path:
        if self._workspace is None:
            raise RuntimeError("the emulated AWS is not running")
        return self._workspace

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

    def _answers(self, context: ssl.SSLContext) -> bool:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=5, context=context)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()

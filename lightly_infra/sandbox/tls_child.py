"""An emulator of somebody else's: a child process that serves TLS on 127.0.0.1, with a workspace of its own."""

from __future__ import annotations

import http.client
import shutil
import ssl
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from lightly_infra.sandbox import process
from lightly_infra.sandbox.certificates import make_certificates


class TlsChild(ABC):
    """Lives from `start` to `stop`, and leaves nothing behind. A context manager does both."""

    name: ClassVar[str]
    """What messages call it, such as `the emulated AWS`."""

    stem: ClassVar[str]
    """What its workspace is called."""

    health: ClassVar[str]
    """The path that answers when it is ready."""

    ready: ClassVar[float]
    """Seconds that it may take until then."""

    def __init__(self) -> None:
        self._port = 0
        self._workspace: Path | None = None
        self._child: process.Child | None = None

    @property
    def ca_bundle(self) -> str:
        """The PEM file of the authority that signed the endpoint's certificate."""
        return str(self._directory / "ca.pem")

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self._child.pid if self._child else None

    @abstractmethod
    def _launch(self, workspace: Path) -> process.Child:
        """Starts the child on `_port`, with the `server.pem` and `server.key` that are in the workspace."""

    def _is_healthy(self, status: int) -> bool:
        """Whether an answer with this HTTP status means that it is ready."""
        return status == http.HTTPStatus.OK

    def start(self) -> Self:
        """Start the process and wait until it answers.

        Raises:
            CannotStart: it is not on this machine, and cannot be had.
            ChildError: it did not start; the message ends with its last output.
        """
        if self._child is not None:
            return self
        self._workspace = Path(tempfile.mkdtemp(prefix=f"lightly-infra-{self.stem}-"))
        try:
            make_certificates(self._workspace)
            self._port = process.free_port()
            self._child = self._launch(self._workspace)
            context = ssl.create_default_context(cafile=self.ca_bundle)
            process.wait_until_healthy(lambda: self._answers(context), self._child, seconds=self.ready)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process and remove all it left. May be called again."""
        child, self._child = self._child, None
        workspace, self._workspace = self._workspace, None
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

    @property
    def _directory(self) -> Path:
        if self._workspace is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._workspace

    def _answers(self, context: ssl.SSLContext) -> bool:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=5, context=context)
        try:
            connection.request("GET", self.health)
            return self._is_healthy(connection.getresponse().status)
        finally:
            connection.close()

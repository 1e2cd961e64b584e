"""A web application on a port of this machine, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from lightly_infra.sandbox import missing_extra

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_READY: Final = 10.0  # seconds


class _Quiet(H11Protocol):
    """Writes no access log, which would hold the secrets of URLs, whatever handlers a program's loggers have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False


class Serving:
    """Listens on 127.0.0.1 from when it is built until `stop`.

    Args:
        name: What errors and the thread are called.
        app: What answers.
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
        RuntimeError: it did not start.
    """

    def __init__(self, name: str, app: ASGIApp, port: int = 0) -> None:
        # With the protocol spelled out, else asyncio does not switch Nagle's algorithm off: 40 ms for each answer.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        # No signal handlers: they are the program's.
        config = uvicorn.Config(
            app,
            log_config=None,
            lifespan="off",
            ws="none",
            http=_Quiet,
            loop="asyncio",
            interface="asgi3",
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name=name, daemon=True
        )
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread.start()
        end = time.monotonic() + _READY
        while not self._server.started:
            if time.monotonic() > end or not self._thread.is_alive():
                self.stop()
                raise RuntimeError(f"{name} did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stops. May be called again."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


class Server(ABC):
    """An emulated API that answers on 127.0.0.1 from `start` to `stop`. A context manager does both."""

    name: ClassVar[str]
    """What messages call it, such as `the emulated Lightly`."""

    def __init__(self, port: int = 0) -> None:
        """Takes the port; 0 takes a free one."""
        self._port = port
        self._serving: Serving | None = None

    @abstractmethod
    def app(self) -> ASGIApp:
        """What answers; asked for at each start."""

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._serving is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._serving.url

    def start(self) -> Self:
        """Starts to listen, and returns when requests are answered; does nothing when it runs already.

        Raises:
            OSError: the port is taken.
        """
        if self._serving is None:
            self._serving = Serving(self.name, self.app(), self._port)
        return self

    def stop(self) -> None:
        """Stops. May be called again."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

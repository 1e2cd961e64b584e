"""Serves an emulated provider as a Pulumi plugin: `python -m lightly_infra.sandbox.engine.plugin module:factory`.

The Pulumi CLI starts a plugin, reads the port from its standard output and talks gRPC to it. It holds the other end of
the plugin's standard input: when the CLI ends, however it ends, the plugin does too.
"""

from __future__ import annotations

import os
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from lightly_infra.sandbox.engine.plugins import load_factory
from lightly_infra.updates.messages import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_THREADS: Final = 32  # operations at a time


class _Served:
    """A servicer whose exceptions reach the CLI as their message alone, as they do in the embedded engine."""

    def __init__(self, servicer: provider_pb2_grpc.ResourceProviderServicer) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        method = getattr(self._servicer, name)

        def serve(request: object, context: grpc.ServicerContext) -> object:
            try:
                return method(request, context)
            except Exception as error:
                if context.code() is grpc.StatusCode.UNIMPLEMENTED:
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not implemented")
                if context.code() is not None:
                    raise  # aborted by the servicer itself
                return context.abort(grpc.StatusCode.UNKNOWN, describe(error))

        return serve


def write_plugins(directory: Path, providers: Mapping[str, str]) -> None:
    """Writes what the Pulumi CLI finds as plugins if the directory is on PATH, before any that are installed.

    Args:
        directory: where to.
        providers: "module:factory" of each emulated provider by its package's name.
    """
    for package, reference in providers.items():
        path = directory / f"pulumi-resource-{package}"
        command = shlex.join([sys.executable, "-m", "lightly_infra.sandbox.engine.plugin", reference])
        path.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
        path.chmod(0o700)


def main() -> None:
    """Serves until standard input ends."""
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    servicer: Any = _Served(load_factory(sys.argv[1])(os.environ))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201 - the protocol
    try:
        while os.read(0, 1024):
            pass
    except KeyboardInterrupt:
        pass  # how the CLI ends its plugins
    os._exit(0)  # requests under way have nobody left to answer to


if __name__ == "__main__":
    main()

"""What the Pulumi CLI talks to while it runs one of our programs: the program itself, and a listener for events."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf import empty_pb2
from pulumi.automation import EngineEvent
from pulumi.runtime.proto import (
    events_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    plugin_pb2,
    resource_pb2,
    resource_pb2_grpc,
)
from pulumi.runtime.settings import Settings, configure

from lightly_infra.sandbox.engine.plugins import CHANNEL_OPTIONS
from lightly_infra.sandbox.engine.program import ProgramRun, chain
from lightly_infra.sandbox.engine.values import Properties, from_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from lightly_infra.sandbox.engine.interface import Program


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer, events_pb2_grpc.EventsServicer):
    """Serves one operation of the CLI. Use it as a context manager around the CLI's run.

    The Automation API has one of these too. It leaves event loops open and logs tracebacks when a program fails.
    """

    def __init__(
        self,
        program: Program,
        on_event: Callable[[EngineEvent], None],
        on_error: Callable[[Exception], None],
        learn: Callable[[Properties], None],
    ) -> None:
        """Takes the program, and who is told of events, of what the program raises, and of the inputs it gives."""
        self._program = program
        self._on_event = on_event
        self._on_error = on_error
        self._learn = learn
        self._runs: list[ProgramRun] = []
        self._running = threading.Lock()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="pulumi-language-host")
        self._server = grpc.server(self._threads)
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(self, self._server)
        events_pb2_grpc.add_EventsServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._runs:
            run.stop()
        with self._running:  # the program winds down even though the CLI has gone
            for run in self._runs:
                run.close()
        self._server.stop(grace=5).wait()
        self._threads.shutdown()  # gRPC leaves them to whoever gave them

    def StreamEvents(self, request_iterator: Iterator[Any], context: object) -> empty_pb2.Empty:  # noqa: N802, ARG002
        """Takes the CLI's events."""
        for request in request_iterator:
            self._on_event(EngineEvent.from_json(json.loads(request.event)))
        return empty_pb2.Empty()

    def Run(self, request: language_pb2.RunRequest, context: object) -> language_pb2.RunResponse:  # noqa: N802, ARG002
        """Runs the program; its exceptions go to `on_error`, and the CLI only hears that there was one."""
        errors: list[Exception] = []

        def prepare() -> None:
            settings = Settings(
                project=request.project,
                stack=request.stack,
                organization=request.organization or "organization",
                monitor=_Monitor(request.monitor_address, self._learn),
                engine=request.args[0] if request.args else None,
                parallel=request.parallel,
                dry_run=request.dryRun,
            )
            configure(settings)

        with self._running:
            run = ProgramRun(self._program)
            self._runs.append(run)
            run.run(prepare, errors.append)
            for error in errors:
                if not _is_shutdown(error):
                    self._on_error(error)
        return language_pb2.RunResponse(error="the program failed" if errors else "", bail=bool(errors))

    def GetRequiredPackages(self, request: object, context: object) -> language_pb2.GetRequiredPackagesResponse:  # noqa: N802, ARG002
        """Nothing is to be installed."""
        return language_pb2.GetRequiredPackagesResponse()

    def About(self, request: object, context: object) -> language_pb2.AboutResponse:  # noqa: N802, ARG002
        """The CLI asks; the answer does not matter."""
        return language_pb2.AboutResponse()

    def GetPluginInfo(self, request: object, context: object) -> plugin_pb2.PluginInfo:  # noqa: N802, ARG002
        """The CLI asks; the answer does not matter."""
        return plugin_pb2.PluginInfo()


class _Monitor:
    """The CLI's resource monitor. Shows `learn` all inputs that are registered: to be hidden a secret must be known."""

    def __init__(self, address: str, learn: Callable[[Properties], None]) -> None:
        channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = resource_pb2_grpc.ResourceMonitorStub(channel)
        self._learn = learn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stub, name)

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802
        """Passes a registration on."""
        self._learn(from_struct(request.object))
        return self._stub.RegisterResource(request)


def _is_shutdown(error: Exception) -> bool:
    """Whether the program only saw that the engine has stopped, which then knows why."""
    for cause in chain(error):
        if isinstance(cause, grpc.RpcError) and cause.code() in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
        }:
            return True
        if str(cause).startswith("Resource monitor has terminated"):
            return True
    return False

"""Where providers run: emulated ones in this process, dynamic ones in a child, as the real engine has it."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from lightly_infra.sandbox.engine.environment import importable_paths
from lightly_infra.sandbox.engine.interface import UnsupportedFeature
from lightly_infra.sandbox.engine.provider import (
    Call,
    NotImplementedByProvider,
    Provider,
    ProviderError,
    check_config,
)
from lightly_infra.sandbox.engine.values import Properties, reveal
from lightly_infra.sandbox.process import Child, ChildError, start, wait_until_healthy
from lightly_infra.updates.messages import describe

DYNAMIC: Final = "pulumi-python"
_START_SECONDS: Final = 60.0  # a cold import of the SDK on a busy machine takes a few
CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),  # the child is on this machine, whatever the proxy settings say
)

Factory = Callable[[Mapping[str, str]], provider_pb2_grpc.ResourceProviderServicer]


def load_factory(reference: str) -> Factory:
    """The factory that a "module:name" reference names."""
    module, _, name = reference.partition(":")
    factory: Factory = getattr(importlib.import_module(module), name)
    return factory


class Plugins:
    """The providers of one engine. They live as long as it, and start anew when their environment changes."""

    def __init__(self, providers: Mapping[str, str], env: Mapping[str, str]) -> None:
        """Takes "module:factory" by package name, and what providers see on top of this process's environment.

        `env` is looked at whenever a provider is asked for, so it may grow.
        """
        self._references = dict(providers)
        self._env = env
        self._configured: dict[str, list[tuple[Mapping[str, str], Provider]]] = {}
        self._dynamic: _DynamicHost | None = None
        self._lock = threading.RLock()

    def provider(self, package: str, inputs: Properties, project: str) -> Provider:
        """The package's provider, configured with `inputs`.

        Raises:
            UnsupportedFeature: There is no such provider here.
            ProviderError: It refuses its configuration.
        """
        with self._lock:
            environment = self._environment()
            alive = package != DYNAMIC or (self._dynamic is not None and self._dynamic.serves(project, self._env))
            others = [it for it in self._configured.get(package, []) if alive and it[0] == environment]
            for _, known in others:
                if reveal(known.inputs) == reveal(inputs):
                    return known
            call = self._start_dynamic(project) if package == DYNAMIC else self._emulated(package)
            provider = Provider(package, call, inputs)
            # One dynamic host serves one configuration: it is the whole stack's.
            self._configured[package] = [*([] if package == DYNAMIC else others), (environment, provider)]
            return provider

    def check_config(self, package: str, urn: str, olds: Properties, news: Properties) -> tuple[Properties, list[str]]:
        """Has a package check the inputs of an explicit provider before it is configured with them."""
        return check_config(self._emulated(package), urn, olds, news)

    def said(self) -> list[str]:
        """What dynamic providers have printed since this was last asked, line by line."""
        with self._lock:
            return self._dynamic.said() if self._dynamic else []

    def close(self) -> None:
        """Stops the dynamic providers' process."""
        with self._lock:
            self._configured.clear()
            self._stop_dynamic()

    def _emulated(self, package: str) -> Call:
        if package not in self._references:
            known = ", ".join(sorted(self._references)) or "none"
            raise UnsupportedFeature(f"provider {package!r} (emulated providers: {known})")
        try:
            servicer = load_factory(self._references[package])(self._environment())
        except Exception as error:
            raise ProviderError(f"provider {package} does not start: {describe(error)}") from error
        return _in_process(servicer)

    def _start_dynamic(self, project: str) -> Call:
        self._stop_dynamic()
        try:
            self._dynamic = _DynamicHost(project, self._env)
        except ChildError as error:
            raise ProviderError(str(error)) from error
        return self._dynamic.call

    def _stop_dynamic(self) -> None:
        dynamic, self._dynamic = self._dynamic, None
        if dynamic is not None:
            dynamic.close()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._env}


class _Context:
    """What the methods of a servicer get as their context when no gRPC is in between."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.details = ""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self.code, self.details = code, details
        raise ProviderError(details)

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return True


def _in_process(servicer: provider_pb2_grpc.ResourceProviderServicer) -> Call:
    def call(method: str, request: Any) -> Any:
        context = _Context()
        try:
            answer = getattr(servicer, method)(request, context)
        except Exception as error:
            if context.code is grpc.StatusCode.UNIMPLEMENTED:
                raise NotImplementedByProvider(context.details) from error
            raise ProviderError(context.details or describe(error)) from error
        if context.code not in (None, grpc.StatusCode.OK):
            raise ProviderError(context.details)
        return answer

    return call


class _DynamicHost:
    """`python -m pulumi.dynamic` in a child that ends when this process does."""

    def __init__(self, project: str, env: Mapping[str, str]) -> None:
        self._identity = self._identify(project, env)
        self._workspace = Path(tempfile.mkdtemp(prefix="lightly-dynamic-"))
        self._heard = 0
        self._gone = False
        try:
            self._child = self._start()
            self._channel = grpc.insecure_channel(f"127.0.0.1:{self._port()}", options=CHANNEL_OPTIONS)
            self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        except BaseException:
            shutil.rmtree(self._workspace, ignore_errors=True)
            raise

    def serves(self, project: str, env: Mapping[str, str]) -> bool:
        return not self._gone and self._child.running and self._identity == self._identify(project, env)

    def call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise NotImplementedByProvider(error.details()) from error
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self._gone = True  # a dying process closes its connections before it counts as ended
            if self._gone:
                raise self._ended() from error
            raise ProviderError(error.details()) from error
        except ValueError as error:  # gRPC's for a closed channel: another thread has started the next process
            raise self._ended() from error

    def said(self) -> list[str]:
        with (self._workspace / "output.log").open("rb") as log:
            log.seek(self._heard)
            text = log.read().decode(errors="replace")
            self._heard = log.tell()
        return _lines(text)

    def close(self) -> None:
        self._gone = True
        self._channel.close()
        self._child.stop()
        shutil.rmtree(self._workspace, ignore_errors=True)

    def _ended(self) -> ProviderError:
        return ProviderError("\n".join(["the dynamic provider's process ended.", *_lines(self._child.tail())]))

    @staticmethod
    def _identify(project: str, env: Mapping[str, str]) -> dict[str, str]:
        return {
            **os.environ,
            **env,
            "PULUMI_PROJECT": project,
            "PYTHONPATH": importable_paths(),
            "PYTHONUNBUFFERED": "1",  # the port is written without a flush
        }

    def _start(self) -> Child:
        child = start("the dynamic provider", "pulumi.dynamic", env=self._identity, workspace=self._workspace)
        try:
            wait_until_healthy(lambda: self._port() != 0, child, seconds=_START_SECONDS)
        except BaseException:
            child.stop()
            raise
        return child

    def _port(self) -> int:
        match = re.search(r"^(\d+)\n", (self._workspace / "output.log").read_text(), re.MULTILINE)
        return int(match[1]) if match else 0


def _lines(text: str) -> list[str]:
    """What a host has printed, without its port, which is for us."""
    return [line for line in text.splitlines() if line.strip() and not line.isdecimal()]

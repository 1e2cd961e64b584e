"""What makes a run on the embedded engine cheap without making it another one.

Where the time of an `up` went, measured on two cores: starting the emulators 1-3 s, starting the process of the dynamic
providers 0.8-1.5 s with each changed config, trying all that must be refused 0.5 s, waiting before a call is repeated
1-8 s a fault; all the rest 0.1-0.4 s. So the emulators live as long as this process and are emptied between sequences,
dynamic providers run here and are loaded anew for each run, and waiting moves a clock on instead.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lightly_infra
from lightly_infra.sandbox.engine import plugins
from lightly_infra.sandbox.gcp import iam

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORKERS: Final = 4  # as many as the real host of dynamic providers has


class DynamicHost:
    """Serves dynamic providers in this process; each has forgotten all that the one before knew."""

    def __init__(self, project: str, env: Mapping[str, str]) -> None:
        self._project, self._env = project, dict(env)
        # In threads of their own: Pulumi's settings belong to a thread, and the program's are others.
        self._pool = ThreadPoolExecutor(_WORKERS, "dynamic-provider")
        self._call = plugins._in_process(_servicer())

    def serves(self, project: str, env: Mapping[str, str]) -> bool:
        return (project, dict(env)) == (self._project, self._env)

    def call(self, method: str, request: Any) -> Any:
        return self._pool.submit(self._call, method, request).result()

    def said(self) -> list[str]:
        return []

    def close(self) -> None:
        self._pool.shutdown()


@functools.cache
def _source() -> types.CodeType:
    spec = find_spec("pulumi.dynamic")
    assert spec
    assert spec.origin
    file = Path(spec.origin).with_name("__main__.py")
    text = file.read_text(encoding="utf-8").rstrip()
    assert text.endswith("\nmain()"), "it serves as soon as it is imported"
    return compile(text.removesuffix("main()"), str(file), "exec")


def _servicer() -> Any:
    module = types.ModuleType("pulumi.dynamic.__main__")
    exec(_source(), module.__dict__)  # noqa: S102 - Pulumi's own
    return module.DynamicResourceProviderServicer()


class Clock:
    """Moves on by what its thread would have slept."""

    def __init__(self) -> None:
        self._slept = threading.local()

    def sleep(self, seconds: float) -> None:
        self._slept.seconds = getattr(self._slept, "seconds", 0.0) + seconds
        time.sleep(0)

    def monotonic(self) -> float:
        return time.monotonic() + float(getattr(self._slept, "seconds", 0.0))


_CLOCK: Final = Clock()


Replace = Callable[[Any, str, Any], None]
"""Sets an attribute for as long as the world lives."""


def quicken(replace: Replace) -> None:
    """Has everything of ours that waits move a clock on instead, and makes once what is the same each time."""
    import botocore.endpoint
    import httpx
    import pulumi.runtime.resource as registering
    import tenacity.nap
    from pulumi.runtime.proto import source_pb2

    from lightly_infra.lightly import transport

    clock: Any = types.SimpleNamespace(sleep=_CLOCK.sleep, monotonic=_CLOCK.monotonic, time=time.time)
    replace(botocore.endpoint, "time", clock)
    replace(tenacity.nap, "time", clock)
    standing_for: dict[Any, Any] = {time.sleep: _CLOCK.sleep, time.monotonic: _CLOCK.monotonic}
    for module in _modules():
        for function in _functions(module):
            before = function.__kwdefaults__ or {}
            after = {key: standing_for.get(it, it) if inspect.isbuiltin(it) else it for key, it in before.items()}
            if after != before:
                replace(function, "__kwdefaults__", after)
        if vars(module).get("time") is time:
            replace(module, "time", clock)

    wire = types.SimpleNamespace(**vars(httpx))
    wire.create_ssl_context = functools.cache(httpx.create_ssl_context)
    replace(transport, "httpx", wire)
    # Where in a program a resource stands: a fifth of all the time.
    replace(registering, "_get_stack_trace", lambda *_, **__: source_pb2.StackTrace())
    replace(registering, "_get_source_position", lambda *_, **__: None)


def _modules() -> list[types.ModuleType]:
    """All of ours that a program or a dynamic provider runs."""
    rooms = ("sandbox", "cli", "__main__")
    names = [it.name for it in pkgutil.iter_modules(lightly_infra.__path__) if it.name not in rooms]
    found = [importlib.import_module(f"lightly_infra.{name}") for name in names]
    for room in [it for it in found if hasattr(it, "__path__")]:
        below = pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
        found += [importlib.import_module(it.name) for it in below]
    return found


def _functions(module: types.ModuleType) -> list[types.FunctionType]:
    found = []
    for it in vars(module).values():
        inner = vars(it).values() if inspect.isclass(it) and it.__module__ == module.__name__ else [it]
        found += [one for one in inner if isinstance(one, types.FunctionType)]
    return found


class KeyPairs:
    """Google's key pairs, made once: each takes a tenth of a second. Within a sequence none comes twice."""

    def __init__(self) -> None:
        self._make = iam.key_pair
        self._made: list[tuple[str, Any, str]] = []
        self._used = 0

    def reset(self) -> None:
        self._used = 0

    def __call__(self) -> tuple[str, Any, str]:
        if self._used == len(self._made):
            self._made.append(self._make())
        self._used += 1
        return self._made[self._used - 1]

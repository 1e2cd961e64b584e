"""What a test leaves at work fails it by name: threads, child processes, and ports that this process listens on.

What a fixture of a wider scope starts is that fixture's, and must be gone once the fixture is. Tasks of event loops
need no look of their own: one only goes on in a loop that a thread runs, and a loop left open is a ResourceWarning,
which is an error.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.sandbox.liveness import alive

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

AtWork = dict[object, str]
"""What is at work, each with its name for people."""

FOR_EVER: Final = {
    "(_poll_wrapper)": "gRPC's asyncio part, which the SDK begins with a process's first error hook and never ends",
}
SHARED: Final = {
    "AnyIO worker thread": "a server of several tests answers in such, which end with it or when they have been idle",
}
"""What threads' names hold, and why such may outlive a test: at all, or as long as a wider fixture lives."""

_ENDING: Final = 5.0  # seconds: what was told to end may take a moment, for which the next test waits
_MARK: Final = "LIGHTLY_INFRA_TESTED_BY"


class Leaks:
    """The plugin, one in each process that runs tests."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[Any]] = []
        self._owned: dict[pytest.FixtureDef[Any], AtWork] = {}
        self._before: AtWork = {}

    def pytest_configure(self) -> None:
        real, children = subprocess.Popen.__init__, self._children

        def noted(child: subprocess.Popen[Any], *args: Any, **kwargs: Any) -> None:
            real(child, *args, **kwargs)
            children.append(child)

        subprocess.Popen.__init__ = noted  # type: ignore[assignment, method-assign]
        os.environ[_MARK] = str(os.getpid())

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        before = self.at_work()
        try:
            return (yield)
        finally:
            known = set(before).union(*self._owned.values())
            self._owned[fixturedef] = {key: name for key, name in self.at_work().items() if key not in known}

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        owned = self._owned.pop(fixturedef, {})
        fail_unless_gone(lambda: [name for key, name in self.at_work().items() if owned.get(key) == name])

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        self._before = self.at_work()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, nextitem: pytest.Item | None) -> Generator[None, object, object]:
        result = yield
        fail_unless_gone(self.left)
        if nextitem is None:
            fail_unless_gone(descendants)
        return result

    def at_work(self) -> AtWork:
        """What is at work in this process now."""
        self._children[:] = [it for it in self._children if it.returncode is None and alive(it.pid)]
        return {
            **{id(it): f"the thread {it.name!r}" for it in threading.enumerate() if not is_for_ever(it.name)},
            **{it.pid: f"the process {it.pid}, {str(it.args)[:300]}" for it in self._children},
            **_listening(),
        }

    def left(self) -> list[str]:
        """What is at work since the test began and is no living fixture's."""
        known = set(self._before).union(*self._owned.values())
        shared = any(self._owned.values())

        def may_stay(key: object, name: str) -> bool:
            if any(it in name for it in SHARED):
                return shared
            return key in known

        return [name for key, name in self.at_work().items() if not may_stay(key, name)]


def is_for_ever(name: str) -> bool:
    """Whether a thread never ends, whichever test or fixture was the first to need it."""
    return any(it in name for it in FOR_EVER)


def fail_unless_gone(left: Callable[[], list[str]]) -> None:
    """Fails by name for what does not end in time."""
    end = time.monotonic() + _ENDING
    while found := left():
        if time.monotonic() > end:
            pytest.fail(f"left at work: {'; '.join(found)}", pytrace=False)
        time.sleep(0.01)


def _listening() -> AtWork:
    """The ports that this process listens on, by their sockets' inodes."""
    found: AtWork = {}
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # closed since, or of a family that does not listen
            inode = os.readlink(descriptor)  # noqa: PTH115 - it leads nowhere
            if inode.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(descriptor.name))) as it:
                    if it.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found[inode] = f"the listening socket {it.getsockname()}"
    return found


def descendants() -> list[str]:
    """What processes that tests started have started themselves, whoever their parent is by now. Looks at /proc."""
    mark = f"{_MARK}={os.getpid()}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # ended since, or somebody else's
            pid = int(environment.parent.name)
            if pid != os.getpid() and mark in environment.read_bytes().split(b"\0") and alive(pid):
                command = (environment.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"the process {pid}, {command[:300]}")
    return found

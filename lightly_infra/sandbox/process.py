"""Child processes that cannot outlive us, whatever ends us.

A child's standard input is a pipe whose other end only we hold: when we end, by `SIGKILL` too, the kernel closes it,
and the runner at the foot of this file, which waits for that in a thread, ends the child and removes its workspace.
The child has a session of its own: Ctrl-C in the terminal reaches us alone, and we stop our children in order.

This file is run by its path as well as imported, so that a child starts at once: standard library only.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_GRACE: Final = 3.0  # seconds between asking a child to end and ending it
_POLL: Final = 0.01  # seconds between two looks at a child that is starting
_TAIL: Final = 4000  # bytes of a child's output shown in an error


class ChildError(RuntimeError):
    """A child process ended, or did not become healthy in time; the message ends with its last output."""


class Child:
    """A process of our own. Build it with `start` or `start_program`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def tail(self) -> str:
        """The last of what the child wrote on its standard output and error; empty when it wrote nothing."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _TAIL))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def stop(self) -> None:
        """Ask the child to end, and end it when it has not after a few seconds. May be called again."""
        try:
            if self.running:
                self._process.terminate()
                try:
                    self._process.wait(_GRACE)
                except subprocess.TimeoutExpired:
                    self._process.kill()
        finally:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()


def start(name: str, module: str, *args: str, env: Mapping[str, str], workspace: Path) -> Child:
    """Run `module` as `python -m module args…` would, in a process that ends when this one does.

    Args:
        name: What errors call the child.
        module: A module with an entry point of its own (`if __name__ == "__main__"`).
        args: Its command line.
        env: Its whole environment: nothing is inherited that is not in here.
        workspace: A directory made for this child. Its log is written there. The child removes the directory when it
            ends because we did; when we stop the child, removing it is left to us.
    """
    # -P: neither this file's directory nor the working directory may shadow an installed module.
    command = [sys.executable, "-P", __file__, str(workspace), module, *args]
    return start_program(name, command, env=env, workspace=workspace)


def start_program(name: str, command: Sequence[str], *, env: Mapping[str, str], workspace: Path) -> Child:
    """Run a program that keeps the rules of this file by itself, as `start` does for Python modules.

    When its standard input ends, it must remove `workspace` and end.
    """
    log = workspace / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - programs of our own choice, and no shell
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    return Child(name, process, log)


def wait_until_healthy(probe: Callable[[], bool], child: Child, *, seconds: float) -> None:
    """Call `probe` until it is true; an `OSError` counts as not yet.

    Raises:
        ChildError: At once when the child has ended, otherwise after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if probe():
                return
        if not child.running:
            raise ChildError(_explain(f"{child.name} ended while it was starting", child))
        if time.monotonic() > deadline:
            raise ChildError(_explain(f"{child.name} did not become ready within {seconds:g} s", child))
        time.sleep(_POLL)


def _explain(what: str, child: Child) -> str:
    tail = child.tail()
    return f"{what}. Its last output:\n{tail}" if tail else f"{what}, without any output."


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _end_with_parent(pipe: int, workspace: str) -> NoReturn:
    while os.read(pipe, 1024):
        pass  # nobody writes to it; its end is the message
    shutil.rmtree(workspace, ignore_errors=True)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # the child's own children as well
    os._exit(1)


def _run() -> None:
    workspace, module, *args = sys.argv[1:]
    # The module gets an empty standard input: were it to read ours, it would wait for ever.
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with_parent, args=(pipe, workspace), name="end-with-parent", daemon=True).start()
    sys.argv = [module, *args]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run()

"""Runs of the real Pulumi CLI that are killed: at the n-th call to a cloud or to Lightly, once it was answered.

A call to a cloud is a provider's create, update or delete; the emulated providers here count them, in processes of the
CLI's, and Lightly counts its requests in ours: a file that both lock has the number.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from lightly_infra.sandbox import lightly
from lightly_infra.sandbox.engine.environment import importable_paths
from lightly_infra.sandbox.engine.plugin import write_plugins
from lightly_infra.sandbox.engine.plugins import load_factory
from lightly_infra.sandbox.engine.provider import Provider
from lightly_infra.sandbox.environment import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.real import Project

_COUNT: Final = "TEST_KILL_COUNT"
_HOME: Final = "PULUMI_HOME"


def __getattr__(name: str) -> Any:
    """A factory of the provider that `name` stands for, as the plugin's process finds it."""
    if name not in PROVIDERS:
        raise AttributeError(name)

    def make(env: Any) -> Any:
        count = Path(env[_COUNT])

        def counted(act: Any) -> Any:
            def call(*args: Any) -> Any:
                done = act(*args)
                if _is_due(count):
                    kill(env[_HOME])
                return done

            return call

        for it in ("create", "update", "delete"):
            setattr(Provider, it, counted(getattr(Provider, it)))
        return load_factory(PROVIDERS[name])(env)

    return make


def prepare(project: Project) -> None:
    """Has the project's providers count."""
    bin_ = project.directory.parent / "bin"
    write_plugins(bin_, {name: f"{__name__}:{name}" for name in PROVIDERS})
    project.extra |= {_COUNT: str(_count(project)), "PYTHONPATH": importable_paths()}
    _count(project).write_text("0", encoding="utf-8")


@contextmanager
def killed_at(project: Project, at: int) -> Iterator[Path]:
    """Kills the run within at its `at`-th call. Gives a file that has 0 once it did, or how many calls were left."""
    count = _count(project)
    count.write_text(str(at), encoding="utf-8")
    note = project.sandbox.lightly._note

    def dying(_: str) -> str:
        kill(project.home)
        return "nobody hears this"

    def noted(method: str, path: str) -> lightly._Failure | None:
        failure = note(method, path)
        return lightly._Failure(method, re.compile(""), 500, 0, {}, True, dying) if _is_due(count) else failure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project.sandbox.lightly, "_note", noted)
        yield count
    kill(project.home)  # what the CLI left, if it was killed


def kill(home: str) -> None:
    """Kills all processes with that PULUMI_HOME: the CLI before what it has started, the caller last."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{_HOME}={home}".encode() in environ.read_bytes().split(b"\0"):
                name = (environ.parent / "comm").read_text(encoding="utf-8").strip()
                found.append((int(environ.parent.name) == os.getpid(), name != "pulumi", int(environ.parent.name)))
    for _, _, pid in sorted(found):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _count(project: Project) -> Path:
    return project.directory.parent / "calls"


def _is_due(count: Path) -> bool:
    """Counts down; whether this call is the one."""
    with count.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        left = int(file.read() or 0) - 1
        file.seek(0)
        file.truncate()
        file.write(str(max(left, -1)))
        return left == 0

"""The process's environment, changed for the duration of a run and put back after it."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOCK = threading.RLock()  # there is one environment, so one run at a time in a process


@contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """`os.environ` with `env` on top; a second run in another thread waits for its turn."""
    with _LOCK:
        before = {key: os.environ.get(key) for key in env}
        os.environ.update(env)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


def importable_paths() -> str:
    """`PYTHONPATH` for a child that shall import what this process can import."""
    return os.pathsep.join(path or str(Path.cwd()) for path in sys.path)

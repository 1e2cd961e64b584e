"""Runs that are killed half-way, on the embedded engine.

At a step: the run ends when a provider is about to do something, or when it has done it and the engine is about to note
it. What is under way meanwhile is done and not noted, nothing more is begun, and the state is what was noted. That is
what a killed process leaves behind, but for its plugins, which here live on; `killed_at_request` ends one of those.

At a request to Lightly: the process of the dynamic providers is killed, before or after the request is carried out.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest

from lightly_infra.sandbox import lightly
from lightly_infra.sandbox.engine.embedded import EmbeddedEngine
from lightly_infra.sandbox.engine.provider import Provider, ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.environment import Sandbox

Moment = Literal["before it is done", "before it is noted"]


@dataclass
class Death:
    """Comes at the step, or the request, of that number."""

    at: int
    moment: Moment
    came: bool = False
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_due(self) -> bool:
        """Counts, and tells whether this is the one."""
        with self._lock:
            self._count += 1
            return self._count == self.at

    def come(self, *, now: bool) -> None:
        """Ends a step, now or if it has come before."""
        self.came |= now
        if self.came:
            raise Killed(f"killed {self.moment}")


class Killed(ProviderError):
    """The run is no more. A provider's error, since that is what stops the engine."""


@contextmanager
def killed_at_step(at: int, moment: Moment) -> Iterator[Death]:
    """Kills the run within, if it comes to that many steps."""
    death = Death(at, moment)

    def dying(name: str) -> Any:
        act = getattr(Provider, name)

        def step(*args: Any, **options: Any) -> Any:
            if options.get("preview"):  # nothing is done
                return act(*args, **options)
            is_due = death.is_due()
            death.come(now=is_due and moment == "before it is done")
            done = act(*args, **options)
            death.come(now=is_due)
            return done

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in ("create", "update", "delete"):
            patch.setattr(Provider, name, dying(name))
        yield death


@contextmanager
def killed_at_request(sandbox: Sandbox, at: int, moment: Moment) -> Iterator[Death]:
    """Kills the dynamic providers within, if they come to that many requests to Lightly."""
    death = Death(at, moment)
    engine = sandbox.engine
    assert isinstance(engine, EmbeddedEngine)
    note = sandbox.lightly._note

    def kill(_: str) -> str:
        host = engine._plugins._dynamic
        assert host
        os.kill(host._child.pid, signal.SIGKILL)
        death.came = True
        return "nobody hears this"

    def noted(method: str, path: str) -> lightly._Failure | None:
        failure = note(method, path)
        if not death.is_due():
            return failure
        after = moment == "before it is noted"
        return lightly._Failure(method, re.compile(""), 500, 0, {}, after, kill)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox.lightly, "_note", noted)
        yield death

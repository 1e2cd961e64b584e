"""The embedded engine: previews, creates, updates, refreshes and destroys inside this process, state in memory.

It is for sandboxes and tests: its state ends with it. It runs the same providers as the real engine would, follows the
same rules, and refuses by name what it does not support: imports, stack references, remote components and their
methods, resource hooks, transforms, archives, parameterized packages, and providers nobody emulates. Custom time-outs
are accepted and ignored.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Self

from lightly_infra.sandbox.engine.deployment import Deployment
from lightly_infra.sandbox.engine.document import resources_of
from lightly_infra.sandbox.engine.environment import environment
from lightly_infra.sandbox.engine.hooks import ErrorHooks
from lightly_infra.sandbox.engine.interface import Result
from lightly_infra.sandbox.engine.messages import Scrubber
from lightly_infra.sandbox.engine.monitor import Log, Monitor, run_program
from lightly_infra.sandbox.engine.plugins import Plugins
from lightly_infra.sandbox.engine.providers import Providers, with_defaults, without_defaults
from lightly_infra.sandbox.engine.state import ResourceState, Snapshot, state_of
from lightly_infra.sandbox.engine.steps import Run
from lightly_infra.updates.changes import latest
from lightly_infra.updates.messages import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.updates.changes import OnChange, OnLog

_LOGGER: Final = logging.getLogger("lightly_infra.sandbox.program")


class EmbeddedEngine:
    """Runs programs in this process. One run at a time; use it as a context manager, or close it.

    Args:
        providers: "module:factory" of each emulated provider by its package's name.
        env: What the program and all providers see on top of this process's environment. Read anew by each run.
        on_log: Takes what programs log; without it that goes to Python's logging.
    """

    name = "embedded"

    def __init__(self, providers: Mapping[str, str], env: Mapping[str, str], *, on_log: OnLog | None = None) -> None:
        self._env = env
        self._plugins = Plugins(providers, env)
        self._on_log = on_log
        self._resources: list[ResourceState] = []
        self._program: Program | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def preview(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do. Creates, updates and deletes nothing; outputs stay empty."""
        return self._run_program(program, on_change, preview=True)

    def up(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Runs the program and brings its resources into being."""
        return self._run_program(program, on_change, preview=False)

    def refresh(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Reads every resource back, without running the program, and records drift in the state."""
        return self._run(program, on_change, lambda deployment, _: deployment.refresh())

    def drift(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do to each resource if all were read back before. Notes nothing."""
        before = self._resources, self._program
        try:
            found = self.refresh(program)
            if found.failed:
                return found
            planned = self.preview(program, on_change)
        finally:
            self._resources, self._program = before
        # What is gone and no longer wanted stands in the first alone.
        return Result(latest((*found.changes, *planned.changes)), failures=planned.failures)

    def destroy(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Deletes every resource of the state, without running the program."""
        return self._run(program, on_change, lambda deployment, _: deployment.destroy(), with_outputs=False)

    def export(self) -> dict[str, Any]:
        """The state as a deployment document. Secrets are there without their values."""
        states = with_defaults(self._resources, self._program) if self._program else []
        resources = [state.document() for state in states]
        version = 4 if any(state.error_hooks or state.replace_with for state in states) else 3
        return {"version": version, "deployment": {"manifest": {}, "resources": resources}}

    def load(self, program: Program, document: dict[str, Any]) -> None:
        """Takes over a stack's state from a deployment document with its secrets in plain."""
        self._resources, self._program = without_defaults(map(state_of, resources_of(document))), program

    def close(self) -> None:
        """Stops everything the engine started. The resources themselves stay."""
        self._plugins.close()

    def _run_program(self, program: Program, on_change: OnChange | None, *, preview: bool) -> Result:
        def act(deployment: Deployment, run: Run) -> None:
            monitor = Monitor(deployment, run.providers, preview=preview)
            log = Log(deployment, self._teller(run.scrubber))
            run_program(program, deployment, monitor, log, preview=preview)
            deployment.finish()

        return self._run(program, on_change, act, preview=preview, with_outputs=not preview)

    def _run(
        self,
        program: Program,
        on_change: OnChange | None,
        act: Callable[[Deployment, Run], None],
        *,
        preview: bool = False,
        with_outputs: bool = True,
    ) -> Result:
        snapshot = Snapshot(self._resources)
        scrubber = Scrubber()
        scrubber.learn(*(program.config.get(key, "") for key in program.secret_keys), secret=True)
        for resource in self._resources:
            scrubber.learn(resource.inputs, resource.outputs)
        providers = Providers(self._plugins, program, snapshot.current)
        tell = self._teller(scrubber)
        hooks = ErrorHooks(lambda message: tell("warning", message))
        run = Run(snapshot, providers, scrubber, hooks, preview, on_change)
        deployment = Deployment(run, program)
        with environment(dict(self._env)):
            try:
                act(deployment, run)
            finally:
                for line in self._plugins.said():
                    tell(*printed(line))  # as the real engine passes on what a plugin prints
                if not preview:  # also when interrupted: what was done must not be forgotten
                    self._resources, self._program = snapshot.resources(), program
            return deployment.result(with_outputs=with_outputs)

    def _teller(self, scrubber: Scrubber) -> OnLog:
        """Tells messages on, known secrets hidden: to the callback, else to Python's logging."""

        def tell(severity: str, message: str) -> None:
            if self._on_log is not None:
                self._on_log(severity, scrubber.scrub(message))
            else:
                level = logging.WARNING if severity == "warning" else logging.INFO
                _LOGGER.log(level, "%s", scrubber.scrub(message))

        return tell

"""The pulumi engine: the real Pulumi CLI through the Automation API, with a state in a directory of its own.

Nothing of the user's is touched: home, state, settings and plugins live in a temporary directory that ends with the
engine. The emulated providers are plugins on PATH, in front of any installed ones.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pulumi import automation

from lightly_infra.sandbox.engine.document import outputs_of, sealed_document, secrets_of
from lightly_infra.sandbox.engine.environment import environment, importable_paths
from lightly_infra.sandbox.engine.interface import Result
from lightly_infra.sandbox.engine.language_host import LanguageHost
from lightly_infra.sandbox.engine.messages import Scrubber
from lightly_infra.sandbox.engine.plugin import write_plugins
from lightly_infra.updates.changes import latest
from lightly_infra.updates.command import Command
from lightly_infra.updates.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.updates.changes import OnChange, OnLog


class PulumiEngine:
    """Runs programs with the Pulumi CLI found on PATH. Use it as a context manager, or close it.

    Args:
        providers: "module:factory" of each emulated provider by its package's name.
        env: What the program and all providers see on top of this process's environment. Read anew by each run.
        on_log: Takes what programs log; without it that is dropped.
    """

    name = "pulumi"

    def __init__(self, providers: Mapping[str, str], env: Mapping[str, str], *, on_log: OnLog | None = None) -> None:
        if shutil.which("pulumi") is None:
            raise RuntimeError("the Pulumi CLI is not on PATH")
        self._on_log = on_log
        self._directory = Path(tempfile.mkdtemp(prefix="lightly-pulumi-"))
        for name in ("home", "state", "work", "bin"):
            (self._directory / name).mkdir()
        write_plugins(self._directory / "bin", providers)
        self._given = env
        self._own = {
            "PATH": os.pathsep.join(
                [str(self._directory / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
            ),
            "PYTHONPATH": importable_paths(),
            "PULUMI_PYTHON_CMD": sys.executable,
            "PULUMI_HOME": str(self._directory / "home"),
            "PULUMI_BACKEND_URL": (self._directory / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_COMMANDS": "true",  # has the CLI take --event-log
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        self._config: Any = None
        self._command = Command()
        self._stack: automation.Stack | None = None
        self._document: dict[str, Any] = {"version": 3, "deployment": {"manifest": {}, "resources": []}}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def preview(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do. Creates, updates and deletes nothing; outputs stay empty."""
        return self._run(program, on_change, "preview", with_outputs=False)

    def up(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Runs the program and brings its resources into being."""
        return self._run(program, on_change, "up", "--yes", "--skip-preview")

    def refresh(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Reads every resource back, without running the program, and records drift in the state."""
        return self._run(program, on_change, "refresh", "--yes", "--skip-preview")

    def drift(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do to each resource if all were read back before. Notes nothing."""
        found = self._run(program, on_change, "preview", "--refresh", with_outputs=False)
        return Result(latest(found.changes), failures=found.failures)

    def destroy(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Deletes every resource of the state, without running the program."""
        return self._run(program, on_change, "destroy", "--yes", "--skip-preview", with_outputs=False)

    def export(self) -> dict[str, Any]:
        """The state as a deployment document (version 3). Secrets are there without their values."""
        return sealed_document(self._document)

    def load(self, program: Program, document: dict[str, Any]) -> None:
        """Takes over a stack's state from a deployment document with its secrets in plain."""
        env = {**self._given, **self._own}
        with environment(env):
            stack = self._prepared(program, env)
            salt = stack.workspace.stack_settings(program.stack).encryption_salt
            # The stack here has a passphrase of its own.
            sealing = {"secrets_providers": {"type": "passphrase", "state": {"salt": salt}}}
            deployment = automation.Deployment(document["version"], document["deployment"] | sealing)
            stack.import_stack(deployment)
        self._document = document

    def close(self) -> None:
        """Removes everything the engine wrote. The resources themselves stay."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self, program: Program, on_change: OnChange | None, *args: str, with_outputs: bool = True) -> Result:
        scrubber = Scrubber()
        scrubber.learn(*(program.config.get(key, "") for key in program.secret_keys), secret=True)
        scrubber.learn(*secrets_of(self._document))
        listener = Listener(scrubber, on_change, self._on_log)
        env = {**self._given, **self._own}
        with environment(env):
            stack = self._prepared(program, env)
            with LanguageHost(
                program, self._command.following(listener), listener.program_failed, scrubber.learn
            ) as host:
                command = [*args, "--stack", program.stack, "--exec-kind", "auto.inline", "--color", "never"]
                command += ["--client", host.address, "--event-log", f"tcp://{host.address}"]
                try:
                    self._command.run(command, str(self._directory / "work"), env)
                except automation.CommandError as error:
                    listener.cli_failed(str(error))
            exported = stack.export_stack()
        self._document = {"version": exported.version, "deployment": exported.deployment}
        scrubber.learn(*secrets_of(self._document))
        outputs = outputs_of(self._document) if with_outputs else {}
        return Result(tuple(listener.changes), outputs, listener.failures())

    def _prepared(self, program: Program, env: dict[str, str]) -> automation.Stack:
        if self._stack is None:
            self._stack = automation.create_or_select_stack(
                stack_name=program.stack,
                project_name=program.project,
                program=program.run,  # never run by the Automation API, which wants one all the same
                opts=automation.LocalWorkspaceOptions(
                    work_dir=str(self._directory / "work"),
                    pulumi_home=env["PULUMI_HOME"],
                    secrets_provider="passphrase",
                    pulumi_command=self._command,
                ),
            )
        self._stack.workspace.env_vars = env
        config = {
            key: automation.ConfigValue(value, key in program.secret_keys) for key, value in program.config.items()
        }
        if config != self._config:
            stale = sorted(set(self._config or ()) - set(config))
            if stale:
                self._stack.remove_all_config(stale)
            if config:
                self._stack.set_all_config(config)
            self._config = config
        return self._stack

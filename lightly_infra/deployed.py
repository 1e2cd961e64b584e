"""A stack that is deployed for real, by the Pulumi CLI: its outputs, its config, and what an update would change.

Every command names its stack: which one is selected is the user's, and stays as it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pulumi import automation
from pulumi.automation._stack import StackInitMode  # its own `Stack` is built with one

from lightly_infra import spec
from lightly_infra.leftovers import Known
from lightly_infra.lightly.models import PLAIN_FIELDS
from lightly_infra.spec.fields import stand_in
from lightly_infra.stack import files
from lightly_infra.stack.previous import Previous, Resource
from lightly_infra.stack.settings import DATASETS_KEY, Settings
from lightly_infra.updates.changes import Change, Failure, OnChange, OnLog, latest
from lightly_infra.updates.command import Command
from lightly_infra.updates.listener import Listener
from lightly_infra.updates.messages import PUBLIC, Scrubber

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pulumi.automation import EngineEvent

_STACK_TYPE: Final = "pulumi:pulumi:Stack"
# How a checkpoint marks a secret (pulumi/runtime/rpc.py).
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_HIDDEN: Final = "[secret]"

_T = TypeVar("_T")


class CannotAsk(RuntimeError):
    """There is no CLI or no such stack, or it cannot be read; the message says what to do, and holds no secret."""


class Deployed:
    """A stack of the Pulumi project that holds a directory.

    Attributes:
        name: The stack's name.
        config: By key in full, decrypted.
        settings: What `lightly-infra:datasets` and its like say.
        known: What its state knows of what was made.
        secrets: All that are known, to be kept out of messages.
    """

    def __init__(self, name: str, directory: Path, *, on_log: OnLog | None = None) -> None:
        """Reads the stack.

        Args:
            name: As the CLI takes it, such as `prod` or `acme/vision/prod`.
            directory: In the project, or below.
            on_log: Takes what the program logs.

        Raises:
            ProjectError: There is no project here, or this is not a valid stack name.
            CannotAsk: There is no CLI, or it cannot read the stack.
            SpecError: Its config is invalid.
        """
        # An empty one would stand for whichever stack is selected.
        if (problem := files.name_problem(name, qualified=True)) is not None:
            raise files.ProjectError(f"--stack: {problem}")
        root = files.root_of(directory)
        if shutil.which("pulumi") is None:
            raise CannotAsk(
                "the Pulumi CLI is not on PATH, which keeps the stack: install it, or try this in the sandbox, which "
                "needs none (`lightly-infra sandbox --help`)"
            )
        self.name = name
        self._on_log = on_log
        self._scrubber = Scrubber()
        self.secrets: set[str] = set()
        self._command = Command()
        self._stack = _Stack(
            name, automation.LocalWorkspace(work_dir=str(root), pulumi_command=self._command, env_vars=_environment())
        )
        self._outputs: Mapping[str, Any] = {}
        self._previous = Previous((), {})
        self.known = Known.of(())
        self._read_outputs()
        given = self._ask(self._stack.get_all_config)
        self.config = {key: it.value for key, it in given.items()}
        secret_keys = {key for key, it in given.items() if it.secret}
        for key in secret_keys:
            self._hide(self.config[key])
        if DATASETS_KEY in self.config:
            known = self.config | {DATASETS_KEY: with_stand_ins(self.config[DATASETS_KEY], self._hide)}
            self.settings = Settings.read(known, secret_keys=secret_keys)
        else:
            self.settings = Settings.of_own_program(self.config)

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What its last update gave, by the keys that its datasets have in the config now; secrets are hidden."""
        return self._previous.renamed(self._outputs, self.settings.datasets)

    def drift(self, on_change: OnChange | None = None) -> tuple[tuple[Change, ...], tuple[Failure, ...]]:
        """What `up` would do to each resource if all were read back before, and what fails. Changes nothing."""
        listener = self._listen(on_change, lambda it: self._stack.preview(refresh=True, color="never", on_event=it))
        return latest(listener.changes), listener.failures()

    def up(self, on_change: OnChange | None = None) -> tuple[tuple[Change, ...], tuple[Failure, ...]]:
        """Runs `pulumi up`: what it did to each resource, and what failed."""
        listener = self._listen(on_change, lambda it: self._stack.up(color="never", on_event=it))
        self._read_outputs()
        return tuple(listener.changes), listener.failures()

    def set_config(self, key: str, value: str) -> None:
        """Sets a plain value in the stack's file, whose comments stay.

        Raises:
            CannotAsk: The CLI refuses.
        """
        self._ask(lambda: self._stack.set_config(key, automation.ConfigValue(value)))

    def _hide(self, secret: str) -> None:
        self.secrets.add(secret)
        self._scrubber.hide(secret)

    def _listen(self, on_change: OnChange | None, run: Callable[[Callable[[EngineEvent], None]], object]) -> Listener:
        listener = Listener(self._scrubber, on_change, self._on_log)
        try:
            run(self._command.following(listener))
        except automation.CommandError as error:
            listener.cli_failed(_told(error))
        return listener

    def _read_outputs(self) -> None:
        deployment = self._ask(self._stack.export_stack).deployment or {}
        resources = deployment.get("resources") or []
        self.known = Known.of(resources)
        hidden = [
            self._hidden({part: resource.get(part) or {} for part in ("inputs", "outputs")}) for resource in resources
        ]
        told = [Resource(it["urn"], it["type"], own["outputs"]) for it, own in zip(resources, hidden, strict=True)]
        self._outputs = next((it.outputs for it in told if it.type == _STACK_TYPE), {})
        self._previous = Previous(told, self._outputs)

    def _hidden(self, value: Any) -> Any:
        """The value without its secrets, which are noted."""
        if isinstance(value, dict):
            if _SIGNATURE in value and "plaintext" in value:
                for secret in _leaves(json.loads(value["plaintext"]), shown=PLAIN_FIELDS):
                    self._hide(secret)
                return _HIDDEN
            return {key: self._hidden(inner) for key, inner in value.items() if key not in PUBLIC}
        return [self._hidden(inner) for inner in value] if isinstance(value, list) else value

    def _ask(self, command: Callable[[], _T]) -> _T:
        try:
            return command()
        except automation.CommandError as error:
            said = self._scrubber.scrub(_told(error))
        raise CannotAsk(
            f"the Pulumi CLI cannot read stack {self.name!r}: {said}; `pulumi stack ls` shows what there is"
        )


def with_stand_ins(datasets: str, on_secret: Callable[[str], None]) -> str:
    """The datasets of a stack's config, with stand-ins for their secrets.

    These are not judged here: that one has expired is among what `check` is there to find.

    Args:
        datasets: As JSON; what is none stays as it is.
        on_secret: Takes each secret.
    """
    names = spec.secret_fields()

    def walked(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: stood_in(inner) if key in names else walked(inner) for key, inner in value.items()}

    def stood_in(value: Any) -> Any:
        for secret in _leaves(value):
            on_secret(secret)
        return value if value in (None, "", spec.PLACEHOLDER) else stand_in(json.dumps(value))

    try:
        return json.dumps(walked(json.loads(datasets)))
    except json.JSONDecodeError:
        return datasets


class _Stack(automation.Stack):
    """A stack as the Automation API has it, but for `pulumi stack select`."""

    def __init__(self, name: str, workspace: automation.LocalWorkspace) -> None:
        self.name, self.workspace, self._mode = name, workspace, StackInitMode.SELECT


def _environment() -> dict[str, str]:
    """Has programs and dynamic providers run in the Python that this runs in, unless another one is activated."""
    settings = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
    if "VIRTUAL_ENV" not in os.environ:
        here = str(Path(sys.executable).parent)
        settings["PATH"] = os.pathsep.join((here, os.environ.get("PATH", "")))
    return settings


def _leaves(value: Any, *, shown: Collection[str] = frozenset()) -> list[str]:
    """The texts in a value, but for those under keys that may be shown."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() if key not in shown for leaf in _leaves(inner, shown=shown)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner, shown=shown)]
    return [value] if isinstance(value, str) else []


def _told(error: automation.CommandError) -> str:
    """What the CLI says is wrong, without what it prints around that."""
    _, _, said = str(error).partition("stderr: ")
    lines = re.findall(r"^error: (.*(?:\n(?!error:|warning:).+)*)", said, re.MULTILINE)
    return "; ".join(" ".join(it.split()) for it in lines) or said.strip() or "it failed and did not say why"

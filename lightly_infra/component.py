"""What all our components have in common."""

from __future__ import annotations

import asyncio
import re
import shlex
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakKeyDictionary

import pulumi
from pulumi.runtime import get_root_resource

from lightly_infra.ownership import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

# Each run of a program has an event loop of its own, and may register a hook of a name once.
_HOOKS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Hook]]] = WeakKeyDictionary()

TAKE_OVER: Final = "{take over}"
"""Stands in a remedy for the command that adds what is there already to the stack's state."""


class Component(pulumi.ComponentResource):
    """A component whose children wait for whatever the component itself was told to wait for.

    Pulumi waits for a component's children when something depends on the component, but does not pass the
    component's own `depends_on` down.

    Attributes:
        failures: What providers say when a child fails for reasons that people really meet, as regular expressions
            to be searched for, and the remedy for each in plain words. It is shown below the provider's own error.
            Groups of the expression stand in the remedy as `{name}`; see also `TAKE_OVER`.
        identified_by: The input of its main child that is its id at the cloud, for `TAKE_OVER`; not needed where the
            failure has a group `id`.
    """

    failures: ClassVar[Mapping[str, str]] = {}
    identified_by: ClassVar[str] = ""

    def __init__(self, kind: str, name: str, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__(f"lightly-infra:{kind}", name, None, opts)
        self._depends_on = opts.depends_on if opts is not None else None
        self._hook = _hook_of(f"lightly-infra:{kind}", self.failures, self.identified_by)
        self.parent_of(name)

    @property
    def owner(self) -> Owner:
        """What everything that this component makes says of who made it."""
        organization = pulumi.get_organization() or "organization"  # none in unit tests with the SDK's own mocks
        return Owner(f"{organization}/{pulumi.get_project()}/{pulumi.get_stack()}", self.pulumi_resource_name)

    def parent_of(self, child: str) -> None:
        """Says that a child has this name, and not the component's own."""
        if self._hook is not None:
            self._hook.parents[child] = self.pulumi_resource_name

    def child(self, **options: Any) -> pulumi.ResourceOptions:
        """The options of a child: this parent, what this component waits for, its remedies, and `options`."""
        return pulumi.ResourceOptions.merge(
            pulumi.ResourceOptions(
                parent=self,
                depends_on=self._depends_on,
                hooks=self._hook.binding if self._hook else None,
                # Bridged providers delete first what has a name: Lightly would be told last, of what is gone already.
                delete_before_replace=False,
            ),
            pulumi.ResourceOptions(**options),
        )


def marked(
    marks: Mapping[str, str], given: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None
) -> pulumi.Input[Mapping[str, pulumi.Input[str]]]:
    """The owner's marks and the user's tags; of one key the user's wins."""
    if given is None or isinstance(given, dict):
        return {**marks, **(given or {})}
    return pulumi.Output.from_input(given).apply(lambda it: {**marks, **it})


def remedy_for(error: str, failures: Mapping[str, str]) -> str | None:
    """The remedy for a provider's error, if one is known: the first whose pattern is found."""
    found = _found(error, failures)
    return found[0] if found else None


def _found(error: str, failures: Mapping[str, str]) -> tuple[str, Mapping[str, str]] | None:
    for pattern, remedy in failures.items():
        if match := re.search(pattern, error):
            groups = match.groupdict(default="")
            for name, value in groups.items():
                remedy = remedy.replace(f"{{{name}}}", value)  # noqa: PLW2901
            return remedy, groups
    return None


class _Hook:
    """Shows the remedies of one kind of component."""

    def __init__(self, kind: str, failures: Mapping[str, str], identified_by: str) -> None:
        self.parents: dict[str, str] = {}
        """Names of components, by those of their children."""
        self._failures = failures
        self._identified_by = identified_by
        self._told: set[str] = set()
        self.binding = pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(kind, self._tell)])

    def _tell(self, args: pulumi.ErrorHookArgs) -> bool:
        found = _found(next(iter(args.errors), ""), self._failures)  # newest first
        if found is not None:
            remedy, groups = found
            identity = groups.get("id") or (args.new_inputs or {}).get(self._identified_by, "ID")
            remedy = remedy.replace(TAKE_OVER, self._take_over(args, str(identity)))
            if remedy not in self._told:
                self._told.add(remedy)
                _tell(remedy, args.urn)
        return False  # trying again would fail again

    def _take_over(self, args: pulumi.ErrorHookArgs, identity: str) -> str:
        scope, types, _ = args.urn.rsplit("::", 2)
        parent = f"{scope}::{types.rpartition('$')[0]}::{self.parents.get(args.name, args.name)}"
        words = ["pulumi", "import", args.type, args.name, identity, "--parent", f"lightly={parent}"]
        return f"`{shlex.join(words)} --protect=false --generate-code=false`"


def _hook_of(kind: str, failures: Mapping[str, str], identified_by: str) -> _Hook | None:
    """What has remedies shown; nothing where that cannot work, since it is but a convenience.

    That is a CLI before 3.217, another SDK than we know, a program's own unit test outside of any event loop, and a
    component that a plugin builds for a program in another language: it has no stack of its own, and could not know
    whether the hook is registered already.
    """
    if not failures or get_root_resource() is None:
        return None
    try:
        loop = asyncio.get_running_loop()
        ready = _callbacks_are_ready()
    except (ImportError, AttributeError, RuntimeError):
        return None
    if not ready:
        return None
    hooks = _HOOKS.setdefault(loop, {})
    if kind not in hooks:
        hooks[kind] = _Hook(kind, failures, identified_by)
    return hooks[kind]


def _tell(remedy: str, urn: str) -> None:
    """An error message about a resource, sent at once: that of `pulumi.log` is sent later, and lost if the run ends."""
    from pulumi.runtime.proto import engine_pb2
    from pulumi.runtime.settings import get_engine

    if engine := get_engine():
        engine.Log(engine_pb2.LogRequest(severity=engine_pb2.ERROR, message=remedy, urn=urn))


def _callbacks_are_ready() -> bool:
    """Whether the engine calls error hooks; if so, the server that it calls is running.

    The SDK starts it in a task and stops it when the program ends: grpcio crashes (1.85, segmentation fault) when a
    program fails so early that one meets the other. So it starts now, in the SDK's own way.
    """
    from pulumi.runtime.proto import resource_pb2
    from pulumi.runtime.settings import _get_callbacks, monitor_supports_feature
    from pulumi.runtime.sync_await import _sync_await

    if not monitor_supports_feature(resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS):
        return False
    _sync_await(_get_callbacks())
    return True

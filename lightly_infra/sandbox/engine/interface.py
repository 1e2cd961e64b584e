"""What every engine of the sandbox offers: preview, up, refresh, destroy, each returning what changed.

Two engines stand behind this: `embedded` runs inside this process and needs no Pulumi CLI, `pulumi` is the real
CLI. The same programs run on both; where they differ the embedded one is wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightly_infra.updates.changes import Change, Failure, OnChange


@dataclass(frozen=True)
class Secret:
    """A secret value. It shows as `[secret]`; `.value` is the plain value."""

    value: Any

    def __repr__(self) -> str:
        return "[secret]"

    __str__ = __repr__


@dataclass(frozen=True)
class Program:
    """A Pulumi program and the stack it runs for.

    Attributes:
        run: The program: declares resources and exports outputs.
        project: The project's name.
        stack: The stack's name.
        config: Fully qualified keys ("aws:region") to string values; objects are JSON, as in `PULUMI_CONFIG`.
        secret_keys: The keys of `config` whose values are secret.
    """

    run: Callable[[], None]
    project: str
    stack: str
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_keys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Result:
    """What a run did.

    Attributes:
        changes: One for each custom resource that was looked at, in the order the operations finished. Components
            and providers are not listed.
        outputs: The stack's outputs as plain Python; secret leaves are `Secret`. Empty after preview and destroy.
        failures: Empty when all went well. What was done before a failure is kept, and the next run continues.
    """

    changes: tuple[Change, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many custom resources had which operation, as `{"create": 3, "same": 1}`."""
        return dict(Counter(change.operation.value for change in self.changes))

    @property
    def failed(self) -> bool:
        """Whether anything failed."""
        return bool(self.failures)


class UnsupportedFeature(Exception):
    """The program uses something that the embedded engine does not have; the message names it."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"the embedded engine does not support {feature}; run this program on the pulumi engine")


class Engine(Protocol):
    """An engine holds the state of one stack from its construction until `close`.

    Engines are made from emulated providers by package, and from the environment that these and programs see on top of
    this process's. They keep that mapping and read it with each run: it may grow, as clouds start, while they live.
    """

    name: str

    def preview(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do. Creates, updates and deletes nothing."""
        ...

    def up(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Runs the program and brings its resources into being."""
        ...

    def refresh(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Reads every resource back, without running the program, and records drift in the state.

        Changes are `update` for what has drifted, `delete` for what is gone, else `same`.
        """
        ...

    def drift(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do to each resource if all were read back before. Does nothing, and notes nothing."""
        ...

    def destroy(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Deletes every resource of the state, without running the program.

        Protected resources, and what they depend on, stay and are failures; what is marked retain-on-delete is
        only forgotten.
        """
        ...

    def export(self) -> dict[str, Any]:
        """The state as a deployment document (version 3; 4 with hooks). Secrets are ciphertext or sentinels."""
        ...

    def load(self, program: Program, document: dict[str, Any]) -> None:
        """Takes over the state of the program's stack from elsewhere, in place of the one it has.

        Args:
            program: Its project and stack are those of the document.
            document: As `pulumi stack export --show-secrets` writes it: secrets stand in plain.
        """
        ...

    def close(self) -> None:
        """Stops everything the engine started. The resources themselves stay."""
        ...

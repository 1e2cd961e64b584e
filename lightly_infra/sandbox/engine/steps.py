"""The steps a deployment is made of: each does one thing to one resource and records it in the snapshot."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.engine.urns import is_provider_type
from lightly_infra.sandbox.engine.values import copy
from lightly_infra.updates.changes import Change, OnChange, Operation

if TYPE_CHECKING:
    from lightly_infra.sandbox.engine.hooks import ErrorHooks
    from lightly_infra.sandbox.engine.messages import Scrubber
    from lightly_infra.sandbox.engine.providers import Providers
    from lightly_infra.sandbox.engine.state import ResourceState, Snapshot


class StepError(Exception):
    """A resource failed, with all the reasons."""

    def __init__(self, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


class ProtectedError(StepError):
    """The resource is protected against deletion: the one error that lets other deletes go on."""


@dataclass
class Run:
    """What the steps of one run share."""

    snapshot: Snapshot
    providers: Providers
    scrubber: Scrubber
    hooks: ErrorHooks
    preview: bool
    on_change: OnChange | None = None
    changes: list[Change] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def changed(self, state: ResourceState, operation: Operation, keys: tuple[str, ...] = ()) -> None:
        """Records and announces what was done to a resource."""
        if not state.managed:
            return
        change = Change(state.urn, state.type, state.name, operation, keys)
        with self._lock:
            self.changes.append(change)
            if self.on_change is not None:
                self.on_change(change)

    def settle(self, state: ResourceState) -> None:
        """Marks the secrets among a resource's outputs, before anyone sees them."""
        for key in state.additional_secret_outputs:
            if key in state.outputs and key != "id" and not isinstance(state.outputs[key], Secret):
                state.outputs[key] = Secret(state.outputs[key])
        for key, given in state.inputs.items():
            if isinstance(given, Secret) and not isinstance(state.outputs.get(key, given), Secret):
                state.outputs[key] = Secret(state.outputs[key])
        self.scrubber.learn(state.inputs, state.outputs)


class Step(Protocol):
    """Something to do to one resource."""

    def apply(self, run: Run) -> None:
        """Does it.

        Raises:
            StepError: It is refused.
            ProviderError: The provider failed.
        """
        ...


@dataclass
class Same:
    """Nothing changed: id and outputs stay as they are."""

    old: ResourceState
    new: ResourceState

    def apply(self, run: Run) -> None:
        """Carries the old outputs over."""
        self.new.id, self.new.outputs = self.old.id, copy(self.old.outputs)
        if is_provider_type(self.new.type):
            run.providers.configure(self.new, self.old.inputs)
        run.settle(self.new)
        run.snapshot.add(self.new, instead_of=self.old)
        run.changed(self.new, Operation.SAME)


@dataclass
class Create:
    """Creates a resource, or the replacement of one.

    Attributes:
        old: What is replaced.
        delete_later: Whether the old one is still there and is to be deleted at the end of the run.
    """

    new: ResourceState
    old: ResourceState | None = None
    keys: tuple[str, ...] = ()
    delete_later: bool = False

    def apply(self, run: Run) -> None:
        """Creates it; in a preview only its inputs are known."""
        new, old = self.new, self.old
        if is_provider_type(new.type):
            new.id = "" if run.preview else str(uuid.uuid4())
            new.outputs = copy(new.inputs)
            run.providers.configure(new, new.inputs)
        elif new.custom and run.preview:
            new.outputs = copy(new.inputs)
        elif new.custom:
            provider = run.providers.of(new)
            new.id, new.outputs = run.hooks.trying(lambda: provider.create(new.urn, new.inputs), new=new)
        run.settle(new)
        if old is not None and self.delete_later:
            old.delete = True
        run.snapshot.add(new, instead_of=None if self.delete_later else old)
        run.changed(new, Operation.CREATE if old is None else Operation.REPLACE, self.keys)


@dataclass
class Update:
    """Changes a resource in place."""

    old: ResourceState
    new: ResourceState
    keys: tuple[str, ...] = ()

    def apply(self, run: Run) -> None:
        """Changes it; in a preview only its inputs are known, and what its provider says will stay."""
        old, new = self.old, self.new
        new.id = old.id
        if is_provider_type(new.type):
            new.outputs = copy(new.inputs)
            run.providers.configure(new, new.inputs)
        elif new.custom:
            provider = run.providers.for_checks(new) if run.preview else run.providers.of(new)
            given = (new.urn, old.id, old.inputs, old.outputs, new.inputs, new.ignore_changes)
            new.outputs = run.hooks.trying(lambda: provider.update(*given, preview=run.preview), new=new, old=old)
        run.settle(new)
        run.snapshot.add(new, instead_of=old)
        run.changed(new, Operation.UPDATE, self.keys)


@dataclass
class Delete:
    """Deletes a resource, unless it is external, to be retained, or goes with another one.

    Attributes:
        replacing: Part of a replacement: protection was looked at before, and it counts as no change of its own.
        create_later: It is deleted first and its successor is still to come.
    """

    old: ResourceState
    replacing: bool = False
    create_later: bool = False

    def apply(self, run: Run) -> None:
        """Deletes it."""
        old = self.old
        if old.protect and not self.replacing:
            raise ProtectedError(
                f"{old.name} is protected and was not deleted: remove `protect` from the program and run `up`, "
                "then delete it"
            )
        spared = old.external or old.retain_on_delete or old.deleted_with in run.deleted
        if old.managed and not spared and not run.preview:
            provider = run.providers.of(old)
            run.hooks.trying(lambda: provider.delete(old.urn, old.id, old.inputs, old.outputs), old=old)
        if self.create_later:
            old.pending_replacement = True
        else:
            run.snapshot.drop(old)
        if not self.replacing:
            run.changed(old, Operation.KEEP if old.retain_on_delete else Operation.DELETE)


@dataclass
class Forget:
    """Drops a resource that was deleted in order to be replaced, and that nobody declares any more."""

    old: ResourceState

    def apply(self, run: Run) -> None:
        """Drops it."""
        run.snapshot.drop(self.old)
        run.changed(self.old, Operation.DELETE)


@dataclass
class Read:
    """Reads a resource that someone else owns."""

    new: ResourceState
    old: ResourceState | None = None

    def apply(self, run: Run) -> None:
        """Reads it, in previews too; an owned resource of that name is deleted later."""
        new, old = self.new, self.old
        if new.id:
            identity, _, outputs = run.providers.of(new).read(new.urn, new.id, new.inputs, new.inputs)
            if outputs is None:
                raise StepError(f"resource '{new.id}' does not exist")
            new.id, new.outputs = identity or new.id, outputs
        run.settle(new)
        replaced = old is not None and not old.external and old.id != new.id
        if old is not None and replaced:
            old.delete = True
        run.snapshot.add(new, instead_of=None if replaced else old)
        run.changed(new, Operation.READ)

"""Decides, one registration at a time, which steps bring a resource from its old state to what the program asks.

This follows the real engine's step generator: find the old state by URN or alias, check the inputs, diff them, and
choose between same, update and either order of replacement. Deleting before replacing takes along the dependents
that could not survive it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightly_infra.sandbox.engine.diffing import Difference, difference
from lightly_infra.sandbox.engine.paths import reset_ignored
from lightly_infra.sandbox.engine.state import ResourceState, dependents_of
from lightly_infra.sandbox.engine.steps import Create, Delete, Read, Run, Same, Step, StepError, Update
from lightly_infra.sandbox.engine.urns import alias_urns, is_provider_type, make_urn, package_of
from lightly_infra.sandbox.engine.values import UNKNOWN, Properties

if TYPE_CHECKING:
    from lightly_infra.sandbox.engine.goals import Goal
    from lightly_infra.sandbox.engine.interface import Program


@dataclass
class StepGenerator:
    """Generates the steps of one run. Not thread-safe: one registration at a time, as in the real engine."""

    run: Run
    program: Program
    goals: dict[str, Goal] = field(default_factory=dict)
    _found_under: dict[str, str] = field(default_factory=dict)
    _renamed_to: dict[str, str] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)
    _replaced: set[str] = field(default_factory=set)
    _deleted_for: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def urn_for(self, type_: str, name: str, parent: str) -> str:
        """The URN of a resource of this run.

        Raises:
            StepError: There is one of this name already, or the parent is unknown.
        """
        urn = make_urn(self.program.stack, self.program.project, parent, type_, name)
        if parent and parent not in self.goals:
            raise StepError(f"could not find parent resource {parent}")
        if urn in self.goals:
            raise StepError(f"duplicate resource URN {urn}: give it another name")
        return urn

    def register(self, urn: str, goal: Goal) -> tuple[ResourceState, list[Step]]:
        """The new state that the goal leads to, and the steps that lead there, to be applied in order.

        Raises:
            StepError: The resource is not valid, or must not be replaced.
            ProviderError: A provider failed.
        """
        parent = self.goals.get(goal.parent)
        new = _new_state(urn, goal, parent)
        self.goals[urn] = goal
        old = self._old(urn, goal)
        recreating = urn in self._deleted_for or (old is not None and old.urn in self._deleted_for)
        if goal.custom and (old is None or old.external or recreating):
            new.inputs = self._check(new, {}, goal.properties)
        elif goal.custom and old is not None:
            inputs = reset_ignored(goal.properties, old.inputs, goal.ignore_changes)
            new.inputs = self._check(new, old.inputs, inputs)
        self._kept.add(urn)
        if old is None:
            return new, [Create(new)]
        if recreating:
            self._replaced.add(urn)
            self.run.deleted -= {urn, old.urn}
            return new, [Create(new, old, self._deleted_for.get(old.urn, ()))]
        if old.external:
            return new, [Create(new, old, delete_later=True)]
        change = self._difference(goal, old, new)
        if change.replace or old.pending_replacement:
            return new, self._replace(goal, old, new, change)
        return new, [Update(old, new, change.keys)] if change.changes else [Same(old, new)]

    def read(self, new: ResourceState) -> list[Step]:
        """The steps that read a resource someone else owns."""
        old = self.run.snapshot.current.get(new.urn)
        self._kept.add(new.urn)
        return [Read(new, old)]

    def is_kept(self, old: ResourceState) -> bool:
        """Whether a resource of the old state is still declared."""
        return self._renamed_to.get(old.urn, old.urn) in self._kept

    def _old(self, urn: str, goal: Goal) -> ResourceState | None:
        current = self.run.snapshot.current
        if urn in self._renamed_to:
            raise StepError(f"{urn} is also an alias of {self._renamed_to[urn]}: one of them must go")
        if urn in current:
            return current[urn]
        aliases = alias_urns(
            goal.aliases,
            stack=self.program.stack,
            project=self.program.project,
            parent=goal.parent,
            type_=goal.type,
            name=goal.name,
            used=self._found_under,
        )
        alias = next((alias for alias in aliases if alias in current), None)
        if alias is None:
            return None
        if alias in self.goals or alias in self._renamed_to:
            raise StepError(f"alias {alias} of {urn} is claimed by another resource")
        self._found_under[urn], self._renamed_to[alias] = alias, urn
        self.run.snapshot.renames[alias] = urn
        return current[alias]

    def _check(self, new: ResourceState, olds: Properties, news: Properties) -> Properties:
        if is_provider_type(new.type):
            package = package_of(new.type)
            inputs, failures = self.run.providers.plugins.check_config(package, new.urn, olds, news)
        else:
            inputs, failures = self.run.providers.for_checks(new).check(new.urn, olds, news)
        if failures:
            raise StepError(*failures)
        return inputs

    def _difference(self, goal: Goal, old: ResourceState, new: ResourceState) -> Difference:
        for urn in new.replace_with:
            if urn in self._replaced:
                return Difference(changes=True, replaces=("replaceWith",))
        if new.deleted_with in self._replaced:
            return Difference(changes=True, replaces=("deletedWith",))
        if self._provider_forces_replacement(old, new):
            return Difference(changes=True, replaces=("provider",))
        found = difference(self.run.providers, old, new.inputs, new, goal.ignore_changes)
        return found.replaced_on(goal.replace_on_changes)

    def _provider_forces_replacement(self, old: ResourceState, new: ResourceState) -> bool:
        renamed = self._renamed_to.get(old.provider_urn, "") == new.provider_urn != ""
        if not new.custom or renamed or old.provider == new.provider:
            return False
        return self.run.providers.change_forces_replacement(old, new)

    def _replace(self, goal: Goal, old: ResourceState, new: ResourceState, change: Difference) -> list[Step]:
        if new.protect and old.protect:
            raise StepError(
                f"{new.name} would be replaced but is protected: remove `protect` from the program, "
                "or undo the change of " + ", ".join(change.replaces or change.keys)
            )
        self._replaced.add(new.urn)
        if goal.custom:
            new.inputs = self._check(new, {}, goal.properties)
        keys = change.replaces or change.keys
        first = goal.delete_before_replace
        if not (change.delete_before_replace if first is None else first):
            if not old.pending_replacement:
                return [Create(new, old, keys, delete_later=True)]
            return [Create(new, old, keys)]
        steps: list[Step] = []
        for dependent, reasons in reversed(self._dependents_to_replace(old)):
            if dependent.urn in self._deleted_for:
                continue
            if dependent.protect:
                raise StepError(
                    f"{new.name} would be replaced together with {dependent.name}, which is protected: remove "
                    "`protect` from the program"
                )
            self._deleted_for[dependent.urn] = reasons
            self.run.deleted.add(dependent.urn)
            steps.append(Delete(dependent, replacing=True, create_later=True))
        if not old.pending_replacement:
            self.run.deleted.add(old.urn)
            steps.append(Delete(old, replacing=True, create_later=True))
        return [*steps, Create(new, old, keys)]

    def _dependents_to_replace(self, root: ResourceState) -> list[tuple[ResourceState, tuple[str, ...]]]:
        """Those dependents of a resource about to be deleted that its absence would replace, dependencies first.

        Each is diffed with unknowns in place of the properties that come from what is being replaced.
        """
        replaced = {root.urn}
        result: list[tuple[ResourceState, tuple[str, ...]]] = []
        done = self._kept | {self._found_under.get(urn, urn) for urn in self._kept}
        for state in dependents_of(root, self.run.snapshot.base, done):
            if not state.custom or state.external:
                continue
            cascades = state.deleted_with in replaced or replaced & {*state.replace_with, state.provider_urn}
            affected = {k for k, urns in state.property_dependencies.items() if replaced.intersection(urns)}
            affected &= set(state.inputs)
            if not cascades and not affected:
                continue
            inputs = {key: UNKNOWN if key in affected else value for key, value in state.inputs.items()}
            change = difference(self.run.providers, state, inputs, state, state.ignore_changes)
            change = change.replaced_on(state.replace_on_changes)
            if cascades or change.replace:
                replaced.add(state.urn)
                result.append((state, change.replaces))
        return result


def _new_state(urn: str, goal: Goal, parent: Goal | None) -> ResourceState:
    return ResourceState(
        urn=urn,
        type=goal.type,
        custom=goal.custom,
        inputs=goal.properties,
        parent=goal.parent,
        provider=goal.provider,
        dependencies=goal.dependencies,
        property_dependencies=goal.property_dependencies,
        deleted_with=goal.deleted_with or (parent.deleted_with if parent else ""),
        replace_with=goal.replace_with,
        protect=bool(goal.protect if goal.protect is not None else parent and parent.protect),
        retain_on_delete=bool(
            goal.retain_on_delete if goal.retain_on_delete is not None else parent and parent.retain_on_delete
        ),
        additional_secret_outputs=goal.additional_secret_outputs,
        ignore_changes=goal.ignore_changes,
        replace_on_changes=goal.replace_on_changes,
        error_hooks=goal.error_hooks,
    )

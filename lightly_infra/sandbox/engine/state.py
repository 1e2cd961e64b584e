"""The state of a stack: its resources, who depends on whom, and the document it is exported as."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lightly_infra.sandbox.engine.urns import is_provider_type, name_of
from lightly_infra.sandbox.engine.values import sealed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from lightly_infra.sandbox.engine.values import Properties


@dataclass(kw_only=True, eq=False)
class ResourceState:
    """One resource as the last run left it. Compared by identity: one URN may stand twice, old and new.

    Attributes:
        provider: Reference ("urn::id") to an explicit provider; empty for a package's default one.
        delete: Replaced by a newer one and still to be deleted.
        pending_replacement: Deleted already, and still to be created again.
        external: Only read, owned by someone else, never deleted.
    """

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deleted_with: str = ""
    replace_with: tuple[str, ...] = ()
    protect: bool = False
    retain_on_delete: bool = False
    additional_secret_outputs: tuple[str, ...] = ()
    ignore_changes: tuple[str, ...] = ()
    error_hooks: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    delete: bool = False
    pending_replacement: bool = False
    external: bool = False

    @property
    def name(self) -> str:
        """The resource's name."""
        return name_of(self.urn)

    @property
    def managed(self) -> bool:
        """Whether this is a custom resource of a cloud or API: no component, no provider."""
        return self.custom and not is_provider_type(self.type)

    @property
    def provider_urn(self) -> str:
        """The URN of the explicit provider, or nothing."""
        return self.provider.rpartition("::")[0]

    def references(self) -> set[str]:
        """The URNs this resource depends on in any way other than by having a parent."""
        urns = {*self.dependencies, *self.replace_with, self.deleted_with, self.provider_urn}
        for dependencies in self.property_dependencies.values():
            urns.update(dependencies)
        return urns - {""}

    def renamed(self, names: Mapping[str, str]) -> ResourceState:
        """The same resource with references to old URNs replaced by those of today."""

        def new(urn: str) -> str:
            return names.get(urn, urn)

        provider, separator, provider_id = self.provider.rpartition("::")
        return dataclasses.replace(
            self,
            parent=new(self.parent),
            provider=new(provider) + separator + provider_id,
            dependencies=tuple(map(new, self.dependencies)),
            property_dependencies={k: tuple(map(new, v)) for k, v in self.property_dependencies.items()},
            deleted_with=new(self.deleted_with),
            replace_with=tuple(map(new, self.replace_with)),
        )

    def without(self, gone: Collection[str]) -> ResourceState:
        """The same resource without references to resources that are gone."""
        return dataclasses.replace(
            self,
            dependencies=tuple(urn for urn in self.dependencies if urn not in gone),
            property_dependencies={
                key: tuple(urn for urn in urns if urn not in gone) for key, urns in self.property_dependencies.items()
            },
            deleted_with="" if self.deleted_with in gone else self.deleted_with,
            replace_with=tuple(urn for urn in self.replace_with if urn not in gone),
        )

    def document(self) -> dict[str, Any]:
        """The resource as it stands in a deployment document, without the fields that are empty."""
        fields = {
            "urn": self.urn,
            "custom": self.custom,
            "id": self.id,
            "type": self.type,
            "inputs": sealed(self.inputs),
            "outputs": sealed(self.outputs),
            "parent": self.parent,
            "protect": self.protect,
            "external": self.external,
            "delete": self.delete,
            "pendingReplacement": self.pending_replacement,
            "dependencies": list(self.dependencies),
            "propertyDependencies": {key: list(urns) for key, urns in self.property_dependencies.items()},
            "provider": self.provider,
            "additionalSecretOutputs": list(self.additional_secret_outputs),
            "retainOnDelete": self.retain_on_delete,
            "deletedWith": self.deleted_with,
            "replaceWith": list(self.replace_with),
            "resourceHooks": {"OnError": list(self.error_hooks)} if self.error_hooks else {},
        }
        return {key: value for key, value in fields.items() if value or key == "custom"}


def state_of(document: Mapping[str, Any]) -> ResourceState:
    """The other way round: a resource from its part of a document, in which secrets are marked."""
    return ResourceState(
        urn=document["urn"],
        type=document["type"],
        custom=document["custom"],
        id=document.get("id", ""),
        inputs=document.get("inputs", {}),
        outputs=document.get("outputs", {}),
        parent=document.get("parent", ""),
        provider=document.get("provider", ""),
        dependencies=tuple(document.get("dependencies") or ()),
        property_dependencies={
            key: tuple(urns or ()) for key, urns in (document.get("propertyDependencies") or {}).items()
        },
        deleted_with=document.get("deletedWith", ""),
        replace_with=tuple(document.get("replaceWith") or ()),
        protect=document.get("protect", False),
        retain_on_delete=document.get("retainOnDelete", False),
        additional_secret_outputs=tuple(document.get("additionalSecretOutputs") or ()),
        ignore_changes=tuple(document.get("ignoreChanges") or ()),
        error_hooks=tuple((document.get("resourceHooks") or {}).get("OnError") or ()),
        replace_on_changes=tuple(document.get("replaceOnChanges") or ()),
        delete=document.get("delete", False),
        pending_replacement=document.get("pendingReplacement", False),
        external=document.get("external", False),
    )


class Snapshot:
    """The state while a run works on it: what the run has done already, and what it has not yet touched."""

    def __init__(self, resources: Iterable[ResourceState]) -> None:
        """Starts from the last run's resources, which are copied: a preview must leave no trace."""
        self.base = [dataclasses.replace(resource) for resource in resources]
        self.current = {resource.urn: resource for resource in self.base if not resource.delete}
        self.renames: dict[str, str] = {}
        self._done: list[ResourceState] = []
        self._retired: set[int] = set()
        self._lock = threading.Lock()

    def add(self, new: ResourceState, *, instead_of: ResourceState | None = None) -> None:
        """Records a resource of this run, and drops the old state it takes the place of."""
        with self._lock:
            self._done.append(new)
            if instead_of is not None:
                self._retired.add(id(instead_of))

    def drop(self, old: ResourceState) -> None:
        """Forgets a resource."""
        with self._lock:
            self._retired.add(id(old))

    def resources(self) -> list[ResourceState]:
        """What the state is now, dependencies before dependents."""
        with self._lock:
            left = [resource for resource in self.base if id(resource) not in self._retired]
            if not self.renames:
                return self._done + left
            return [resource.renamed(self.renames) for resource in self._done + left]


def dependents_of(
    root: ResourceState, resources: Sequence[ResourceState], ignore: Collection[str]
) -> Iterator[ResourceState]:
    """Everything that directly or indirectly depends on `root`, dependencies first; having a parent is none."""
    dependents = {root.urn}
    for candidate in resources[resources.index(root) + 1 :]:
        if candidate.urn not in ignore and candidate.references() & dependents:
            dependents.add(candidate.urn)
            yield candidate


def dependencies_of(resource: ResourceState, resources: Sequence[ResourceState]) -> list[ResourceState]:
    """What must be deleted after `resource`: what it refers to, children of components included, and its parent.

    Only states before it count, since one URN may stand twice and nothing depends on what came later.
    """
    before = resources[: resources.index(resource)]
    wanted = resource.references()
    components = {state.urn for state in before if state.urn in wanted and not state.custom}
    for state in before:  # children of those components, and theirs; parents stand before children
        if state.parent in components:
            components.add(state.urn)
    return [state for state in before if state.urn in wanted | components | {resource.parent}]


def delete_waves(condemned: Collection[ResourceState], resources: Sequence[ResourceState]) -> list[list[ResourceState]]:
    """The condemned in waves: each wave can be deleted at once, after all waves before it."""
    depth: dict[int, int] = {}
    condemned_ids = {id(state) for state in condemned}
    for state in (state for state in resources if id(state) in condemned_ids):
        blockers = [d for d in dependencies_of(state, resources) if id(d) in depth]
        depth[id(state)] = 1 + max((depth[id(blocker)] for blocker in blockers), default=0)
    waves: list[list[ResourceState]] = [[] for _ in range(max(depth.values(), default=0))]
    for state in condemned:
        waves[-depth[id(state)]].append(state)
    return waves

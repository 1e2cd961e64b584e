"""What the program asks for: a registration request as the engine understands it, or a refusal by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox.engine.interface import UnsupportedFeature
from lightly_infra.sandbox.engine.providers import refuse_unservable
from lightly_infra.sandbox.engine.urns import STACK_TYPE
from lightly_infra.sandbox.engine.values import Properties, from_struct

if TYPE_CHECKING:
    from pulumi.runtime.proto import alias_pb2, resource_pb2

# Fields of the request that change what happens and that this engine does not act on. `customTimeouts` is let
# through on purpose: our providers have no use for it. `hideDiffs` only concerns display.
_REFUSED: Final = {
    "importId": "importing resources (ResourceOptions.import_)",
    "remote": "remote components",
    "transforms": "resource transforms (ResourceOptions.transforms); `transformations` work",
    "state_migrations": "state migrations",
    "packageRef": "parameterized packages",
    "envVarMappings": "environment variable mappings of providers",
    "replacement_trigger": "replacement triggers",
}


@dataclass(frozen=True)
class Goal:
    """What one registration asks for. None means: not said, so the parent's value counts."""

    type: str
    name: str
    custom: bool
    parent: str
    properties: Properties
    provider: str
    dependencies: tuple[str, ...]
    property_dependencies: dict[str, tuple[str, ...]]
    protect: bool | None
    retain_on_delete: bool | None
    deleted_with: str
    replace_with: tuple[str, ...]
    delete_before_replace: bool | None
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    additional_secret_outputs: tuple[str, ...]
    aliases: tuple[alias_pb2.Alias, ...]


def goal_of(request: resource_pb2.RegisterResourceRequest) -> Goal:
    """Reads the request.

    Raises:
        UnsupportedFeature: It asks for something this engine does not do.
    """
    for name, feature in _REFUSED.items():
        if _is_set(request, name):
            raise UnsupportedFeature(feature)
    if request.HasField("hooks") and request.hooks.ListFields():
        raise UnsupportedFeature("resource hooks")
    if request.type != STACK_TYPE:
        refuse_unservable(request.type)
    properties = from_struct(request.object)
    dependencies = tuple(sorted(request.dependencies))
    property_dependencies = {key: tuple(sorted(value.urns)) for key, value in request.propertyDependencies.items()}
    dbr_said = request.deleteBeforeReplaceDefined or request.deleteBeforeReplace
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        parent=request.parent,
        properties=properties,
        provider=request.provider if request.custom else "",
        dependencies=dependencies,
        # As the real engine has it: without details every property is taken to depend on everything.
        property_dependencies=property_dependencies or dict.fromkeys(properties, dependencies),
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        deleted_with=request.deletedWith,
        replace_with=tuple(request.replace_with),
        delete_before_replace=request.deleteBeforeReplace if dbr_said else None,
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=(*request.aliases,),
    )


def _is_set(request: resource_pb2.RegisterResourceRequest, name: str) -> bool:
    return any(field.name == name for field, _ in request.ListFields())

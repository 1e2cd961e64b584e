"""What the program asks for: a registration request as the engine understands it, or a refusal by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox.engine.assets import hashed
from lightly_infra.sandbox.engine.interface import UnsupportedFeature
from lightly_infra.sandbox.engine.providers import refuse_unservable
from lightly_infra.sandbox.engine.state import ResourceState
from lightly_infra.sandbox.engine.steps import StepError
from lightly_infra.sandbox.engine.urns import STACK_TYPE
from lightly_infra.sandbox.engine.values import UNKNOWN_SENTINEL, Properties, from_struct

if TYPE_CHECKING:
    from collections.abc import Collection

    from google.protobuf.message import Message
    from pulumi.runtime.proto import alias_pb2, resource_pb2

# Only what is listed here may be asked for, so that what a newer SDK adds is refused and not passed over.
_ACTED_ON: Final = frozenset(
    {
        *("type", "name", "custom", "parent", "object", "provider", "dependencies", "propertyDependencies"),
        *("protect", "retainOnDelete", "deletedWith", "replace_with", "ignoreChanges", "replaceOnChanges"),
        *("deleteBeforeReplace", "deleteBeforeReplaceDefined", "additionalSecretOutputs", "aliases"),
        "hooks",
    }
)
_READ: Final = frozenset(
    {*("type", "name", "id", "parent", "properties", "provider", "dependencies", "additionalSecretOutputs")}
)
_OF_NO_CONSEQUENCE: Final = frozenset(
    {
        # What the SDK can do and understand: we may make less use of it.
        *("acceptSecrets", "acceptResources", "accepts_byte_string"),
        *("aliasSpecs", "supportsPartialValues", "supportsResultReporting"),
        # There is one emulated provider for all versions, and it has no use for time-outs.
        *("version", "pluginDownloadURL", "pluginChecksums", "customTimeouts"),
        # For remote components; the SDK itself hands them on to the children of all others.
        "providers",
        # For display and diagnosis.
        *("hideDiffs", "sourcePosition", "stackTrace", "parentStackTraceHandle", "snippetId"),
    }
)
_STEP_HOOKS: Final = ("before_create", "after_create", "before_update", "after_update", "before_delete", "after_delete")
# What people call the options behind the fields; any other is refused by the field's name.
_FEATURES: Final = {
    "importId": "importing resources (ResourceOptions.import_)",
    "remote": "remote components",
    "transforms": "resource transforms (ResourceOptions.transforms); `transformations` work",
    "state_migrations": "state migrations",
    "packageRef": "parameterized packages",
    "envVarMappings": "environment variable mappings of providers",
    "replacement_trigger": "replacement triggers",
    **dict.fromkeys(_STEP_HOOKS, "resource hooks; error hooks work"),
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
    error_hooks: tuple[str, ...]


def goal_of(request: resource_pb2.RegisterResourceRequest) -> Goal:
    """Reads the request.

    Raises:
        UnsupportedFeature: It asks for something this engine does not do.
        StepError: The file of an asset cannot be read.
    """
    _refuse_others(request, _ACTED_ON)
    _refuse_others(request.hooks, {"on_error"})
    if request.type != STACK_TYPE:
        refuse_unservable(request.type)
    properties = _with_hashes(from_struct(request.object))
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
        error_hooks=tuple(request.hooks.on_error),
    )


def external_of(urn: str, request: resource_pb2.ReadResourceRequest) -> ResourceState:
    """The resource of someone else that the program wants to read; without an id as long as that is unknown.

    Raises:
        UnsupportedFeature: It asks for something this engine does not do.
    """
    _refuse_others(request, _READ)
    refuse_unservable(request.type)
    return ResourceState(
        urn=urn,
        type=request.type,
        custom=True,
        id="" if request.id == UNKNOWN_SENTINEL else request.id,
        inputs=_with_hashes(from_struct(request.properties)),
        parent=request.parent,
        provider=request.provider,
        dependencies=tuple(sorted(request.dependencies)),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        external=True,
    )


def _with_hashes(properties: Properties) -> Properties:
    try:
        found: Properties = hashed(properties)
    except OSError as error:
        raise StepError(f"the file of an asset cannot be read: {error.filename}: {error.strerror}") from error
    return found


def _refuse_others(request: Message, acted_on: Collection[str]) -> None:
    for field, _ in request.ListFields():
        if field.name in acted_on or field.name in _OF_NO_CONSEQUENCE:
            continue
        unnamed = f"the field {field.name!r} of {type(request).__name__}"
        raise UnsupportedFeature(_FEATURES.get(field.name, unnamed))

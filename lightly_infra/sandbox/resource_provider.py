# ruff: noqa: N802 - the methods have the protocol's names
"""A Pulumi provider made of emulated resource types: the protocol's side, the same for every emulated cloud.

What an emulator does not know it refuses by name, types, functions and inputs alike: one that ignored them would
pretend. It takes no secrets (the engine unwraps them and marks what comes back under the same name); outputs that are
secret by nature go back marked.
"""

from __future__ import annotations

import functools
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.engine.values import from_struct, holds_unknown, plain, reveal, to_struct
from lightly_infra.sandbox.resource_type import Properties, Refusal, ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from google.protobuf.struct_pb2 import Struct

    from lightly_infra.sandbox.resource_type import ResourceType

__all__ = ["ResourceError", "ResourceProvider"]

_DEFAULTS: Final = "__defaults"  # the inputs that the program left to us; the real bridge keeps them there too
_Method = TypeVar("_Method", bound="Callable[..., Any]")


def _answers(method: _Method) -> _Method:
    """Errors leave a method as `ResourceError`, over gRPC as a status whose details are the message."""

    @functools.wraps(method)
    def answer(self: ResourceProvider, request: Any, context: grpc.ServicerContext | None = None) -> Any:
        try:
            return method(self, request, context)
        except Exception as error:
            message = str(error) if isinstance(error, ResourceError) else self.explain(error)
            if message is not None:
                subject = _subject(request)
                message = f"{subject}: {message}" if subject else message
            if isinstance(context, grpc.ServicerContext):
                context.abort(grpc.StatusCode.UNKNOWN, message or f"{type(error).__name__}: {error}")
            if message is None:
                raise
            raise ResourceError(message) from error

    return answer  # type: ignore[return-value]  # functools.wraps keeps the signature that callers see


class ResourceProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Dispatches the protocol's calls to resource types and functions. Safe to call from many threads.

    A subclass names itself in `package`, the SDK whose version it reports in `sdk` and the configuration that it
    honours or can do without in `settings`; it fills `types` and `functions` in its constructor.
    """

    package: ClassVar[str]
    sdk: ClassVar[str]
    settings: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self.types: dict[str, ResourceType] = {}
        # A function's token: its arguments, and what it does with them.
        self.functions: dict[str, tuple[frozenset[str], Callable[[Properties], Properties]]] = {}

    def add_types(self, *types: ResourceType) -> None:
        """Serve these resource types."""
        self.types.update({one.type_name: one for one in types})

    def explain(self, error: Exception) -> str | None:  # noqa: ARG002 - for subclasses to use
        """The cloud's refusal in words, or None when the error is no refusal but a fault of ours."""
        return None

    def is_gone(self, error: Exception) -> bool:  # noqa: ARG002
        """Whether the error says that a resource to be read or deleted does not exist any more."""
        return False

    def refuse_configuration(self, config: Properties) -> Iterable[Refusal]:  # noqa: ARG002
        """What is wrong with settings that are known by name; some may be unknown."""
        return ()

    def deletes_first(self, kind: ResourceType, news: Properties, defaults: Collection[str]) -> bool:
        """Whether a replacement is made after the deletion of the old one, unless the program says otherwise.

        So pulumi-terraform-bridge does as soon as a name that it could make up is given, even another one than before
        (`nameRequiresDeleteBeforeReplace` in pkg/tfbridge/schema.go, called by `Diff` in provider.go).
        """
        return any(name in news and name not in defaults for name in kind.nameable)

    def configure(self, config: Properties) -> None:
        """Take over the configuration; called once before any resource."""

    @_answers
    def GetPluginInfo(self, _request: empty_pb2.Empty, _context: object) -> plugin_pb2.PluginInfo:
        """The SDK's version: an older one makes the real engine warn that the wrong plugin is on PATH."""
        return plugin_pb2.PluginInfo(version=metadata.version(self.sdk))

    @_answers
    def GetSchema(self, _request: provider_pb2.GetSchemaRequest, _context: object) -> provider_pb2.GetSchemaResponse:
        """None: the SDKs are installed."""
        return provider_pb2.GetSchemaResponse(schema="{}")

    @_answers
    def CheckConfig(self, request: provider_pb2.CheckRequest, _context: object) -> provider_pb2.CheckResponse:
        """Refuses settings that it does not know, by name."""
        config = _properties(request.news)
        known = self.settings | {"version", "pluginDownloadURL"}
        refusals = [
            (
                name,
                f"the emulated {self.package} provider does not support this setting; it knows {_list(self.settings)}",
            )
            for name in config
            if name not in known and not name.startswith("__")
        ]
        refusals += self.refuse_configuration(config)
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(refusals))

    @_answers
    def DiffConfig(self, request: provider_pb2.DiffRequest, _context: object) -> provider_pb2.DiffResponse:
        """A changed setting never replaces the provider: resources that depend on it say so themselves."""
        olds, news = _properties(request.old_inputs) or _properties(request.olds), _properties(request.news)
        changed = sorted(name for name in {*olds, *news} if olds.get(name) != news.get(name))
        return provider_pb2.DiffResponse(changes=_changes(changed), diffs=changed)

    @_answers
    def Configure(self, request: provider_pb2.ConfigureRequest, _context: object) -> provider_pb2.ConfigureResponse:
        """Takes over the configuration."""
        config = _properties(request.args)
        prefix = f"{self.package}:config:"
        for key, value in request.variables.items():  # what engines sent before there was `args`
            config.setdefault(key.removeprefix(prefix), value)
        self.configure(config)
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    @_answers
    def Cancel(self, _request: empty_pb2.Empty, _context: object) -> empty_pb2.Empty:
        """Nothing runs long enough to be worth cancelling."""
        return empty_pb2.Empty()

    @_answers
    def Invoke(self, request: provider_pb2.InvokeRequest, _context: object) -> provider_pb2.InvokeResponse:
        """Calls a function."""
        if request.tok not in self.functions:
            self._refuse("function", request.tok, self.functions)
        known, function = self.functions[request.tok]
        args = _properties(request.args)
        unknown = sorted(set(args) - known)
        if unknown:
            raise ResourceError(f"{request.tok}: the emulator does not support the arguments {_list(unknown)}")
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_struct(function(args), secrets=True))
        return response

    @_answers
    def Check(self, request: provider_pb2.CheckRequest, _context: object) -> provider_pb2.CheckResponse:
        """Fills in defaults and the automatic name; all refusals at once."""
        kind, logical_name = self._type_of(request)
        olds, news = _properties(request.olds), _properties(request.news)
        given = {key: value for key, value in news.items() if not key.startswith("__")}
        inputs = kind.complete(given)
        if (naming := kind.naming) and not inputs.get(naming.name) and not inputs.get(naming.prefix or ""):
            kept = olds.get(naming.name) if naming.name in olds.get(_DEFAULTS, ()) else None
            inputs[naming.name] = kept or naming.automatic(logical_name, request.randomSeed)
        filled = sorted(set(inputs) - set(given))
        refusals = list(_refusals(kind, inputs))
        return provider_pb2.CheckResponse(
            inputs=to_struct(inputs | {_DEFAULTS: filled}, unknowns=True), failures=_failures(refusals)
        )

    @_answers
    def Diff(self, request: provider_pb2.DiffRequest, _context: object) -> provider_pb2.DiffResponse:
        """Compares inputs; one that became unknown counts as changed."""
        kind, _ = self._type_of(request)
        olds, news = _properties(request.old_inputs) or _properties(request.olds), _properties(request.news)
        changed = [name for name, spec in kind.inputs.items() if not spec.same(olds.get(name), news.get(name))]
        replaces = [name for name in changed if kind.inputs[name].replaces]
        return provider_pb2.DiffResponse(
            changes=_changes(changed),
            diffs=changed,
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and self.deletes_first(kind, news, news.get(_DEFAULTS, ())),
        )

    @_answers
    def Create(self, request: provider_pb2.CreateRequest, _context: object) -> provider_pb2.CreateResponse:
        """Creates a resource; in a preview no more is known than its inputs."""
        kind, _ = self._type_of(request)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        resource_id, outputs = kind.create(_known(_properties(request.properties)))
        return provider_pb2.CreateResponse(id=resource_id, properties=_outputs(kind, resource_id, outputs))

    @_answers
    def Read(self, request: provider_pb2.ReadRequest, _context: object) -> provider_pb2.ReadResponse:
        """What the cloud has now; an empty id when the resource is gone."""
        kind, _ = self._type_of(request)
        try:
            outputs = kind.read(request.id, _known(_properties(request.properties)))
        except Exception as error:
            if not self.is_gone(error):
                raise
            outputs = None
        if outputs is None:
            return provider_pb2.ReadResponse()
        inputs = _inputs_of(kind, _properties(request.inputs), outputs)
        return provider_pb2.ReadResponse(
            id=request.id, properties=_outputs(kind, request.id, outputs), inputs=to_struct(inputs)
        )

    @_answers
    def Update(self, request: provider_pb2.UpdateRequest, _context: object) -> provider_pb2.UpdateResponse:
        """Changes a resource in place; in a preview it tells which outputs stay, as the real providers do."""
        kind, _ = self._type_of(request)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=_planned(kind, request))
        olds, news = _known(_properties(request.olds)), _known(_properties(request.news))
        return provider_pb2.UpdateResponse(properties=_outputs(kind, request.id, kind.update(request.id, olds, news)))

    @_answers
    def Delete(self, request: provider_pb2.DeleteRequest, _context: object) -> empty_pb2.Empty:
        """Deletes a resource; one that is gone already is no error."""
        kind, _ = self._type_of(request)
        try:
            kind.delete(request.id, _known(_properties(request.properties)))
        except Exception as error:
            if not self.is_gone(error):
                raise
        return empty_pb2.Empty()

    def _type_of(self, request: Any) -> tuple[ResourceType, str]:
        token, name = _type_and_name(request.urn)
        if token not in self.types:
            self._refuse("resource type", token, self.types)
        return self.types[token], name

    def _refuse(self, what: str, token: str, known: Iterable[str]) -> NoReturn:
        raise ResourceError(f"the emulated {self.package} provider has no {what} {token!r}; it has {_list(known)}")


def _refusals(kind: ResourceType, inputs: Properties) -> Iterator[Refusal]:
    for name, value in inputs.items():
        if name not in kind.inputs:
            yield name, f"the emulated {kind.type_name} does not support this input; it honours {_list(kind.inputs)}"
            continue
        spec = kind.inputs[name]
        for path in spec.shape.unsupported(value, name) if spec.shape else ():
            yield name, f"the emulated {kind.type_name} does not support {path}"
        if spec.refuse and value is not None and not holds_unknown(value) and (reason := spec.refuse(value)):
            yield name, reason
    for name, spec in kind.inputs.items():
        if spec.required and inputs.get(name) is None:
            yield name, "is required"
    if kind.naming:
        yield from kind.naming.refusals(inputs)
    yield from kind.refusals(inputs)


def _inputs_of(kind: ResourceType, olds: Properties, outputs: Properties) -> Properties:
    """The inputs that would have made what the cloud has now; where it means the same, in the program's own words."""
    inputs = {key: value for key, value in olds.items() if key.startswith("__")}
    for name, spec in kind.inputs.items():
        old, live = olds.get(name), outputs.get(name)
        if name in olds:
            live = old if spec.same(old, live) else live
        elif spec.same(spec.default, live) or live == "" or (spec.computed and olds):
            continue
        if live is not None:
            inputs[name] = live
    return inputs


def _outputs(kind: ResourceType, resource_id: str, outputs: Properties) -> Struct:
    marked = {
        key: Secret(value) if key in kind.secret_outputs else value
        for key, value in outputs.items()
        if value is not None
    }
    return to_struct(marked | {"id": resource_id}, secrets=True)


def _planned(kind: ResourceType, request: provider_pb2.UpdateRequest) -> Struct:
    olds, news = _properties(request.olds), _properties(request.news)
    computed = {name for name, spec in kind.inputs.items() if spec.computed}
    stays = {name for name in olds if name not in kind.inputs or name in computed}
    if kind.stable_outputs is not None:
        stays &= kind.stable_outputs
    kept = {name: Secret(olds[name]) if name in kind.secret_outputs else olds[name] for name in stays}
    return to_struct(kept | news, unknowns=True, secrets=True)


def _properties(struct: Struct) -> Properties:
    """Plain values: secrets unwrapped, whole numbers as integers, nulls left out."""
    properties: Properties = plain(reveal(from_struct(struct)))
    return {key: value for key, value in properties.items() if value is not None}


def _known(properties: Properties) -> Properties:
    unknown = sorted(key for key, value in properties.items() if holds_unknown(value))
    if unknown:
        raise ResourceError(f"{_list(unknown)} cannot be unknown by now")
    return {key: value for key, value in properties.items() if not key.startswith("__")}


def _type_and_name(urn: str) -> tuple[str, str]:
    """From `urn:pulumi:stack::project::parent's type$type::name`; a name may hold colons."""
    _, _, types, name = urn.split("::", 3)
    return types.rpartition("$")[2], name


def _subject(request: object) -> str:
    urn = getattr(request, "urn", "")
    if not urn:
        return ""
    token, name = _type_and_name(urn)
    return f"{token} {name!r}"


def _failures(refusals: Iterable[Refusal]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in refusals]


def _changes(changed: list[str]) -> provider_pb2.DiffResponse.DiffChanges.ValueType:
    return provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE


def _list(names: Iterable[str] | Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "nothing"

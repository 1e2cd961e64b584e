"""Which provider serves which resource in one run: a package's default one, or one the program declares."""

from __future__ import annotations

import dataclasses
import re
import uuid
from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox.engine.interface import Program, Secret, UnsupportedFeature
from lightly_infra.sandbox.engine.plugins import DYNAMIC
from lightly_infra.sandbox.engine.provider import Provider, UnknownProvider
from lightly_infra.sandbox.engine.state import ResourceState
from lightly_infra.sandbox.engine.urns import PROVIDER_PREFIX, is_provider_type, make_urn, name_of, package_of
from lightly_infra.sandbox.engine.values import Properties, holds_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.sandbox.engine.plugins import Plugins
    from lightly_infra.sandbox.engine.provider import Diff

_UNKNOWN_PROVIDER: Final = UnknownProvider()


class Providers:
    """The providers of one run."""

    def __init__(self, plugins: Plugins, program: Program, olds: Mapping[str, ResourceState]) -> None:
        """Takes the stack's config from the program, and the old state to find recorded providers in."""
        self.plugins = plugins
        self._program = program
        self._olds = olds
        self._explicit: dict[str, Provider | UnknownProvider] = {}

    def for_checks(self, state: ResourceState) -> Provider | UnknownProvider:
        """The resource's provider; in a preview it may not be known yet."""
        return self._find(package_of(state.type), state.provider_urn)

    def of(self, state: ResourceState) -> Provider:
        """The resource's provider, ready to act."""
        return self._ready(package_of(state.type), state.provider_urn)

    def for_function(self, token: str, reference: str) -> Provider | None:
        """The provider of a function, or nothing when it is not known yet."""
        provider = self._find(package_of(token), reference.rpartition("::")[0])
        return provider if isinstance(provider, Provider) else None

    def configure(self, state: ResourceState, inputs: Properties) -> None:
        """Configures an explicit provider from its resource."""
        self._explicit[state.urn] = self._configured(package_of(state.type), inputs)

    def explicit(self, urn: str) -> Provider | UnknownProvider:
        """The explicit provider of that URN, from this run or as the last one recorded it."""
        if urn not in self._explicit:
            old = self._olds.get(urn)
            if old is None:
                raise UnsupportedFeature(f"provider {urn}, which neither the program nor the state knows")
            self.configure(old, old.inputs)
        return self._explicit[urn]

    def diff_config(self, state: ResourceState, olds: Properties, news: Properties) -> Diff:
        """What a change of an explicit provider's configuration means."""
        provider = self._configured(package_of(state.type), olds)
        return provider.diff_config(state.urn, olds, news)

    def change_forces_replacement(self, old: ResourceState, new: ResourceState) -> bool:
        """Whether a resource cannot move from the provider it had to the one it has now."""
        before, after = self._find(package_of(old.type), old.provider_urn), self.for_checks(new)
        if isinstance(before, UnknownProvider) or isinstance(after, UnknownProvider):
            return False
        return after.diff_config(new.provider_urn or new.urn, before.inputs, after.inputs).replace

    def _configured(self, package: str, inputs: Properties) -> Provider | UnknownProvider:
        if holds_unknown(inputs):
            return _UNKNOWN_PROVIDER
        return self.plugins.provider(package, inputs, self._program.project)

    def _find(self, package: str, provider_urn: str) -> Provider | UnknownProvider:
        if provider_urn:
            return self.explicit(provider_urn)
        return self._configured(package, _package_config(package, self._program))

    def _ready(self, package: str, provider_urn: str) -> Provider:
        provider = self._find(package, provider_urn)
        if isinstance(provider, UnknownProvider):
            raise UnsupportedFeature(f"provider {package} with a configuration that is not known yet")
        return provider


def with_defaults(resources: Iterable[ResourceState], program: Program) -> list[ResourceState]:
    """The resources as the real state holds them: with their packages' default providers and all of their config."""
    defaults: dict[str, ResourceState] = {}
    served: list[ResourceState] = []
    for resource in resources:
        if not resource.managed or resource.provider:
            served.append(resource)
            continue
        package = package_of(resource.type)
        default = defaults.setdefault(package, _default(package, program))
        served.append(dataclasses.replace(resource, provider=f"{default.urn}::{default.id}"))
    return [*defaults.values(), *served]


def without_defaults(resources: Iterable[ResourceState]) -> list[ResourceState]:
    """The other way round: default providers go, for each run makes its own."""
    return [
        dataclasses.replace(resource, provider="" if _is_default(resource.provider_urn) else resource.provider)
        for resource in resources
        if not (is_provider_type(resource.type) and _is_default(resource.urn))
    ]


def _is_default(urn: str) -> bool:
    # The real engine adds the version of the package's SDK.
    return bool(urn) and re.fullmatch(r"default(_[0-9]+)*", name_of(urn)) is not None


def _default(package: str, program: Program) -> ResourceState:
    type_ = PROVIDER_PREFIX + package
    urn = make_urn(program.stack, program.project, "", type_, "default")
    config = _package_config(package, program)
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, urn))  # the same in every export
    return ResourceState(urn=urn, type=type_, custom=True, id=identity, inputs=config, outputs=config)


def _package_config(package: str, program: Program) -> Properties:
    """A package gets its own part of the stack's config; dynamic providers get all of it, as keys in full."""
    inputs: Properties = {}
    for key, value in program.config.items():
        namespace, _, name = key.partition(":")
        if package in {DYNAMIC, namespace}:
            secret = key in program.secret_keys
            inputs[key if package == DYNAMIC else name] = Secret(value) if secret else value
    return inputs


def refuse_unservable(type_: str) -> None:
    """Refuses provider resources and built-in types that this engine does not have.

    Raises:
        UnsupportedFeature: It does not.
    """
    if is_provider_type(type_) and package_of(type_) == DYNAMIC:
        raise UnsupportedFeature("explicit providers for dynamic resources")
    if type_.startswith("pulumi:pulumi:"):
        stack_reference = type_ == "pulumi:pulumi:StackReference"
        raise UnsupportedFeature("stack references" if stack_reference else f"resources of type {type_}")

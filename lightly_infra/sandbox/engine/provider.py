"""One configured provider, spoken to in the messages of Pulumi's provider protocol.

The engine's values go in, the engine's values come out: secrets are sent in plain, since our providers take none
(`acceptSecrets=False`), and marked again on what comes back under the same keys.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pulumi.runtime.proto import provider_pb2 as messages

from lightly_infra.sandbox.engine.assets import elided, restored
from lightly_infra.sandbox.engine.interface import Secret, UnsupportedFeature
from lightly_infra.sandbox.engine.paths import parse_path
from lightly_infra.sandbox.engine.urns import name_of, type_of
from lightly_infra.sandbox.engine.values import (
    annotate_secrets,
    copy,
    from_struct,
    holds_secret,
    reveal,
    to_struct,
)

if TYPE_CHECKING:
    from google.protobuf import struct_pb2

    from lightly_infra.sandbox.engine.values import Path, Properties

Call = Callable[[str, Any], Any]
"""Calls a method of the protocol by name with its request message; raises `ProviderError`."""

_SEED_BYTES: Final = 32  # what the real engine sends to Check


class ProviderError(Exception):
    """A provider answered with an error; the message is the provider's own."""


class NotImplementedByProvider(ProviderError):
    """The provider does not have this method."""


@dataclass(frozen=True)
class Diff:
    """What a provider says about a change.

    Attributes:
        changes: None: the provider leaves it to the engine to compare the inputs.
        replaces: The properties that force a replacement.
        changed: The properties that changed, as far as the provider told.
        detailed: Paths that changed, each with whether it forces a replacement.
    """

    changes: bool | None
    replaces: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    detailed: dict[Path, bool] = field(default_factory=dict)
    delete_before_replace: bool = False

    @property
    def replace(self) -> bool:
        """Whether the resource must be replaced."""
        return bool(self.replaces) or any(self.detailed.values())


class Provider:
    """A provider that has been configured. Safe to use from several threads."""

    def __init__(self, package: str, call: Call, inputs: Properties) -> None:
        """Checks and configures; `inputs` is the provider's configuration.

        Raises:
            ProviderError: The provider does not like its configuration.
            UnsupportedFeature: The provider wants what this engine does not do.
        """
        self.package = package
        self._call = call
        self.inputs = inputs
        known = {key: value for key, value in inputs.items() if key != "version"}
        answer = call(
            "Configure",
            messages.ConfigureRequest(
                variables={f"{package}:config:{key}": _variable(value) for key, value in known.items()},
                args=to_struct(inputs, secrets=True),
                acceptSecrets=True,
                acceptResources=False,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
            ),
        )
        if answer.acceptSecrets or answer.acceptOutputs:
            raise UnsupportedFeature(f"provider {package}: it accepts secrets or output values")
        self.previews = answer.supportsPreview

    def check(self, urn: str, olds: Properties, news: Properties) -> tuple[Properties, list[str]]:
        """The inputs with defaults filled in, and what is wrong with them ("property: reason")."""
        request = messages.CheckRequest(
            **_named(urn),
            olds=to_struct(olds, unknowns=True),
            news=to_struct(news, unknowns=True),
            randomSeed=os.urandom(_SEED_BYTES),
        )
        return _checked(self._call("Check", request), news)

    def diff(
        self,
        urn: str,
        resource_id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: tuple[str, ...],
    ) -> Diff:
        """What the change from old to new means."""
        request = messages.DiffRequest(
            **_named(urn),
            id=resource_id,
            old_inputs=to_struct(elided(old_inputs), unknowns=True),
            olds=to_struct(elided(old_outputs), unknowns=True),
            news=to_struct(elided(news), unknowns=True),
            ignoreChanges=ignore_changes,
        )
        return _diff(self._call("Diff", request))

    def create(self, urn: str, inputs: Properties) -> tuple[str, Properties]:
        """Creates the resource: its id and outputs."""
        request = messages.CreateRequest(**_named(urn), properties=to_struct(inputs))
        answer = self._call("Create", request)
        if not answer.id:
            raise ProviderError(f"the provider of {type_of(urn)} returned no id for what it created")
        return answer.id, _marked(answer.properties, inputs)

    def read(
        self, urn: str, resource_id: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties | None, Properties | None]:
        """The resource as it is: its id (empty when gone), its inputs if the provider tells, its outputs if it is."""
        request = messages.ReadRequest(
            **_named(urn),
            id=resource_id,
            inputs=to_struct(elided(inputs)),
            properties=to_struct(elided(outputs)),
        )
        answer = self._call("Read", request)
        new_inputs = _marked(answer.inputs, inputs) if answer.HasField("inputs") else None
        new_outputs = _marked(answer.properties, outputs) if answer.HasField("properties") else None
        return answer.id, restored(new_inputs, inputs), restored(new_outputs, inputs)

    def update(
        self,
        urn: str,
        resource_id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: tuple[str, ...],
        *,
        preview: bool = False,
    ) -> Properties:
        """Changes the resource: its new outputs; in a preview, as far as they are known."""
        if preview and not self.previews:
            known: Properties = copy(news)
            return known
        request = messages.UpdateRequest(
            **_named(urn),
            id=resource_id,
            old_inputs=to_struct(elided(old_inputs)),
            olds=to_struct(elided(old_outputs)),
            news=to_struct(news, unknowns=preview),
            ignoreChanges=ignore_changes,
            preview=preview,
        )
        return _marked(self._call("Update", request).properties, news)

    def delete(self, urn: str, resource_id: str, inputs: Properties, outputs: Properties) -> None:
        """Deletes the resource."""
        request = messages.DeleteRequest(
            **_named(urn),
            id=resource_id,
            old_inputs=to_struct(elided(inputs)),
            properties=to_struct(elided(outputs)),
        )
        self._call("Delete", request)

    def invoke(self, token: str, arguments: Properties, *, preview: bool) -> tuple[Properties, list[Any]]:
        """Calls a function: what it returns, secret when an argument was, and what is wrong with the arguments."""
        request = messages.InvokeRequest(tok=token, args=to_struct(arguments), preview=preview)
        answer = self._call("Invoke", request)
        result = from_struct(getattr(answer, "return"))
        if holds_secret(arguments):
            result = {k: v if isinstance(v, Secret) else Secret(v) for k, v in result.items()}
        return result, list(answer.failures)

    def check_config(self, urn: str, olds: Properties, news: Properties) -> tuple[Properties, list[str]]:
        """As `check`, for the inputs of an explicit provider."""
        return check_config(self._call, urn, olds, news)

    def diff_config(self, urn: str, old_inputs: Properties, news: Properties) -> Diff:
        """As `diff`, for the inputs of an explicit provider."""
        request = messages.DiffRequest(
            **_named(urn),
            old_inputs=to_struct(old_inputs, secrets=True, unknowns=True),
            olds=to_struct(old_inputs, secrets=True, unknowns=True),
            news=to_struct(news, secrets=True, unknowns=True),
        )
        try:
            return _diff(self._call("DiffConfig", request))
        except NotImplementedByProvider:
            return Diff(changes=None)


class UnknownProvider:
    """Stands in, during a preview, for a provider whose configuration is not known yet."""

    def check(self, urn: str, olds: Properties, news: Properties) -> tuple[Properties, list[str]]:  # noqa: ARG002
        """Everything passes."""
        return copy(news), []

    def update(self, *given: Any, preview: bool) -> Properties:  # noqa: ARG002
        """Nothing but the new inputs is known."""
        news: Properties = given[4]
        return news

    def diff(self, *_: object) -> Diff:
        """An update, as far as one can tell."""
        return Diff(changes=True)

    def diff_config(self, *_: object) -> Diff:
        """Left to the engine."""
        return Diff(changes=None)


def check_config(call: Call, urn: str, olds: Properties, news: Properties) -> tuple[Properties, list[str]]:
    """Has a provider, configured or not, check its configuration."""
    request = messages.CheckRequest(
        **_named(urn),
        olds=to_struct(olds, secrets=True, unknowns=True),
        news=to_struct(news, secrets=True, unknowns=True),
    )
    try:
        answer = call("CheckConfig", request)
    except NotImplementedByProvider:
        return copy(news), []
    return _checked(answer, news)


def _named(urn: str) -> dict[str, Any]:
    """How every request about a resource names it."""
    return {"urn": urn, "name": name_of(urn), "type": type_of(urn)}


def _checked(answer: messages.CheckResponse, news: Properties) -> tuple[Properties, list[str]]:
    failures = [f"{f.property}: {f.reason}" if f.property else f.reason for f in answer.failures]
    return _marked(answer.inputs, news), failures


def _marked(answer: struct_pb2.Struct, inputs: Properties) -> Properties:
    outputs = from_struct(answer)
    annotate_secrets(outputs, inputs)
    return outputs


def _variable(value: Any) -> str:
    text = reveal(value)
    return text if isinstance(text, str) else json.dumps(text)


def _diff(answer: messages.DiffResponse) -> Diff:
    replacing = {
        messages.PropertyDiff.ADD_REPLACE,
        messages.PropertyDiff.DELETE_REPLACE,
        messages.PropertyDiff.UPDATE_REPLACE,
    }
    changes = {messages.DiffResponse.DIFF_SOME: True, messages.DiffResponse.DIFF_NONE: False}
    return Diff(
        changes=changes.get(answer.changes),
        replaces=tuple(answer.replaces),
        changed=tuple(answer.diffs),
        detailed={parse_path(path): d.kind in replacing for path, d in answer.detailedDiff.items()},
        delete_before_replace=answer.deleteBeforeReplace,
    )

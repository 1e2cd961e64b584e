"""Drives a provider as an engine does: through the protocol's messages, keeping the state in between."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pulumi.runtime.proto import provider_pb2 as messages

from lightly_infra.sandbox.engine.values import from_struct, plain, to_struct

if TYPE_CHECKING:
    from lightly_infra.sandbox.resource_provider import ResourceProvider


@dataclass
class Made:
    """A resource in the state. Secret outputs are `Secret`s."""

    urn: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def unique(name: str = "thing") -> str:
    return f"{name}-{secrets.token_hex(4)}"


class Refused(Exception):
    """The failures of a check, as the engine would print them."""


class Driver:
    def __init__(self, provider: ResourceProvider) -> None:
        self.provider = provider

    def configure(self, config: dict[str, Any]) -> None:
        self.provider.Configure(messages.ConfigureRequest(args=to_struct(config)), None)

    def urn(self, type_name: str, name: str) -> str:
        return f"urn:pulumi:dev::tests::acme:Parent${type_name}::{name}"

    def check(
        self, type_name: str, inputs: dict[str, Any], *, name: str = "", olds: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The checked inputs; raises `Refused` with all failures."""
        answer = self.provider.Check(
            messages.CheckRequest(
                urn=self.urn(type_name, name or "resource"),
                news=to_struct(inputs, unknowns=True),
                olds=to_struct(olds or {}),
            ),
            None,
        )
        if answer.failures:
            raise Refused("; ".join(f"{one.property}: {one.reason}" for one in answer.failures))
        return _plain(answer.inputs)

    def create(self, type_name: str, inputs: dict[str, Any], *, name: str = "") -> Made:
        checked = self.check(type_name, inputs, name=name)
        urn = self.urn(type_name, name or "resource")
        answer = self.provider.Create(messages.CreateRequest(urn=urn, properties=to_struct(checked)), None)
        return Made(urn, answer.id, checked, _plain(answer.properties))

    def diff(self, made: Made, inputs: dict[str, Any]) -> messages.DiffResponse:
        """What a program with these inputs would change now."""
        type_name, name = made.urn.split("::")[2].rpartition("$")[2], made.urn.split("::")[3]
        checked = self.check(type_name, inputs, name=name, olds=made.inputs)
        return self.provider.Diff(
            messages.DiffRequest(
                id=made.id,
                urn=made.urn,
                olds=to_struct(made.outputs),
                old_inputs=to_struct(made.inputs),
                news=to_struct(checked, unknowns=True),
            ),
            None,
        )

    def update(self, made: Made, inputs: dict[str, Any]) -> Made:
        type_name, name = made.urn.split("::")[2].rpartition("$")[2], made.urn.split("::")[3]
        checked = self.check(type_name, inputs, name=name, olds=made.inputs)
        answer = self.provider.Update(
            messages.UpdateRequest(
                id=made.id,
                urn=made.urn,
                olds=to_struct(made.outputs),
                old_inputs=to_struct(made.inputs),
                news=to_struct(checked),
            ),
            None,
        )
        return Made(made.urn, made.id, checked, _plain(answer.properties))

    def refresh(self, made: Made) -> Made | None:
        """The resource as the cloud has it; None when it is gone."""
        answer = self.provider.Read(
            messages.ReadRequest(
                id=made.id, urn=made.urn, properties=to_struct(made.outputs), inputs=to_struct(made.inputs)
            ),
            None,
        )
        if not answer.id:
            return None
        return Made(made.urn, answer.id, _plain(answer.inputs), _plain(answer.properties))

    def delete(self, made: Made) -> None:
        self.provider.Delete(messages.DeleteRequest(id=made.id, urn=made.urn, properties=to_struct(made.outputs)), None)

    def invoke(self, token: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.provider.Invoke(messages.InvokeRequest(tok=token, args=to_struct(args or {})), None)
        return _plain(getattr(answer, "return"))

    def drifted(self, made: Made, inputs: dict[str, Any]) -> list[str]:
        """What the next `up` after a refresh would change; the outputs must be those of a fresh read."""
        refreshed = self.refresh(made)
        assert refreshed is not None, "gone"
        return list(self.diff(refreshed, inputs).diffs)


def _plain(struct: Any) -> dict[str, Any]:
    values: dict[str, Any] = plain(from_struct(struct))
    return values

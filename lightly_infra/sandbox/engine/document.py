"""The deployment document that the Pulumi CLI exports, with its secrets in plain: what is taken out of it."""

from __future__ import annotations

import json
from typing import Any

from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.engine.urns import STACK_TYPE
from lightly_infra.sandbox.engine.values import SECRET_SIGNATURE, SIGNATURE, plain, sealed


def marked(value: Any) -> Any:
    """A part of the document with its secret objects turned into `Secret`."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return Secret(marked(json.loads(value["plaintext"])))
        return {key: marked(item) for key, item in value.items()}
    return [marked(item) for item in value] if isinstance(value, list) else value


def resources_of(document: dict[str, Any]) -> list[Any]:
    """The resources, their secrets marked."""
    return [marked(resource) for resource in document["deployment"].get("resources") or ()]


def outputs_of(document: dict[str, Any]) -> dict[str, Any]:
    """The stack's outputs."""
    for resource in document["deployment"].get("resources") or ():
        if resource["type"] == STACK_TYPE:
            outputs: dict[str, Any] = plain(marked(resource.get("outputs", {})))
            return outputs
    return {}


def secrets_of(document: dict[str, Any]) -> list[Any]:
    """Inputs and outputs of every resource, secrets marked."""
    resources = document["deployment"].get("resources") or ()
    return [marked(resource.get(part, {})) for resource in resources for part in ("inputs", "outputs")]


def sealed_document(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its secrets hidden."""
    result: dict[str, Any] = sealed(marked(document))
    return result

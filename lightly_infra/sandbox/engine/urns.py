"""URNs: composing them, taking them apart, and the aliases by which renamed resources are found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pulumi.runtime.proto import alias_pb2

STACK_TYPE: Final = "pulumi:pulumi:Stack"
PROVIDER_PREFIX: Final = "pulumi:providers:"


def make_urn(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN of a resource. The parent's types are part of it, but the stack, everyone's parent, is not."""
    chain = qualified_type(parent) if parent else ""
    qualified = f"{chain}${type_}" if chain and chain != STACK_TYPE else type_
    return f"urn:pulumi:{stack}::{project}::{qualified}::{name}"


def qualified_type(urn: str) -> str:
    """The types of the resource and its parents, joined by `$`."""
    return urn.split("::", 3)[2]


def type_of(urn: str) -> str:
    """The resource's own type."""
    return qualified_type(urn).rpartition("$")[2]


def name_of(urn: str) -> str:
    """The resource's name."""
    return urn.split("::", 3)[3]


def is_provider_type(type_: str) -> bool:
    """Whether the type is that of an explicit provider."""
    return type_.startswith(PROVIDER_PREFIX)


def package_of(token: str) -> str:
    """The package that serves a type or function token; for a provider's type the package it provides."""
    return token.removeprefix(PROVIDER_PREFIX).partition(":")[0]


def alias_urns(
    aliases: Iterable[alias_pb2.Alias],
    *,
    stack: str,
    project: str,
    parent: str,
    type_: str,
    name: str,
    used: Mapping[str, str],
) -> list[str]:
    """The URNs under which the resource may stand in the state, in the order they are tried.

    `used` tells, by its URN of today, under which alias each resource of this run was found: children of a renamed
    parent inherit its alias, and its name where theirs begins with it.
    """
    own: list[str] = []
    for alias in aliases:
        if alias.WhichOneof("alias") == "urn":
            own.append(alias.urn)
            continue
        spec = alias.spec
        alias_parent = used.get(spec.parentUrn, spec.parentUrn) if spec.parentUrn else parent
        own.append(
            make_urn(
                spec.stack or stack,
                spec.project or project,
                "" if spec.noParent else alias_parent,
                spec.type or type_,
                spec.name or name,
            )
        )
    inherited: list[str] = []
    if parent in used:
        own_urn = make_urn(stack, project, parent, type_, name)
        for urn in (own_urn, *own):
            child = name_of(urn)
            if child.startswith(name_of(parent)):
                child = name_of(used[parent]) + child.removeprefix(name_of(parent))
            inherited.append(make_urn(stack, project, used[parent], type_of(urn), child))
    return list(dict.fromkeys([*own, *inherited]))

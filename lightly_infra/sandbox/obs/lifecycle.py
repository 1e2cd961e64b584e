"""Lifecycles as OBS takes them: what it refuses and ministack does not, and the form that both understand."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 20 * 1024
"""Of all rules of a bucket together (Huawei's user guide, "Configuring a Lifecycle Rule")."""

_ID: Final = re.compile(r"[0-9A-Za-z._-]{0,255}")
_NOT_IN_A_PREFIX: Final = re.compile(r'[\\:*?"<>|]|//|^/')


def refusal(document: bytes) -> str | None:
    """Why OBS does not take the document, or None.

    As strict as the strictest vendor: OTC takes no two rules about the same object, Huawei does if they do not
    contradict each other. What OBS answers is nowhere documented; the emulator answers InvalidRequest.
    """
    if len(document) > MAX_BYTES:
        return f"the rules have {len(document)} bytes; {MAX_BYTES} are the most"
    try:
        root = ET.fromstring(document)  # noqa: S314 - from a program on this machine; expat has limits of its own
    except ET.ParseError as error:
        return f"the document is no XML: {error}"
    return next(_refusals([_parts(it) for it in root]), None)


def as_filters(document: bytes) -> bytes:
    """The document with the rules' prefixes in filters: ministack overlooks those in the rules themselves."""
    root = ET.fromstring(document)  # noqa: S314 - as above
    for rule in root:
        space = rule.tag.removesuffix("Rule")
        if (prefix := rule.find(f"{space}Prefix")) is not None:
            rule.remove(prefix)
            ET.SubElement(rule, f"{space}Filter").append(prefix)
    return ET.tostring(root)


def _refusals(rules: list[dict[str, str]]) -> Iterator[str]:
    for rule in rules:
        if not _ID.fullmatch(name := rule.get("ID", "")):
            yield f"the name {name!r} has more than 255 characters, or others than letters, digits, '.', '_' and '-'"
        if _NOT_IN_A_PREFIX.search(prefix := rule.get("Prefix", "")):
            yield f"the prefix {prefix!r} holds what no rule's prefix may hold"
        if "ExpiredObjectDeleteMarker" in rule:
            yield "ExpiredObjectDeleteMarker is not known"
    for one, other in itertools.combinations([it.get("Prefix", "") for it in rules], 2):
        if one.startswith(other) or other.startswith(one):
            yield f"the prefixes {one!r} and {other!r} overlap"


def _parts(rule: ET.Element) -> dict[str, str]:
    """All that stands in a rule, however deep, by name."""
    return {it.tag.rpartition("}")[2]: it.text or "" for it in rule.iter()}

"""Management policies of emulated storage accounts: what Azure refuses of their rules.

They are kept and told again; nothing is ever deleted by one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox.azure.arm_values import ArmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.azure.arm_values import Body

MAX_RULES: Final = 100

_MAX_PREFIXES: Final = 10  # of a rule, and as many tags
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,256}")
_CONTAINER: Final = re.compile(r"[$a-z0-9][a-z0-9-]{0,62}")  # or the beginning of one's name
_BLOB_TYPES: Final = {"blockblob", "appendblob"}
_KINDS: Final = {"baseBlob", "snapshot", "version"}
_SINCE: Final = {
    "daysAfterModificationGreaterThan",
    "daysAfterCreationGreaterThan",
    "daysAfterLastAccessTimeGreaterThan",
}
_SINCE_FORMER: Final = {"daysAfterCreationGreaterThan"}


def check(policy: Any) -> None:
    """Refuses a document that Azure refuses ("Lifecycle management policies"); only the code is known to be Azure's.

    Raises:
        ArmError: the message says which rule, and why.
    """
    rules = policy.get("rules") if isinstance(policy, dict) else None
    if not isinstance(rules, list) or not rules:
        raise _invalid("policy.rules")
    if len(rules) > MAX_RULES:
        raise _invalid("policy.rules", f"{MAX_RULES} rules are the most.")
    names = [str(it.get("name")) for it in rules]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _invalid("policy.rules", f"Two are called {twice!r}.")
    for name, rule in zip(names, rules, strict=True):
        if reason := next(_refusals(name, rule), None):
            raise _invalid(f"policy.rules[{name}]", reason)


def _refusals(name: str, rule: Body) -> Iterator[str]:
    definition = rule.get("definition") or {}
    filters, actions = definition.get("filters") or {}, definition.get("actions") or {}
    if not _NAME.fullmatch(name):
        yield "A name has 1 to 256 letters, digits and hyphens."
    if rule.get("type") != "Lifecycle":
        yield "The type must be 'Lifecycle'."
    types = {str(it).lower() for it in filters.get("blobTypes") or ()}
    if not types or not types <= _BLOB_TYPES:
        yield "The blobTypes must be 'blockBlob', 'appendBlob' or both."
    prefixes = filters.get("prefixMatch") or []
    if len(prefixes) > _MAX_PREFIXES or len(filters.get("blobIndexMatch") or ()) > _MAX_PREFIXES:
        yield f"{_MAX_PREFIXES} prefixes are the most, and {_MAX_PREFIXES} tags."
    if odd := next((it for it in prefixes if not _CONTAINER.fullmatch(it.partition("/")[0])), None):
        yield f"The prefix {odd!r} does not begin with a container's name."
    if not any(actions.values()) or not actions.keys() <= _KINDS:
        yield "There must be an action for baseBlob, snapshot or version."
    for kind, action in actions.items():
        delete = (action or {}).get("delete")
        if delete is not None:
            yield from _of_delete(kind, delete)


def _of_delete(kind: str, delete: Body) -> Iterator[str]:
    known = _SINCE if kind == "baseBlob" else _SINCE_FORMER
    given = {key: value for key, value in delete.items() if value is not None}
    if len(given) != 1 or not given.keys() <= known:
        yield f"{kind} is deleted by one of {', '.join(sorted(known))}."
    for key, days in given.items():
        # Azure takes JSON's 30.0 for 30.
        if isinstance(days, bool) or not isinstance(days, int | float) or days < 0 or days != int(days):
            yield f"{key} must be a whole number, 0 or more, and is {days!r}."


def _invalid(where: str, reason: str = "") -> ArmError:
    said = f"The value for property '{where}' is invalid."
    return ArmError(400, "InvalidRequestPropertyValue", f"{said} {reason}".rstrip())

"""Lifecycle rules of emulated buckets: what Cloud Storage refuses of them, and what its provider calls them.

They are kept and told again; nothing is ever deleted by one.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox.gcp.errors import invalid
from lightly_infra.sandbox.resource_type import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Value

MAX_RULES: Final = 100

_ABORT: Final = "AbortIncompleteMultipartUpload"
_ACTIONS: Final = ("Delete", "SetStorageClass", _ABORT)
_DAYS: Final = ("age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions")
_DATES: Final = ("createdBefore", "customTimeBefore", "noncurrentTimeBefore")
_LISTS: Final = ("matchesPrefix", "matchesStorageClass", "matchesSuffix")
_OF_UPLOADS: Final = ("age", "matchesPrefix", "matchesSuffix")

# What the provider calls the API's conditions, and what it tells of one that a rule does not have.
_CONDITIONS: Final[Mapping[str, tuple[str, Value]]] = {
    "age": ("age", 0),
    "createdBefore": ("createdBefore", ""),
    "customTimeBefore": ("customTimeBefore", ""),
    "daysSinceCustomTime": ("daysSinceCustomTime", 0),
    "daysSinceNoncurrentTime": ("daysSinceNoncurrentTime", 0),
    "matchesPrefixes": ("matchesPrefix", []),
    "matchesStorageClasses": ("matchesStorageClass", []),
    "matchesSuffixes": ("matchesSuffix", []),
    "noncurrentTimeBefore": ("noncurrentTimeBefore", ""),
    "numNewerVersions": ("numNewerVersions", 0),
    "withState": ("isLive", "ANY"),
}
_STATES: Final = {"LIVE": True, "ARCHIVED": False}

SHAPE: Final = Shape(
    {"action": "action", "condition": "condition"},
    {
        "action": Shape({"type": "type", "storageClass": "storageClass"}),
        "condition": Shape({name: api for name, (api, _) in _CONDITIONS.items()}),
    },
)
"""The rules that the emulated provider honours."""


def check(rules: Any) -> None:
    """Refuses rules that Cloud Storage refuses ("Object Lifecycle Management"); its words are not known.

    Raises:
        Refusal: the message says which rule, and why.
    """
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise invalid(f"A bucket has a list of at most {MAX_RULES} lifecycle rules.")
    for number, rule in enumerate(rules, start=1):
        if reason := _refusal(rule):
            raise invalid(f"Lifecycle rule {number}: {reason}")


def to_api(rules: Iterable[Properties]) -> list[dict[str, Any]]:
    """Rules of a program as the API has them."""
    found: list[dict[str, Any]] = SHAPE.to_api(list(rules))
    for rule in found:
        state = rule.get("condition", {}).pop("isLive", None)
        if state in _STATES:  # "ANY" is what is not said
            rule["condition"]["isLive"] = _STATES[state]
    return found


def from_api(rules: Iterable[Mapping[str, Any]]) -> list[Properties]:
    """The inverse of `to_api`."""
    found: list[Properties] = SHAPE.from_api(list(rules))
    for rule in found:
        if "withState" in rule["condition"]:
            rule["condition"]["withState"] = "LIVE" if rule["condition"]["withState"] else "ARCHIVED"
    return found


def looked_up(rules: Iterable[Mapping[str, Any]]) -> list[Properties]:
    """Rules as the provider's `getBucket` tells them: lists of one action and one condition, with nothing left out.

    Whether a rule has an age of 0 or none is told by `sendAgeIfZero` alone; of other numbers it is not told.
    """
    nothing = {name: default for name, (_, default) in _CONDITIONS.items()}
    return [
        {
            "actions": [{"storageClass": ""} | rule["action"]],
            "conditions": [nothing | rule["condition"] | {"sendAgeIfZero": "age" in rule["condition"]}],
        }
        for rule in from_api(rules)
    ]


def refuse(rules: Value) -> str | None:
    """What the real provider refuses of a program's rules before it asks Cloud Storage."""
    if not isinstance(rules, list):
        return None
    if len(rules) > MAX_RULES:
        return f"Too many list items: has {len(rules)}, and {MAX_RULES} are the most"
    for rule in rules:
        state = rule.get("condition", {}).get("withState") if isinstance(rule, dict) else None
        if isinstance(state, str) and state not in {*_STATES, "ANY", ""}:
            return f"expected with_state to be one of LIVE, ARCHIVED, ANY, got {state}"
    return None


def _refusal(rule: Any) -> str | None:
    action, condition = (rule.get("action"), rule.get("condition")) if isinstance(rule, dict) else (None, None)
    if not (isinstance(action, dict) and isinstance(condition, dict) and condition):
        return "it must have an action and at least one condition."
    if (kind := action.get("type")) not in _ACTIONS:
        return f"there is no action {kind!r}."
    if (kind == "SetStorageClass") != bool(action.get("storageClass")):
        return f"a storageClass goes with SetStorageClass only, and always; the action is {kind}."
    if kind == _ABORT and (other := sorted(set(condition) - set(_OF_UPLOADS))):
        return f"{_ABORT} knows no {other[0]}."
    return next((why for name, value in condition.items() if (why := _wrong(name, value))), None)


def _wrong(name: str, value: Any) -> str | None:
    if name in _DAYS:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if good else f"{name} must be a whole number, 0 or more, and is {value!r}."
    if name in _DATES:
        return None if _is_date(value) else f"{name} must be a date such as 2026-12-31, and is {value!r}."
    if name in _LISTS:
        good = isinstance(value, list) and all(isinstance(it, str) and it for it in value)
        return None if good else f"{name} must be a list of texts that are not empty."
    if name == "isLive":
        return None if isinstance(value, bool) else "isLive must be true or false."
    return f"there is no condition {name!r}."


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False

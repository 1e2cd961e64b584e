"""IAM conditions: CEL expressions, checked when a policy is set and evaluated at every request.

What Cloud Storage lets a condition use ("Attribute reference for IAM Conditions", IAM documentation): `resource.name`,
`resource.type`, `resource.service`, `request.time`, `api.getAttribute()`, `startsWith`, `endsWith` and the functions of
times. Refused here, though the real one takes them: `extract()`, `hasOnly()` and tags.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox import missing_extra

try:
    import celpy
    from celpy import celtypes
    from celpy.celparser import CELParseError
    from celpy.evaluation import CELEvalError
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: Final = {"resource": {"name", "type", "service"}, "request": {"time"}, "api": set[str]()}
_FUNCTIONS: Final = frozenset({"timestamp", "duration", "date"})
_METHODS: Final = frozenset(
    {
        *("startsWith", "endsWith", "getAttribute"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)
# By the grammar's name for a use of a name: the names.
_KNOWN: Final = {"ident": _FIELDS.keys(), "ident_arg": _FUNCTIONS, "member_dot_arg": _METHODS}
_NOT_OFFERED: Final = ("dot_ident", "dot_ident_arg", "member_object", "map_lit")
_OPERATORS: Final = 12  # logical ones in an expression ("Overview of IAM Conditions", IAM documentation)
_ESCAPE: Final = re.compile(
    r"""\\(?:[abfnrtv"'`?\\]|[0-3][0-7]{2}|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"""
)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class ConditionRefused(ValueError):
    """The expression is no condition; the message is as Google's where we know it."""


class Condition:
    """A compiled expression. Build it with `compile_condition`."""

    def __init__(self, program: celpy.Runner) -> None:
        self._program = program

    def holds(self, *, name: str, kind: str, attributes: Mapping[str, str]) -> bool:
        """Whether it is true of a request made now; an expression that fails is not.

        Args:
            name: Of the resource, such as `projects/_/buckets/acme`.
            kind: Of the resource, such as `storage.googleapis.com/Bucket`.
            attributes: What `api.getAttribute` finds; for anything else it gives its default.
        """
        try:
            return self.evaluate(name, kind, attributes) is True
        except CELEvalError:
            return False

    def evaluate(self, name: str, kind: str, attributes: Mapping[str, str]) -> object:
        """What it evaluates to: True or False, or another thing when it is no condition."""
        time = celtypes.TimestampType(dt.datetime.now(dt.UTC))
        context: Any = {
            "resource": _record({"name": name, "type": kind, "service": "storage.googleapis.com"}),
            "request": celtypes.MapType({celtypes.StringType("time"): time}),
            "api": _record(attributes),
        }
        found = self._program.evaluate(context)
        return bool(found) if isinstance(found, celtypes.BoolType) else found


@lru_cache(maxsize=1024)
def compile_condition(expression: str) -> Condition:
    """The expression, checked; each is compiled once.

    Raises:
        ConditionRefused: it does not parse, uses what Cloud Storage does not offer, or is not true or false.
    """
    environment = celpy.Environment()
    try:
        tree = environment.compile(expression)
    except CELParseError as error:
        where = f"{error.line}:{error.column}" if error.line and error.column else "<input>"
        raise ConditionRefused(f"{where}: Syntax error: the expression {expression!r} is no CEL") from error
    _check(tree)
    condition = Condition(environment.program(tree, functions={"getAttribute": _get_attribute, "date": _date}))
    try:
        # CEL proper checks types when it compiles; this library shows them when it evaluates only.
        result = condition.evaluate("projects/_/buckets/b", "storage.googleapis.com/Bucket", {})
    except CELEvalError as error:
        why = str(error.args[0]).partition(" for Token")[0]
        raise ConditionRefused(f"the expression {expression!r} has an error: {why}") from error
    if not isinstance(result, bool):
        raise ConditionRefused(f"the expression {expression!r} is not true or false")
    return condition


def _check(tree: Any) -> None:
    """Refuses what no condition of Cloud Storage may use."""
    operators = 0
    for node in tree.iter_subtrees():
        if node.data in ("conditionalor", "conditionaland", "unary_not"):
            operators += node.data == "unary_not" or len(node.children) > 1
        else:
            _check_node(node)
    if operators > _OPERATORS:
        raise ConditionRefused(f"the expression has {operators} logical operators; {_OPERATORS} is the most")


def _check_node(node: Any) -> None:
    name = next((str(child) for child in node.children if getattr(child, "type", "") == "IDENT"), "")
    known = _KNOWN.get(node.data)
    if known is not None and name not in known:
        raise ConditionRefused(f"undeclared reference to '{name}' (in container '')")
    if node.data == "member_dot" and (owner := _owner(node)) in _FIELDS and name not in _FIELDS[owner]:
        raise ConditionRefused(f"undefined field '{name}'")
    if node.data == "literal":
        _check_escapes(str(node.children[0]))
    if node.data in _NOT_OFFERED:
        raise ConditionRefused("the expression uses what conditions of Cloud Storage do not have")


def _owner(node: Any) -> str:
    """The name before the dot; empty where it is more than a name."""
    member = node.children[0]
    while getattr(member, "children", None) and len(member.children) == 1:
        member = member.children[0]
    return str(member)


def _check_escapes(literal: str) -> None:
    if literal[0] in "\"'" and "\\" in _ESCAPE.sub("", literal):
        raise ConditionRefused(f"token recognition error at: '{literal}'")


def _record(values: Mapping[str, str]) -> celtypes.MapType:
    return celtypes.MapType({celtypes.StringType(key): celtypes.StringType(value) for key, value in values.items()})


def _get_attribute(api: celtypes.MapType, name: celtypes.StringType, default: celtypes.Value) -> celtypes.Value:
    return api.get(name, default)


def _date(text: celtypes.StringType) -> celtypes.TimestampType:
    if not _DATE.fullmatch(text):
        raise ValueError(f"{text!r} is no date")
    return celtypes.TimestampType(f"{text}T00:00:00Z")

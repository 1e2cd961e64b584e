"""What is wrong with the YAML, told by field and remedy instead of in pydantic's words."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, get_args

from pydantic import BaseModel, SecretStr

from lightly_infra.spec.fields import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class SpecError(ValueError):
    """The YAML asks for something that cannot be; the message has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


# What to write instead, by the kind of pydantic's error.
_REMEDIES: Final = {
    "bool_type": "write true or false",
    "dict_type": "write a mapping, each key on a line of its own",
    "finite_number": "write a number",
    "float_type": "write a number",
    "greater_than": "write a number greater than {gt:g}",
    "greater_than_equal": "write a number of {ge:g} or more",
    "int_type": "write a whole number",
    "less_than_equal": "write a number of {le:g} or less",
    "list_type": "write a list, such as [one, two]",
    "literal_error": "use {expected}",
    "model_type": "write a mapping, each key on a line of its own",
    "string_type": "write text, in quotes where it looks like something else",
}


def problems(error: ValidationError, root: type[BaseModel]) -> Iterator[str]:
    """A line for each problem of a mapping of names to `root` models, under `datasets`."""
    secrets = secret_fields(root)
    for detail in error.errors(include_url=False, include_context=True, include_input=True):
        path = ".".join(str(part) for part in detail["loc"][1:])
        yield f"{path or 'lightly-infra:datasets'}: {_told(detail, root, secrets)}"


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """The names of the fields that hold secrets, in the model and in all models below it."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        kinds = _kinds(field.annotation)
        names |= {name} if SecretStr in kinds else set()
        names |= {it for kind in kinds if issubclass(kind, BaseModel) for it in secret_fields(kind)}
    return frozenset(names)


def _told(detail: ErrorDetails, root: type[BaseModel], secrets: frozenset[str]) -> str:
    match detail["type"]:
        case "extra_forbidden":  # without the value: a slip in `external_id` makes a secret's key unknown
            key, known = str(detail["loc"][-1]), _known_keys(root, detail["loc"][2:-1])
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            return f"unknown key; {hint}"
        case "missing":
            return "missing; add it"
        case "value_error":  # our own words
            return _careful(str(detail["ctx"]["error"]), detail["input"])
        case kind if secrets & set(detail["loc"]):
            return "write text" if kind == "string_type" else _remedy(detail)
        case _:
            return _careful(f"{shown(detail['input'])}: {_remedy(detail)}", detail["input"])


def _remedy(detail: ErrorDetails) -> str:
    return _REMEDIES.get(detail["type"], "{msg}").format(msg=detail["msg"], **detail.get("ctx", {}))


# What people paste into the wrong field: a SAS or its URL, an account's key, a key file.
_LIKE_A_SECRET: Final = re.compile(r"sig=|PRIVATE KEY|private_key|AccountKey|==\s*$")


def _careful(message: str, value: object) -> str:
    """The message, which may repeat the value, without what looks like a secret and without the end of a long one."""
    if not isinstance(value, str):
        return message
    if _LIKE_A_SECRET.search(value):
        hidden = "what stands there looks like a secret and is not repeated; have it replaced. This field"
        for form in (repr(value), repr(shown(value)), shown(value), value):
            message = message.replace(form, hidden)
        # A part of it may be told as well, such as what follows a '?'.
        return hidden + " takes something else" if _LIKE_A_SECRET.search(message) else message
    return message.replace(repr(value), shown(value))


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at `path` below the model."""
    for step in path:
        fields: Mapping[str, object] = model.model_fields
        if step in fields:
            kinds = _kinds(model.model_fields[str(step)].annotation)
            model = next((kind for kind in kinds if issubclass(kind, BaseModel)), model)
    return list(model.model_fields)


def _kinds(annotation: object) -> set[type]:
    """The classes that a field's annotation names, at any depth."""
    if isinstance(annotation, type) and not get_args(annotation):
        return {annotation}
    return {kind for it in get_args(annotation) for kind in _kinds(it)}

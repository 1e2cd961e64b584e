"""The emulated `random` provider: values drawn once and kept in the state. There is no cloud behind it.

Not emulated: `bcryptHash` of a password (it is absent), and importing.
"""

from __future__ import annotations

import base64
import secrets
import string
from typing import TYPE_CHECKING, ClassVar, Final

from lightly_infra.sandbox.resource_provider import ResourceProvider
from lightly_infra.sandbox.resource_type import Input, ResourceError, ResourceType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Refusal

_SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"  # the real provider's default

# By the input that allows a class of characters: the characters, and the input that demands some of them.
_CLASSES: Final = {
    "lower": (string.ascii_lowercase, "minLower"),
    "upper": (string.ascii_uppercase, "minUpper"),
    "numeric": (string.digits, "minNumeric"),
    "special": (_SPECIAL, "minSpecial"),
}


def _at_least(least: int) -> Input:
    """A number; only a missing one has no default, and it is required then."""
    return Input(
        required=least > 0,
        replaces=True,
        default=None if least else 0,
        refuse=lambda value: None if isinstance(value, int) and value >= least else f"{value} is less than {least}",
    )


class _Drawn(ResourceType):
    """Something that never changes once drawn: any other input replaces it."""

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """What the state says: nothing else knows it."""
        if not olds:
            raise ResourceError(f"{resource_id!r}: importing is not emulated")
        return olds

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Nothing to do."""


class RandomString(_Drawn):
    """A string of characters of the allowed classes."""

    type_name = "random:index/randomString:RandomString"
    inputs: ClassVar[Mapping[str, Input]] = {
        "length": _at_least(1),
        "keepers": Input(replaces=True),
        "overrideSpecial": Input(replaces=True),
        "number": Input(replaces=True),  # the old name of `numeric`
        **{allowed: Input(replaces=True) for allowed in _CLASSES},
        **{least: _at_least(0) for _, least in _CLASSES.values()},
    }

    def complete(self, inputs: Properties) -> Properties:
        """All classes are allowed by default; `number` and `numeric` are the same."""
        digits = inputs.get("numeric", inputs.get("number", True))
        allowed = dict.fromkeys(_CLASSES, True)
        return super().complete(allowed | inputs | {"number": inputs.get("number", digits), "numeric": digits})

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """Nothing to draw from, and more demanded than there is room for."""
        if all(inputs.get(allowed) is False for allowed in _CLASSES):
            yield "length", f"no characters are left to draw from: allow one of {', '.join(_CLASSES)}"
        demanded = [inputs.get(least) for _, least in _CLASSES.values()]
        total = sum(number for number in demanded if isinstance(number, int))
        if isinstance(inputs.get("length"), int) and total > inputs["length"]:
            yield "length", f"{inputs['length']} is less than the {total} characters that the minimums demand"
        for allowed, (_, least) in _CLASSES.items():
            if inputs.get(allowed) is False and inputs.get(least):
                yield least, f"demands characters that {allowed!r} forbids"

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Draw the string."""
        result = _draw(inputs)
        return result, inputs | {"result": result}


class RandomPassword(RandomString):
    """A string that is secret."""

    type_name = "random:index/randomPassword:RandomPassword"
    secret_outputs = frozenset({"result"})

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Draw the password; ids are never secret, so its id says nothing."""
        return "none", inputs | {"result": _draw(inputs)}


class RandomId(_Drawn):
    """Random bytes, in several spellings."""

    type_name = "random:index/randomId:RandomId"
    inputs: ClassVar[Mapping[str, Input]] = {
        "byteLength": _at_least(1),
        "keepers": Input(replaces=True),
        "prefix": Input(replaces=True),
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Draw the bytes."""
        drawn, prefix = secrets.token_bytes(inputs["byteLength"]), inputs.get("prefix", "")
        url = base64.urlsafe_b64encode(drawn).decode().rstrip("=")
        return url, inputs | {
            "b64Std": prefix + base64.b64encode(drawn).decode(),
            "b64Url": prefix + url,
            "dec": f"{prefix}{int.from_bytes(drawn)}",
            "hex": prefix + drawn.hex(),
        }


class RandomProvider(ResourceProvider):
    """Build it with the environment, of which it needs nothing."""

    package = "random"
    sdk = "pulumi-random"

    def __init__(self, env: Mapping[str, str]) -> None:  # noqa: ARG002 - what every provider is built with
        super().__init__()
        self.add_types(RandomString(), RandomPassword(), RandomId())


def _draw(inputs: Properties) -> str:
    special = inputs.get("overrideSpecial") or _SPECIAL
    drawn: list[str] = []
    everything = ""
    for allowed, (characters, least) in _CLASSES.items():
        if inputs[allowed]:
            pool = special if allowed == "special" else characters
            everything += pool
            drawn += (secrets.choice(pool) for _ in range(inputs[least]))
    drawn += (secrets.choice(everything) for _ in range(inputs["length"] - len(drawn)))
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)

"""SAS tokens as text: one for a directory is signed, one of the user's own is read. Pure functions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlencode

from lightly_infra import epochs
from lightly_infra.clouds.azure import policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.permissions import Purpose

# Of the signature, not of the requests made with it. Directories came in 2020-02-10; since this one, what is signed has
# stayed the same ("Create a service SAS", version 2020-12-06 and later).
_VERSION: Final = "2020-12-06"

# In the order in which Azure wants the letters.
_MEANING: Final[Mapping[str, str]] = {
    "r": "read",
    "a": "add",
    "c": "write",
    "w": "overwrite",
    "d": "delete",
    "x": "delete versions",
    "y": "delete for good",
    "l": "list",
    "t": "tags",
    "f": "find by tags",
    "m": "move",
    "e": "execute",
    "o": "change owners",
    "p": "change permissions",
    "i": "immutability",
}


@dataclass(frozen=True)
class Sas:
    """A SAS token. Its text is no part of its `repr`."""

    token: str = field(repr=False)
    """With its leading `?`, as Lightly takes it."""

    expires: datetime


def with_question_mark(token: str) -> str:
    """The token as Lightly takes it; portal and command line show it without the `?`."""
    return f"?{token.strip().removeprefix('?')}"


def for_directory(
    *, account: str, container: str, directory: str, key: str, permissions: str, start: datetime, expires: datetime
) -> str:
    """A SAS of one directory, for https only, with its leading `?`; the same arguments give the same token.

    Args:
        account: the storage account, with hierarchical namespace.
        container: the container.
        directory: the normalised prefix.
        key: the account's key to sign with, base64.
        permissions: letters, in Azure's order.
        start: when it begins to be valid.
        expires: when it ends.
    """
    fields = {
        "st": epochs.text(start),
        "se": epochs.text(expires),
        "sp": permissions,
        "spr": "https",
        "sv": _VERSION,
        "sr": "d",
        "sdd": str(_depth(directory)),
    }
    signed = [
        *(fields[name] for name in ("sp", "st", "se")),
        policy.canonical_resource(account, container, directory),
        *("", ""),  # stored access policy, source addresses
        *(fields[name] for name in ("spr", "sv", "sr")),
        *("", ""),  # snapshot, encryption scope
        *[""] * 5,  # headers of responses
    ]
    signature = hmac.new(base64.b64decode(key), "\n".join(signed).encode(), hashlib.sha256).digest()
    return f"?{urlencode(fields | {'sig': base64.b64encode(signature).decode()}, safe='/', quote_via=quote)}"


def check(token: str, *, purpose: Purpose, now: datetime, directory: str = "") -> Sas:
    """Reads a SAS of the user's own, when it opens just what the purpose needs.

    Args:
        token: the SAS, with or without its leading `?`.
        purpose: decides the permissions it must have, no more and no fewer.
        now: aware of its timezone.
        directory: the normalised prefix that it must be limited to; empty for a container's SAS.

    Raises:
        ValueError: it cannot be used; the message says why and never repeats any of it.
    """
    said = _fields(token)
    if said.keys() & {"ss", "srt"}:
        raise ValueError("this is an account SAS, which opens every container; sign one for the container alone (sr=c)")
    if "si" in said:
        raise ValueError(
            "it takes its permissions or its expiry from a stored access policy (si), which cannot be looked into "
            "here; sign one that says both itself"
        )
    _check_resource(said, directory)
    _check_permissions(said.get("sp", ""), purpose)
    expires = _check_times(said, now)
    if said.get("spr") != "https":
        raise ValueError("it may be used without TLS; sign one for https only (spr=https)")
    if "sip" in said:
        raise ValueError("it is for certain addresses only (sip), and Lightly's are not among them; sign one without")
    return Sas(with_question_mark(token), expires)


def _fields(token: str) -> dict[str, str]:
    text = token.strip().removeprefix("?")
    if text.startswith(("http://", "https://")):
        raise ValueError("this is a URL; give what follows its question mark")
    if "AccountKey=" in text or "SharedAccessSignature=" in text:
        raise ValueError("this is a connection string; give a SAS, which begins with '?' and holds 'sig='")
    # An account key is base64: one long word and at most two '=' at its end.
    if re.fullmatch(r"[A-Za-z0-9+/]{40,}={0,2}", text):
        raise ValueError(
            "this looks like an account key, which opens everything in the account and is never given to Lightly; give "
            "a SAS, which begins with '?' and holds 'sig='"
        )
    if not text.isascii() or not text.isprintable() or text[:1] in {"'", '"'}:
        raise ValueError("it holds quotes around it, control characters or others that no SAS has; copy it anew")
    given = parse_qs(text)
    if twice := sorted(name for name, values in given.items() if len(values) > 1 and name.isalpha()):
        raise ValueError(f"it says {', '.join(twice)} twice; copy it anew")
    said = {name: values[0] for name, values in given.items()}
    if "sig" not in said:
        known = said.keys() & {"sp", "se", "sv", "sr"}
        raise ValueError(
            "its signature (sig) is missing; copy all of the SAS, and quote it in the shell, where '&' ends a command"
            if known
            else "this is no SAS, which begins with '?' and holds 'sig='"
        )
    return said


def _check_resource(said: Mapping[str, str], directory: str) -> None:
    resource = said.get("sr")
    if resource not in {"c", "d"}:
        raise ValueError("it opens neither a container (sr=c) nor a directory (sr=d); sign one for the container")
    if resource == "d" and not directory:
        raise ValueError("it opens one directory (sr=d): write 'directory_sas: true' beside it")
    if resource == "c" and directory:
        raise ValueError(
            "it opens the whole container (sr=c), and directory_sas asks for a directory's (sr=d): sign one with "
            "`az storage fs directory generate-sas`"
        )
    if resource == "d" and (depth := said.get("sdd", "")) != str(_depth(directory)):
        lies = f"{depth} deep" if depth.isdecimal() else "at no depth it tells (sdd)"
        raise ValueError(
            f"its directory lies {lies}, and the prefix {directory!r} lies {_depth(directory)} deep; sign it for the "
            "prefix"
        )


def _depth(directory: str) -> int:
    """How many directories deep a normalised prefix lies: a directory's SAS names it (sdd)."""
    return directory.count("/")


def _check_permissions(letters: str, purpose: Purpose) -> None:
    wanted = policy.permissions(purpose)
    if missing := set(wanted) - set(letters):
        raise ValueError(
            f"it permits too little for {purpose}: {_told(missing)} missing; sign one with exactly {wanted!r} (sp)"
        )
    if spare := set(letters) - set(wanted):
        raise ValueError(f"it permits more than {purpose} needs: {_told(spare)}; sign one with exactly {wanted!r} (sp)")
    if letters != wanted:
        raise ValueError(f"its permissions are not in the order that Azure demands; sign one with {wanted!r} (sp)")


def _told(letters: set[str]) -> str:
    """Letters with their meaning; of what is no permission only that it is there."""
    known = [f"{letter} ({meaning})" for letter, meaning in _MEANING.items() if letter in letters]
    return ", ".join(known + ["unknown letters"] * bool(letters - _MEANING.keys()))


def _check_times(said: Mapping[str, str], now: datetime) -> datetime:
    expires = _moment(said.get("se"), "expiry (se)")
    if expires <= now:
        raise ValueError(f"it expired on {epochs.text(expires)}; sign another")
    if "st" in said and (starts := _moment(said["st"], "start (st)")) > now:
        raise ValueError(f"it is not valid before {epochs.text(starts)}; sign one that is valid now")
    return expires


def _moment(text: str | None, what: str) -> datetime:
    if text is None:
        raise ValueError(f"its {what} is missing; sign one that has it")
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    # Not repeated, and without a context that would: nobody knows what it is.
    raise ValueError(f"its {what} is no date; sign another")

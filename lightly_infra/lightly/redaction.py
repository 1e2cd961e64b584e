"""Keeps secrets out of what servers and libraries say, before it reaches an error message."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REDACTED: Final = "[redacted]"

# Shorter ones can't be told from ordinary words; no token or key is that short.
_SHORTEST: Final = 4
_LONGEST_MESSAGE: Final = 600

_QUERY = re.compile(r"(\bhttps?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
_USERINFO = re.compile(r"(\bhttps?://)[^\s/@\"'<>]+@")
_ASSIGNMENT = re.compile(r"(?i)\b((?:token|sig|secret|password|signature)=)[^\s&\"'<>]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without any of `secrets`, however escaped, and without the queries and user names of URLs."""
    # Longest first: a secret may begin with another one, whose removal would leave the rest of it.
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    text = _QUERY.sub(rf"\1?{REDACTED}", text)
    text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    return _ASSIGNMENT.sub(rf"\1{REDACTED}", text)


def one_line(text: str) -> str:
    """`text` fit for an error message: on one line, without control characters, shortened."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]}…"


def _forms(secret: str) -> Iterator[str]:
    """The ways in which servers echo a secret: as it is, escaped for a URL or for JSON, and its parts."""
    for value in (secret, secret.strip(), *_private_parts(secret)):
        if len(value) >= _SHORTEST:
            escaped = json.dumps(value)[1:-1]
            yield from (value, quote(value, safe=""), quote(value), quote_plus(value), escaped)
            yield from (
                json.dumps(value, ensure_ascii=False)[1:-1],
                repr(value)[1:-1],
                json.dumps(escaped)[1:-1],
            )


def _private_parts(secret: str) -> list[str]:
    """The private values inside a service account's key, a JSON document; the signature of a SAS token."""
    try:
        document = json.loads(secret)
    except ValueError:
        return re.findall(r"\bsig=([^&]+)", secret)
    if not isinstance(document, dict):
        return []
    return [value for key, value in document.items() if "private" in key and isinstance(value, str)]

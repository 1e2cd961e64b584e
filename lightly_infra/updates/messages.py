"""What a person is told when something fails: the message itself, without tracebacks and without secrets."""

from __future__ import annotations

import json
import re
import threading
import traceback
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORTEST_SECRET: Final = 4  # characters: hiding every "a" would hide the message
_SHORTEST_LINE: Final = 16
PUBLIC: Final = frozenset({"effectiveLabels", "pulumiLabels"})
"""Properties that pulumi-gcp marks as secrets, and that hold none: "true" and the names of components would be hidden
in every message ("Labels", terraform-provider-google; `goog-pulumi-provisioned`)."""
_TRACEBACK: Final = "Traceback (most recent call last):\n"
# Module and class names of exceptions mean nothing to people; the plain names of builtins may ("KeyError: 'x'").
_CLASS: Final = re.compile(r"(?:(?:\w+\.)+\w+|Exception|RuntimeError|RunError|ValueError): ")

_SEVERITY: Final = re.compile(r"(info|warning): ")


class Scrubber:
    """Replaces every known secret in a text by `[secret]`. Safe to use from several threads."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._lock = threading.Lock()

    def hide(self, text: str) -> None:
        """Remembers a secret."""
        # A message may quote one line of a key file only.
        parts = {text, *(line for line in text.splitlines() if len(line) >= _SHORTEST_LINE)}
        with self._lock:
            for part in parts:
                if len(part) >= _SHORTEST_SECRET:
                    self._forms |= {part, json.dumps(part)[1:-1], repr(part)[1:-1], quote(part), quote_plus(part)}

    def scrub(self, text: str) -> str:
        """The text with every known secret hidden, also in its quoted, escaped and URL forms."""
        with self._lock:
            forms = sorted(self._forms, key=len, reverse=True)
        for form in forms:
            text = text.replace(form, "[secret]")
        return text


def last_message(text: str) -> str:
    """The message at the end of a traceback, all its lines; a text without a traceback is returned as it is."""
    _, found, tail = text.rpartition(_TRACEBACK)
    if not found:
        return text.strip()
    lines = tail.splitlines()
    start = next((i for i, line in enumerate(lines) if line and not line[0].isspace()), 0)
    return _without_class("\n".join(lines[start:]))


def printed(line: str) -> tuple[str, str]:
    """Severity and message of what a provider has printed: the SDK puts the one before the other (`pulumi/log.py`)."""
    match = _SEVERITY.match(line)
    return (match[1], line[match.end() :]) if match else ("info", line)


def describe(error: BaseException) -> str:
    """The exception's message as people should see it, notes included."""
    return _without_class("".join(traceback.format_exception_only(error)))


def _without_class(text: str) -> str:
    text = text.strip()
    match = _CLASS.match(text)
    return text[match.end() :] if match and match.end() < len(text) else text


def join_unique(messages: Iterable[str]) -> list[str]:
    """The messages in order, each once."""
    return list(dict.fromkeys(messages))

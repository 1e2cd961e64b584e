"""Secrets among properties, kept out of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.lightly.models import PLAIN_FIELDS
from lightly_infra.sandbox.engine.values import Unknown, plain, walk
from lightly_infra.updates import messages

if TYPE_CHECKING:
    from typing import Any


class Scrubber(messages.Scrubber):
    """Replaces every known secret in a text by `[secret]`. Safe to use from several threads."""

    def learn(self, *values: Any, secret: bool = False) -> None:
        """Remembers what is marked secret in the values; with `secret` all of them are."""
        for value in values:
            named = isinstance(value, dict)
            told = {key: it for key, it in value.items() if key not in messages.PUBLIC} if named else value
            for leaf, marked in walk(told, secret=secret, shown=PLAIN_FIELDS):
                if marked and not isinstance(leaf, bool | Unknown | None):
                    self.hide(str(plain(leaf)))

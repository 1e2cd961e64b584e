"""Secrets among properties, kept out of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.sandbox.engine.values import Unknown, plain, walk
from lightly_infra.updates import messages

if TYPE_CHECKING:
    from typing import Any


class Scrubber(messages.Scrubber):
    """Replaces every known secret in a text by `[secret]`. Safe to use from several threads."""

    def learn(self, *values: Any, secret: bool = False, known: Any = None) -> None:
        """Remembers what is marked secret in the values; with `secret` all of them are.

        What stands unmarked in `known` is none: pulumi-gcp marks all labels of a bucket, given ones too.
        """
        public = {str(plain(leaf)) for leaf, marked in walk(known) if not marked}
        for value in values:
            for leaf, marked in walk(value, secret=secret):
                if marked and not isinstance(leaf, bool | Unknown | None):
                    text = str(plain(leaf))
                    if text not in public:
                        self.hide(text)

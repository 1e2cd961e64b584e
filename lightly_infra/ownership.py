"""Who made something at a cloud: what its tags, labels, metadata or description say. Free of Pulumi.

All that is made carries the marks of one `Owner`, each cloud in the form that it allows, so that what an interrupted
run left behind is told from what is anybody else's: see ADR 24.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE: Final = "lightly-infra"

MANAGED_BY: Final = "managed-by"
STACK_TAG: Final = "lightly-infra:stack"
NAME_TAG: Final = "lightly-infra:name"
"""Tags on AWS, Azure and OBS. AWS allows letters, digits, spaces and `_.:/=+-@` in 256 characters."""

STACK_LABEL: Final = "lightly-infra-stack"
NAME_LABEL: Final = "lightly-infra-name"
"""Labels on Google Cloud: lower-case letters, digits, `_` and `-`, 63 characters at most."""

MANAGED_BY_METADATA: Final = "managed_by"
STACK_METADATA: Final = "lightly_infra_stack"
NAME_METADATA: Final = "lightly_infra_name"
"""Metadata of Azure's containers: names are C# identifiers, values go into HTTP headers."""

TAGS: Final = 3
"""How many marks there are: so many tags or labels fewer has the user."""

_TAG_VALUE: Final = 256
_LABEL_VALUE: Final = 63
_NOT_IN_TAGS: Final = re.compile(r"[^A-Za-z0-9_.:/=+@ -]")
_NOT_IN_LABELS: Final = re.compile(r"[^a-z0-9_-]")
_DIGEST: Final = 8  # hexadecimal digits: 2^32 are enough to tell names apart
_DESCRIBED: Final = re.compile(r"Made by lightly-infra for (?P<name>[a-z0-9_-]+) of stack (?P<stack>[a-z0-9_-]+)\.")


@dataclass(frozen=True)
class Owner:
    """The component of a stack that made something."""

    stack: str
    """Pulumi's name of the stack in full: `organization/project/stack`."""

    name: str
    """The component's, such as `lightly-street-scenes-input`."""

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that tell the stack from others, for names that must not collide with theirs."""
        return digest(self.stack)

    @property
    def tags(self) -> dict[str, str]:
        """For identities and buckets on AWS, groups and accounts on Azure, buckets on OBS."""
        name = _fitted(self.name, _NOT_IN_TAGS, _TAG_VALUE)
        return {MANAGED_BY: PACKAGE, STACK_TAG: stack_tag(self.stack), NAME_TAG: name}

    @property
    def labels(self) -> dict[str, str]:
        """For buckets on Google Cloud."""
        return {MANAGED_BY: PACKAGE, STACK_LABEL: label(self.stack), NAME_LABEL: label(self.name)}

    @property
    def metadata(self) -> dict[str, str]:
        """For containers on Azure."""
        return {
            MANAGED_BY_METADATA: PACKAGE,
            STACK_METADATA: stack_tag(self.stack),
            NAME_METADATA: label(self.name),
        }

    def describe(self, what: str) -> str:
        """For what has a description only, which are service accounts (256 bytes) and custom roles on Google Cloud.

        Args:
            what: it is for, in a sentence of at most 64 bytes.
        """
        return f"{what} Made by {PACKAGE} for {label(self.name)} of stack {label(self.stack)}."


def stack_tag(stack: str) -> str:
    """What `STACK_TAG` and `STACK_METADATA` say of a stack, given its name in full."""
    return _fitted(stack, _NOT_IN_TAGS, _TAG_VALUE)


def label(text: str) -> str:
    """What `STACK_LABEL` and `NAME_LABEL` say: the text itself where Google allows it, else alike and told apart."""
    return _fitted(text, _NOT_IN_LABELS, _LABEL_VALUE)


def name_in(marks: Mapping[str, str], stack: str) -> str | None:
    """The component that made what carries these tags, labels or metadata; None if that was not this stack."""
    if marks.get(STACK_TAG, marks.get(STACK_METADATA)) == stack_tag(stack):
        return marks.get(NAME_TAG, marks.get(NAME_METADATA, ""))
    if marks.get(STACK_LABEL) == label(stack):
        return marks.get(NAME_LABEL, "")
    return None


def name_in_description(description: str, stack: str) -> str | None:
    """The same of what has a description only."""
    found = _DESCRIBED.search(description)
    return found["name"] if found and found["stack"] == label(stack) else None


def digest(text: str) -> str:
    """Eight hexadecimal digits of the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


def _fitted(text: str, odd: re.Pattern[str], limit: int) -> str:
    fitted = odd.sub("-", text.lower() if odd is _NOT_IN_LABELS else text)
    if fitted == text and len(text) <= limit:
        return text
    return f"{fitted[: limit - _DIGEST - 1]}-{digest(text)}"

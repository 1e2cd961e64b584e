"""Functions of the clouds' Pulumi providers, where the SDK's own would end the program in words of their own."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pulumi

from lightly_infra.component import remedy_for
from lightly_infra.lightly.redaction import one_line, redact
from lightly_infra.retention import RulesUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Refused:
    """That a provider has no answer. No exception: what follows from it must not hang on the SDK's own words."""

    said: str
    """Why, in its words; not redacted."""


async def ask(
    function: str, args: Mapping[str, str], package: str, *, parent: pulumi.Resource | None = None
) -> Mapping[str, Any] | Refused:
    """What a provider answers, or why it does not.

    Args:
        function: its token, such as `gcp:storage/getBucket:getBucket`.
        args: under the names of the token's schema.
        package: the SDK, whose version says which provider is asked.
        parent: whose provider is asked. Default: the stack's own, with all that its config says of that.
    """
    try:
        opts = pulumi.InvokeOptions(parent=parent, version=version(package))
        answer: Mapping[str, Any] = await pulumi.runtime.invoke_async(function, args, opts)
    except Exception as error:  # noqa: BLE001 - the SDK raises nothing finer, and may not be there
        return Refused(str(error))
    return answer


def unreadable(
    what: str, why: Refused, remedies: Mapping[str, str], otherwise: str, secrets: Iterable[str] = ()
) -> RulesUnreadable:
    """That rules or objects could not be read, in one line and with a remedy.

    Args:
        what: what was to be read.
        why: the cloud's own words.
        remedies: by a pattern that is found in that.
        otherwise: the remedy for anything else.
        secrets: what is not repeated.
    """
    said = one_line(redact(why.said, secrets)).rstrip(".")
    return RulesUnreadable(f"could not read {what}: {said}: {remedy_for(said, remedies) or otherwise}")

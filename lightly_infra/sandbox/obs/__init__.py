"""An emulated OBS: a ministack of its own, a stranger to the emulated AWS."""

from typing import Final

# What it needs is what the emulated AWS needs, which says so when something is missing.
from lightly_infra.sandbox import aws as _aws  # noqa: F401

DOOR: Final = "/_lightly/iam"
"""Where `server` takes users; here, because importing that module starts to run ministack."""

DOOR_PASSWORD: Final = "LIGHTLY_DOOR_PASSWORD"  # noqa: S105 - the name of a variable, not its value

"""The Pulumi CLI on PATH."""

from __future__ import annotations

from pulumi import automation
from semver import VersionInfo


def pulumi_command() -> automation.PulumiCommand:
    """The CLI, whichever version it is."""
    command = automation.PulumiCommand(skip_version_check=True)
    if command.version is None:  # a CLI built from source tells none; it is taken to be a current one
        command.version = VersionInfo(3, 999)
    return command

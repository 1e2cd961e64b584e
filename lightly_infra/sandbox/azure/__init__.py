"""Emulated Azure: Azurite for the blobs, an emulated Azure Resource Manager, and the provider that acts on both."""

from __future__ import annotations

from importlib.util import find_spec

from lightly_infra.sandbox import missing_extra

# Looked for and not imported: a program that only names this package pays nothing.
for _package in ("azure", "azure.storage", "azure.storage.blob", "filelock", "platformdirs", "starlette", "trustme"):
    if find_spec(_package) is None:
        raise missing_extra(ImportError(name=_package))
